//! One server per test process, for tests that only need keys of their own.

use super::{RedisServer, ZooKeeperServer};
use std::sync::OnceLock;

/// The Redis server of this test process, started by the first test that asks.
///
/// Others use it at the same time: take keys from [`fresh_key`](crate::fresh_key), and start your own
/// server for anything that reaches beyond them (`FLUSHALL`, `SCRIPT FLUSH`, `CONFIG SET`). It cannot be
/// killed or paused, because that takes `&mut`.
#[track_caller]
pub fn shared_redis() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(RedisServer::start)
}

/// The ZooKeeper server of this test process, started by the first test that asks.
///
/// Others use it at the same time: take names from [`fresh_key`](crate::fresh_key). It cannot be killed
/// or paused, because that takes `&mut`.
#[track_caller]
pub fn shared_zookeeper() -> &'static ZooKeeperServer {
    static SERVER: OnceLock<ZooKeeperServer> = OnceLock::new();
    SERVER.get_or_init(ZooKeeperServer::start)
}

//! Real servers for dlock's tests, and the tests that need them.
//!
//! [`RedisServer`], [`RedisSentinel`], [`RedisCluster`], [`ZooKeeperServer`] and [`ZooKeeperEnsemble`] run the installed programs as child
//! processes on loopback ports, and let a test kill, restart, stop and continue them. They end with the
//! test process, however it ends. [`shared_redis`] and [`shared_zookeeper`] are for the tests that only
//! need a server and keys of their own ([`fresh_key`]). [`RedisKind`] says which server of Redis's protocol it is. A [`ForeignClient`] locks with another language.
//!
//! A harness that cannot do its job must fail the test loudly, never skip it. So every function here
//! panics with the whole story (what was asked, what is missing or wrong, the end of the server's log)
//! at the caller's line, except the few that return a [`HarnessError`].

mod backends;
mod contention;
mod error;
mod fake_redis;
mod fenced_store;
mod foreign;
mod holder;
mod keys;
mod link;
mod relay;
pub mod scenarios;
mod seed;
mod servers;
mod wait;

pub use backends::backend_at;
pub use contention::{Contention, History, Section, Violation};
pub use error::HarnessError;
pub use fake_redis::{Fake, FakeRedis};
pub use fenced_store::FencedStore;
pub use foreign::{Counting, ForeignClient, ZooKeeperKind};
pub use holder::Holder;
pub use keys::fresh_key;
pub use link::Link;
pub use relay::{Relay, Swallowed};
pub use seed::printed_seed;
pub use servers::{
    NameService, RedisCluster, RedisClusterBuilder, RedisKind, RedisSentinel, RedisSentinelBuilder,
    RedisServer, RedisServerBuilder, RespConnection, ZooKeeperEnsemble, ZooKeeperServer,
    ZooKeeperServerBuilder, port_refuses, shared_redis, shared_zookeeper,
};
pub use wait::{wait_until, wait_until_async};

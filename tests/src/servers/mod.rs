//! Real servers as child processes.
//!
//! From the ground up: [`programs`] finds what is installed, [`ports`] picks port numbers, [`process`]
//! runs one program so that it cannot outlive the test, [`instance`] gives that program a directory, a
//! log and a restart, and [`wire`] limits how long it may stay silent. [`redis`], [`sentinel`],
//! [`cluster`], [`zookeeper`] and [`ensemble`] say how each server is configured and asked, [`redis_kind`] which programs
//! there are with Redis's protocol. [`clock`] moves a server's clock, [`names`] says where programs find servers.

mod clock;
mod cluster;
mod cluster_nodes;
mod ensemble;
mod instance;
mod library;
mod names;
mod nodes;
mod ports;
mod process;
mod programs;
mod redis;
mod redis_kind;
mod replication;
mod resp;
mod sentinel;
mod shared;
mod wire;
mod zoo_cfg;
mod zookeeper;

pub(crate) use ports::random_u64;
pub(crate) use programs::below_target;

pub use cluster::{RedisCluster, RedisClusterBuilder};
pub use ensemble::ZooKeeperEnsemble;
pub use names::NameService;
pub use ports::port_refuses;
pub use redis::{RedisServer, RedisServerBuilder};
pub use redis_kind::RedisKind;
pub use resp::RespConnection;
pub use sentinel::{RedisSentinel, RedisSentinelBuilder};
pub use shared::{shared_redis, shared_zookeeper};
pub use zookeeper::{ZooKeeperServer, ZooKeeperServerBuilder};

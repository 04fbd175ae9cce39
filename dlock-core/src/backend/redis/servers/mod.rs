//! Where requests go: one server, the primary that sentinels name, or the nodes of a cluster.

mod address;
mod address_map;
mod admission;
mod cluster;
mod connection;
mod connector;
#[cfg(feature = "redis-tls")]
mod encrypted;
mod exclusive;
mod heartbeat;
mod listener;
mod live;
mod per_runtime;
mod probes;
mod request;
mod sentinel;
mod sentinel_answers;
mod slots;
mod timed;
mod topology;
mod transport;
mod url;

pub(super) use address_map::AddressMap;
pub(super) use cluster::Cluster;
pub(super) use connection::Connection;
pub(super) use connector::Connector;
pub(super) use exclusive::{Exclusive, Job};
pub(super) use live::{Opening, Source};
pub(super) use per_runtime::Route;
pub(super) use request::{Asking, CallError, Reply, Transaction};
pub(super) use sentinel::Sentinels;
pub(super) use slots::{hash_tag, slot, tag_in_slot};
pub(super) use timed::TimedConnection;
pub(super) use topology::Servers;
pub(super) use url::{Names, ServersUrl};

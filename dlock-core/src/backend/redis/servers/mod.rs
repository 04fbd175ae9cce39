//! Where requests go: one server, the primary that sentinels name, or the nodes of a cluster.

mod address;
mod cluster;
mod connection;
mod connector;
mod exclusive;
mod listener;
mod request;
mod sentinel;
mod slots;
mod topology;

pub(super) use address::ServersUrl;
pub(super) use cluster::Cluster;
pub(super) use connection::{Connection, Opening, Source};
pub(super) use connector::{Connector, Limits};
pub(super) use exclusive::{Exclusive, Job};
pub(super) use request::{Asking, CallError, Reply, Transaction};
pub(super) use sentinel::Sentinels;
pub(super) use slots::{hash_tag, slot, tag_in_slot};
pub(super) use topology::Servers;

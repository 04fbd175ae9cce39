//! What a ZooKeeper client is told: servers, root, accounts, TLS.

pub(crate) mod access;
pub(crate) mod builder;
pub(crate) mod names;
pub(crate) mod settings;
pub(crate) mod tls;
pub(crate) mod url;

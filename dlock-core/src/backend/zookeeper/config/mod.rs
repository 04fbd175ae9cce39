//! The settings of a ZooKeeper client: servers, root, accounts, TLS.

pub(crate) mod access;
pub(crate) mod builder;
pub(crate) mod names;
pub(crate) mod settings;
pub(crate) mod tls;
pub(crate) mod url;

//! Locks in ZooKeeper: the queue of ephemeral sequential nodes, kept by one session.

mod acquire;
mod acquisitions;
mod backend;
mod config;
mod failure;
mod inspection;
mod label;
mod locks;
mod node;
mod path;
mod recipe;
mod release;
mod revocation;
mod session;

pub use backend::ZooKeeperBackend;
pub use config::builder::ZooKeeperBackendBuilder;
pub use recipe::Recipe;
pub use recipe::dialect::Dialect;

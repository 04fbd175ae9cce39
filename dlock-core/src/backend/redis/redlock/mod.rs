//! Locks at a majority of independent Redis servers.

mod acquisitions;
mod backend;
mod builder;
mod fan_out;
mod fifo;
#[cfg(test)]
mod model;
mod node;
mod participant;
mod quorum;
mod retry;
mod votes;

pub use backend::RedlockBackend;
pub use builder::RedlockBackendBuilder;

//! A session with the servers: its requests, its watches, and how long it is valid.

pub(crate) mod abilities;
pub(crate) mod liveness;
pub(crate) mod manager;
pub(crate) mod monitor;
pub(crate) mod predecessor;
pub(crate) mod preflight;
pub(crate) mod requests;
pub(crate) mod transactions;
mod validity;
pub(crate) mod watch;
pub(crate) mod writer;

//! Locks in Redis: one string key each, with expiry, owner-checked release and a queue.

mod access;
mod admin;
mod backend;
mod batch;
mod builder;
mod caller;
mod credentials;
mod failure;
mod in_flight;
mod inspection;
mod keys;
mod listing;
mod notifications;
mod number;
mod outcome;
mod plan;
mod preflight;
mod recipe;
mod redlock;
mod replicas;
mod replies;
mod script_calls;
mod script_error;
mod script_options;
mod scripts;
mod servers;
mod settings;
#[cfg(feature = "redis-tls")]
mod tls;
mod wire;
mod words;

pub use backend::RedisBackend;
pub use builder::RedisBackendBuilder;
pub use credentials::Credentials;
pub use recipe::Recipe;
pub use redlock::{RedlockBackend, RedlockBackendBuilder};

//! What is locked.

mod lock_key;
mod validation;

pub use lock_key::LockKey;

//! What is locked.

mod lock_key;
mod namespace;
mod namespace_validation;
mod validation;

pub use lock_key::LockKey;
pub use namespace::Namespace;

//! The owner that asks, and the lock that it asks for.

use super::keys::Keys;

/// One owner that asks about one lock.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) keys: &'a Keys,
    pub(super) owner: &'a str,
    pub(super) ttl_ms: u64,
}

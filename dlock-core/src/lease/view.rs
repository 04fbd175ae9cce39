//! A view of a lease that can be passed around.

use super::loss::{GuardState, LossReason};
use super::token::FencingToken;
use crate::acquisition::Acquisition;
use crate::key::LockKey;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A view of a held lock: its token, its deadline, its loss. Only the [`LockGuard`](crate::LockGuard) keeps the lock.
#[derive(Clone)]
pub struct Lease(Arc<Acquisition>);

impl Lease {
    pub(crate) fn of(acquisition: Arc<Acquisition>) -> Self {
        Self(acquisition)
    }

    pub(crate) fn acquisition(&self) -> &Arc<Acquisition> {
        &self.0
    }

    /// The key that is locked.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        &self.0.claim.key
    }

    /// The fencing token of the grant.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.0.lease().token()
    }

    /// As [`LockGuard::is_valid`](crate::LockGuard::is_valid).
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.loss().is_none()
    }

    /// As [`LockGuard::remaining`](crate::LockGuard::remaining).
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.lease().remaining(self.0.clock.now())
    }

    /// As [`LockGuard::state`](crate::LockGuard::state).
    #[must_use]
    pub fn state(&self) -> GuardState {
        self.0.lease().state(self.0.clock.now())
    }

    /// As [`LockGuard::state_changed`](crate::LockGuard::state_changed).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn state_changed(&self, seen: GuardState) -> GuardState {
        self.0.lease().state_other_than(seen, &self.0.clock).await
    }

    /// As [`LockGuard::lost`](crate::LockGuard::lost); it also returns when the guard is released.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn lost(&self) -> LossReason {
        self.0.lost().await
    }

    pub(crate) fn loss(&self) -> Option<LossReason> {
        self.0.lease().loss(self.0.clock.now())
    }

    pub(crate) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("key", self.key())
            .field("token", &self.token())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as("Lease", f)
    }
}

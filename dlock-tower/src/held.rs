//! A lock that a request or its response's body holds.

use dlock_core::{LockGuard, LossReason};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The guard of a request, and the watch for its loss. Dropped, it gives the guard up; the lock is released
/// unless a handler kept it with [`Locked::hold`](crate::Locked::hold).
pub(crate) struct Held {
    guard: Arc<LockGuard>,
    lost: Pin<Box<dyn Future<Output = LossReason> + Send + Sync>>,
}

impl Held {
    pub(crate) fn new(guard: LockGuard) -> Self {
        let lease = guard.lease();
        Self { guard: Arc::new(guard), lost: Box::pin(async move { lease.lost().await }) }
    }

    pub(crate) fn guard(&self) -> &Arc<LockGuard> {
        &self.guard
    }

    /// Ready once the lock is lost; never without one.
    pub(crate) fn poll_lost(held: &mut Option<Self>, context: &mut Context<'_>) -> Poll<LossReason> {
        match held {
            Some(held) => held.lost.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt(f)
    }
}

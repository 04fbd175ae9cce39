//! What a manager, its requests, its guards and its scopes share.

use crate::acquisition::Acquisition;
use crate::backend::Backend;
use crate::error::{ErrorKind, LockError, Operation};
use crate::key::LockKey;
use crate::lease::Ttl;
use crate::release;
use crate::renewal::Renewal;
use crate::time::Moment;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One manager: its backend, its settings, and what works for it in the background.
pub(crate) struct Shared {
    /// Which manager of this process it is.
    pub(crate) number: u64,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) ttl: Ttl,
    pub(crate) wait: Duration,
    pub(crate) renewal: Renewal,
    pub(crate) closed: CancellationToken,
    pub(crate) background: TaskTracker,
}

impl Shared {
    /// Makes the owner leave, whatever became of its requests. Never blocks, never panics, and needs no runtime
    /// of the caller's (I9): the task runs on the runtime that the lock was acquired in.
    pub(crate) fn release_in_background(&self, acquisition: &Acquisition, now: Moment) {
        let Acquisition { claim, runtime, .. } = acquisition;
        if self.backend.release_at_once(claim, now).is_none() {
            let released = release::until_gone(Arc::clone(&self.backend), claim.clone());
            self.background.spawn_on(released, runtime);
        }
    }

    pub(crate) fn closed_error(&self, key: &LockKey) -> LockError {
        LockError::new(ErrorKind::Closed, "the manager was closed or shut down; make a new one")
            .with_operation(Operation::Acquire)
            .with_backend(self.backend.name())
            .with_key(key)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockManager")
            .field("backend", &self.backend)
            .field("ttl", &self.ttl)
            .field("wait", &self.wait)
            .field("closed", &self.closed.is_cancelled())
            .finish_non_exhaustive()
    }
}

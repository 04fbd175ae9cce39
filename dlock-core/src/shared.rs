//! What a manager, its requests, its guards and its scopes share.

use crate::acquisition::Acquisition;
use crate::backend::{Backend, Claim, Inspection, admin};
use crate::error::{ErrorKind, LockError, Operation};
use crate::handles::Handles;
use crate::keeper::{Background, Keeper};
use crate::key::LockKey;
use crate::label::Label;
use crate::lease::{MaxHold, Ttl};
use crate::release;
use crate::renewal::Renewal;
use crate::time::{Clock, Moment};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One manager: its backend, its settings, and what works for it in the background.
pub(crate) struct Shared {
    /// Which manager of this process it is.
    pub(crate) number: u64,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) clock: Clock,
    pub(crate) ttl: Ttl,
    pub(crate) wait: Duration,
    pub(crate) max_hold: MaxHold,
    pub(crate) label: Option<Label>,
    pub(crate) renewal: Renewal,
    pub(crate) closed: CancellationToken,
    pub(crate) handles: Handles,
    /// The releases that are not confirmed yet.
    pub(crate) releases: Background,
}

impl Shared {
    /// An acquisition that is still to be asked for.
    pub(crate) fn acquisition(&self, claim: Claim) -> Arc<Acquisition> {
        let acquisition = Acquisition::new(claim, self.clock.clone(), self.backend.name())
            .in_namespace(self.backend.namespace());
        Arc::new(match self.backend.is_local() {
            true => acquisition,
            false => acquisition.tell_causes(),
        })
    }

    /// Makes the owner leave, whatever became of its requests. Never blocks, never panics, and needs no runtime
    /// of the caller's (I9): the task runs on the keeper.
    pub(crate) fn release_in_background(&self, acquisition: &Acquisition, now: Moment) {
        let claim = &acquisition.claim;
        if self.backend.release_at_once(claim, now).is_none() {
            self.releases.spawn(release::until_gone(Arc::clone(&self.backend), claim.clone()));
        }
    }

    /// The holders and the waiters of `key`, as the backend sees them.
    pub(crate) async fn inspect(&self, key: &LockKey) -> Result<Inspection, LockError> {
        let inspected = match admin::of(&*self.backend) {
            Ok(admin) => admin.inspect(key, None).await,
            Err(error) => Err(error),
        };
        inspected.map_err(|error| self.named(error.with_operation(Operation::Inspect), key))
    }

    /// Whether this process is a fork of the one that has the locks. Those are not touched here.
    pub(crate) fn is_forked(&self) -> bool {
        !self.backend.is_local() && Keeper::is_forked()
    }

    pub(crate) fn closed_error(&self, key: &LockKey) -> LockError {
        let error = LockError::new(ErrorKind::Closed, "the manager was closed or shut down; make a new one");
        self.named(error.with_operation(Operation::Acquire), key)
    }

    /// Says in an error which key it is about, and where that is.
    pub(crate) fn named(&self, error: LockError, key: &LockKey) -> LockError {
        let backend = &self.backend;
        error.with_key(key).with_namespace(backend.namespace()).with_backend(backend.name())
    }

    pub(crate) fn unflushed_error(&self, limit: Duration) -> LockError {
        let unflushed = self.releases.len();
        let detail = format!(
            "{unflushed} releases are not confirmed after {limit:?}; the leases end what is not released"
        );
        LockError::new(ErrorKind::Unavailable, detail)
            .with_operation(Operation::Shutdown)
            .with_backend(self.backend.name())
            .with_unflushed(unflushed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockManager")
            .field("backend", &self.backend)
            .field("ttl", &self.ttl)
            .field("wait", &self.wait)
            .field("closed", &self.closed.is_cancelled())
            .field("pending_releases", &self.releases.len())
            .finish_non_exhaustive()
    }
}

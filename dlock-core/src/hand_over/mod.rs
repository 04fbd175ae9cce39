//! Waiting inside the process: one competitor per key at the backend, and behind it a queue that a grant is handed
//! over in without a request.
//!
//! It is a backend over a backend. Every acquisition has a claim of its own here; the backend below sees that of
//! the one which competes for all (I1: while it holds, at most one of those behind it has the lock).
//!
//! The first in line asks the backend in its own future, which costs no detour. If it is not polled when there is
//! something for it, the keeper goes on with its request: so no waiter hangs on the future of another waiter.

mod asking;
mod exchange;
mod in_place;
mod lane;
mod line;
mod loss_relay;
mod pending_releases;
mod place;
mod queue;
mod queue_map;
mod share;
mod state;
mod watch;

use crate::backend::{
    AcquireRequest, Admin, Backend, BackendFuture, Claim, ForcedRelease, Grant, Inspection, ListCursor,
    LockPage, Reopening, RevokedFuture, admin,
};
use crate::error::{LockError, Operation};
use crate::guarantees::Guarantees;
use crate::keeper::Background;
use crate::key::{LockKey, Namespace};
use crate::lease::FencingToken;
use crate::time::{Clock, Moment};
use state::HandOverState;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use share::HandOver;

/// Queues the acquisitions of this process before `backend`.
#[derive(Clone)]
pub(crate) struct HandOverBackend(Arc<HandOverState>);

impl HandOverBackend {
    pub(crate) fn new(backend: Arc<dyn Backend>, hand_over: HandOver, background: Background) -> Self {
        Self(HandOverState::new(backend, hand_over, background))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for HandOverBackend {
    fn name(&self) -> &'static str {
        self.0.backend.name()
    }

    fn guarantees(&self) -> Guarantees {
        self.0.backend.guarantees()
    }

    fn is_local(&self) -> bool {
        self.0.backend.is_local()
    }

    fn clock(&self) -> Clock {
        self.0.backend.clock()
    }

    fn longest_lease(&self, claim: &Claim) -> Duration {
        self.0.backend.longest_lease(claim)
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.0.acquire(request))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move { self.0.renew(claim).await.map_err(claim.named(Operation::Renew)) })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move { self.0.release(claim).await.map_err(claim.named(Operation::Release)) })
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            let operation = wanted.claim.exchange_operation();
            self.0.exchange(held, wanted).await.map_err(held.named(operation))
        })
    }

    /// What is asked at once would pass the queue.
    fn acquire_at_once(&self, _: &Claim, _: Moment) -> Option<Grant> {
        None
    }

    fn release_at_once(&self, _: &Claim, _: Moment) -> Option<Result<(), LockError>> {
        None
    }

    /// A client that asks the competitor to let go means the holder, and not the next one of this process.
    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        Box::pin(self.0.revoked(claim))
    }

    fn admin(&self) -> Option<&dyn Admin> {
        self.0.backend.admin().map(|_| self as &dyn Admin)
    }

    fn namespace(&self) -> Option<&Namespace> {
        self.0.backend.namespace()
    }

    /// Whatever is to have a namespace gets it before there is a queue.
    fn namespaced(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        self.0.backend.namespaced(namespace)
    }
}

impl Admin for HandOverBackend {
    fn inspect<'a>(&'a self, key: &'a LockKey, asker: Option<&'a Claim>) -> BackendFuture<'a, Inspection> {
        Box::pin(self.0.inspect(key, asker))
    }

    fn list<'a>(&'a self, prefix: &'a [u8], from: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage> {
        Box::pin(async move { admin::of(&*self.0.backend)?.list(prefix, from).await })
    }

    fn force_release<'a>(
        &'a self,
        key: &'a LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> BackendFuture<'a, ForcedRelease> {
        Box::pin(async move { admin::of(&*self.0.backend)?.force_release(key, token, reopening).await })
    }
}

/// As the backend itself: the queue before it is an inner matter.
impl fmt::Debug for HandOverBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.backend.fmt(f)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;

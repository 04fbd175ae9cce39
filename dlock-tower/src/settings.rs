//! The settings that the requests of a layer share.

use crate::acquiring::Acquiring;
use crate::held::HeldLock;
use crate::key::KeyFromRequest;
use crate::locked::Locked;
use crate::policy::{HoldUntil, OnLost, OnUnavailable};
use crate::rejection::{Answering, LockRejection};
use crate::wait_limit::WaitLimit;
use bytes::Bytes;
use dlock_core::{LockGuard, LockKey, LockManager};
use http::Response;
use http::request::Parts;
use std::fmt;
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

/// What a layer was told, each by a setter of [`LockLayer`](crate::LockLayer).
#[derive(Clone)]
pub(crate) struct LayerSettings {
    pub(crate) locks: LockManager,
    key: Arc<dyn KeyFromRequest>,
    pub(crate) wait: Duration,
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_hold: Duration,
    pub(crate) wait_limit: Arc<WaitLimit>,
    pub(crate) hold: HoldUntil,
    pub(crate) on_lost: OnLost,
    pub(crate) on_unavailable: OnUnavailable,
    pub(crate) read_first: usize,
    pub(crate) answering: Answering,
    pub(crate) reject_with: Option<Arc<RejectWith>>,
}

/// Makes the answer to a rejection.
type RejectWith = dyn Fn(&LockRejection) -> Response<Bytes> + Send + Sync;

/// What to do about the lock of a request.
#[derive(Debug)]
pub(crate) enum LockDecision {
    Reject(LockRejection),
    /// No lock is asked for, or an outer layer has it.
    Pass,
    Lock(LockKey),
}

impl LayerSettings {
    pub(crate) fn new(locks: LockManager, key: Arc<dyn KeyFromRequest>) -> Self {
        Self {
            locks,
            key,
            wait: Duration::from_secs(2),
            ttl: None,
            max_hold: Duration::from_secs(60),
            wait_limit: Arc::new(WaitLimit::new(WaitLimit::PER_KEY, WaitLimit::TOTAL)),
            hold: HoldUntil::default(),
            on_lost: OnLost::default(),
            on_unavailable: OnUnavailable::default(),
            read_first: 0,
            answering: Answering::default(),
            reject_with: None,
        }
    }

    /// What to do about a request with these parts.
    pub(crate) fn decide(&self, parts: &mut Parts) -> LockDecision {
        match self.key.read_key(parts) {
            Err(error) => LockDecision::Reject(error.into()),
            Ok(Some(key)) if !Locked::covers(parts, &self.locks, &key) => LockDecision::Lock(key),
            Ok(_) => LockDecision::Pass,
        }
    }

    /// Asks for the lock, if one more request may wait.
    pub(crate) fn acquire(&self, key: LockKey) -> Result<Acquiring, LockRejection> {
        let waits_for = if self.wait.is_zero() { None } else { Some(key.clone()) };
        if waits_for.as_ref().is_some_and(|key| self.wait_limit.is_full_for(key)) {
            return Err(LockRejection::queue_full());
        }
        let request = self.locks.lock(key).wait(self.wait);
        let future = match self.ttl {
            Some(ttl) => request.ttl(ttl).into_future(),
            None => request.into_future(),
        };
        Ok(match waits_for {
            Some(key) => Acquiring::waiting(future, key),
            None => Acquiring::at_once(future),
        })
    }

    pub(crate) fn held(&self, guard: Arc<LockGuard>) -> HeldLock {
        HeldLock::new(guard, self.max_hold, self.on_lost)
    }

    /// Whether a request may be handled without the lock that it did not get.
    pub(crate) fn goes_on_without(&self, rejection: &LockRejection) -> bool {
        self.on_unavailable == OnUnavailable::Proceed && rejection.is_unavailable()
    }

    /// The answer to a request that is not handled, or not to its end.
    pub(crate) fn answer(&self, rejection: impl Into<LockRejection>, grpc: bool) -> Response<Bytes> {
        let rejection = self.answering.apply(rejection.into());
        match &self.reject_with {
            Some(answer) => answer(&rejection),
            None if grpc => rejection.to_grpc(),
            None => rejection.to_http(),
        }
    }

    /// Prints the settings under the name of the type that has them.
    pub(crate) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { locks, wait, ttl, max_hold, wait_limit, hold, on_lost, on_unavailable, .. } = self;
        f.debug_struct(name)
            .field("locks", locks)
            .field("wait", wait)
            .field("ttl", ttl)
            .field("max_hold", max_hold)
            .field("max_waiting", wait_limit)
            .field("hold", hold)
            .field("on_lost", on_lost)
            .field("on_unavailable", on_unavailable)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LayerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.debug("LayerSettings", f)
    }
}

//! A backend that passes everything on, can be cut off, and remembers the owners that asked.

use crate::backend::{AcquireRequest, Admin, Backend, BackendFuture, Claim, Grant, RevokedFuture};
use crate::error::{ErrorKind, LockError};
use crate::guarantees::Guarantees;
use crate::key::Namespace;
use crate::time::{Clock, Moment};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Sits between a manager and its backend.
#[derive(Debug)]
pub struct Tap {
    inner: Arc<dyn Backend>,
    cut: AtomicBool,
    claims: Mutex<Vec<Claim>>,
    renewals: AtomicUsize,
}

impl Tap {
    /// A tap on `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            cut: AtomicBool::new(false),
            claims: Mutex::default(),
            renewals: AtomicUsize::new(0),
        })
    }

    /// From here on no request arrives: each fails with [`ErrorKind::Unavailable`].
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// From here on requests arrive again.
    pub fn restore(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    /// The claim of the last acquire.
    pub fn last_claim(&self) -> Option<Claim> {
        self.claims.lock().last().cloned()
    }

    /// How many renewals succeeded.
    pub fn renewals(&self) -> usize {
        self.renewals.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), LockError> {
        match self.cut.load(Ordering::SeqCst) {
            true => Err(LockError::new(ErrorKind::Unavailable, "cut off by the test")),
            false => Ok(()),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Tap {
    fn is_local(&self) -> bool {
        self.inner.is_local()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    fn longest_lease(&self, claim: &Claim) -> Duration {
        self.inner.longest_lease(claim)
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            self.check()?;
            self.claims.lock().push(request.claim.clone());
            self.inner.acquire(request).await
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            self.check()?;
            let outcome = self.inner.renew(claim).await;
            self.renewals.fetch_add(usize::from(outcome.is_ok()), Ordering::SeqCst);
            outcome
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            self.check()?;
            self.inner.release(claim).await
        })
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            self.check()?;
            self.claims.lock().push(wanted.claim.clone());
            self.inner.exchange(held, wanted).await
        })
    }

    fn acquire_at_once(&self, claim: &Claim, now: Moment) -> Option<Grant> {
        self.check().ok()?;
        self.claims.lock().push(claim.clone());
        self.inner.acquire_at_once(claim, now)
    }

    fn release_at_once(&self, claim: &Claim, now: Moment) -> Option<Result<(), LockError>> {
        self.check().ok()?;
        self.inner.release_at_once(claim, now)
    }

    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        self.inner.revoked(claim)
    }

    fn admin(&self) -> Option<&dyn Admin> {
        self.inner.admin()
    }

    fn namespace(&self) -> Option<&Namespace> {
        self.inner.namespace()
    }

    /// With the namespace before the keys, so that what is asked there passes the tap as well.
    fn namespaced(&self, _: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        Ok(None)
    }
}

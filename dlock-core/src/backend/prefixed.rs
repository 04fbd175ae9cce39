//! A namespace for a backend without namespaces: its text is put before each key.

use super::admin;
use super::claim::Claim;
use super::contract::{Admin, Backend, BackendFuture, RevokedFuture};
use super::forcing::{ForcedRelease, Reopening};
use super::grant::Grant;
use super::inspection::Inspection;
use super::listing::{ListCursor, ListedLock, LockPage};
use super::request::AcquireRequest;
use crate::error::LockError;
use crate::guarantees::Guarantees;
use crate::key::{LockKey, Namespace};
use crate::lease::FencingToken;
use crate::time::{Clock, Moment};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// `backend` for the keys of `namespace`.
///
/// # Errors
/// As [`Backend::namespaced`].
pub(crate) fn in_namespace(
    backend: Arc<dyn Backend>,
    namespace: Namespace,
) -> Result<Arc<dyn Backend>, LockError> {
    match backend.namespaced(&namespace)? {
        Some(namespaced) => Ok(namespaced),
        None => Ok(Arc::new(Prefixed { backend, namespace })),
    }
}

/// Asks `backend` for the keys of a namespace.
struct Prefixed {
    backend: Arc<dyn Backend>,
    namespace: Namespace,
}

impl Prefixed {
    /// The claim as the backend sees it.
    fn inner(&self, claim: &Claim) -> Result<Claim, LockError> {
        let key = self.namespace.join(&claim.key).map_err(|error| error.with_key(&claim.key))?;
        Ok(Claim { key, ..claim.clone() })
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let request = request.for_claim(self.inner(&request.claim)?);
        self.backend.acquire(&request).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Prefixed {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn guarantees(&self) -> Guarantees {
        self.backend.guarantees()
    }

    fn is_local(&self) -> bool {
        self.backend.is_local()
    }

    fn clock(&self) -> Clock {
        self.backend.clock()
    }

    fn longest_lease(&self, claim: &Claim) -> Duration {
        self.inner(claim).map_or(Duration::ZERO, |inner| self.backend.longest_lease(&inner))
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        let key = &request.claim.key;
        Box::pin(async move { self.acquire(request).await.map_err(|error| error.about_key(key)) })
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            let inner = self.inner(claim)?;
            self.backend.renew(&inner).await.map_err(|error| error.about_key(&claim.key))
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            let inner = self.inner(claim)?;
            self.backend.release(&inner).await.map_err(|error| error.about_key(&claim.key))
        })
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            let (inner, request) = (self.inner(held)?, wanted.for_claim(self.inner(&wanted.claim)?));
            let exchanged = self.backend.exchange(&inner, &request).await;
            exchanged.map_err(|error| error.about_key(&held.key))
        })
    }

    fn acquire_at_once(&self, claim: &Claim, now: Moment) -> Option<Grant> {
        self.backend.acquire_at_once(&self.inner(claim).ok()?, now)
    }

    fn release_at_once(&self, claim: &Claim, now: Moment) -> Option<Result<(), LockError>> {
        let released = self.backend.release_at_once(&self.inner(claim).ok()?, now)?;
        Some(released.map_err(|error| error.about_key(&claim.key)))
    }

    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        Box::pin(async move {
            match self.inner(claim) {
                Ok(inner) => self.backend.revoked(&inner).await,
                // It was never granted.
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn admin(&self) -> Option<&dyn Admin> {
        self.backend.admin().map(|_| self as &dyn Admin)
    }

    fn namespace(&self) -> Option<&Namespace> {
        Some(&self.namespace)
    }

    fn namespaced(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        let (backend, namespace) = (Arc::clone(&self.backend), self.namespace.within(namespace)?);
        Ok(Some(Arc::new(Self { backend, namespace })))
    }
}

impl Admin for Prefixed {
    fn inspect<'a>(&'a self, key: &'a LockKey, asker: Option<&'a Claim>) -> BackendFuture<'a, Inspection> {
        Box::pin(async move {
            let (inner, asker) =
                (self.namespace.join(key)?, asker.map(|claim| self.inner(claim)).transpose()?);
            let inspected = admin::of(&*self.backend)?.inspect(&inner, asker.as_ref()).await;
            inspected.map_err(|error| error.about_key(key))
        })
    }

    fn list<'a>(&'a self, prefix: &'a [u8], from: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage> {
        Box::pin(async move {
            let namespace = self.namespace.as_str().as_bytes();
            let page = admin::of(&*self.backend)?.list(&[namespace, prefix].concat(), from).await?;
            // A key that is the namespace alone is none of it.
            let within = |lock: ListedLock| {
                let key = LockKey::new(lock.key.as_bytes().strip_prefix(namespace)?).ok()?;
                Some(ListedLock { key, ..lock })
            };
            Ok(LockPage::new(page.locks.into_iter().filter_map(within).collect(), page.next))
        })
    }

    fn force_release<'a>(
        &'a self,
        key: &'a LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> BackendFuture<'a, ForcedRelease> {
        Box::pin(async move {
            let inner = self.namespace.join(key)?;
            let forced = admin::of(&*self.backend)?.force_release(&inner, token, reopening).await;
            forced.map_err(|error| error.about_key(key))
        })
    }
}

impl fmt::Debug for Prefixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, namespace } = self;
        f.debug_struct("Prefixed").field("namespace", namespace).field("backend", backend).finish()
    }
}

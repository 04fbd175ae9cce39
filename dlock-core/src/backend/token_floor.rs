//! A backend whose tokens are lifted above those of the backend that the program had before.

use super::claim::Claim;
use super::contract::{Backend, BackendFuture, RevokedFuture};
use super::grant::Grant;
use super::request::AcquireRequest;
use crate::error::{ErrorKind, LockError};
use crate::key::Namespace;
use crate::lease::FencingToken;
use crate::time::{Clock, Moment};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The greatest floor. Every token above it can be held in a signed number of 64 bits.
const GREATEST: u64 = 1 << 62;

/// `backend` with every token greater by `floor`.
///
/// # Errors
/// [`ErrorKind::InvalidOption`] if tokens could not be held in a signed number of 64 bits.
pub(crate) fn lifted(backend: Arc<dyn Backend>, floor: u64) -> Result<Arc<dyn Backend>, LockError> {
    match floor {
        0 => Ok(backend),
        1..=GREATEST => Ok(Arc::new(Lifted { backend, floor })),
        _ => Err(LockError::new(ErrorKind::InvalidOption, "a token floor is 2^62 at most")),
    }
}

struct Lifted {
    backend: Arc<dyn Backend>,
    floor: u64,
}

impl Lifted {
    /// A sum keeps the order of tokens, and the distance between those of a block.
    fn lift(&self, mut grant: Grant) -> Grant {
        grant.token = FencingToken::new(grant.token.as_u64().saturating_add(self.floor));
        grant
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Lifted {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn is_local(&self) -> bool {
        self.backend.is_local()
    }

    fn clock(&self) -> Clock {
        self.backend.clock()
    }

    fn longest_lease(&self, claim: &Claim) -> Duration {
        self.backend.longest_lease(claim)
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move { Ok(self.lift(self.backend.acquire(request).await?)) })
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        self.backend.renew(claim)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        self.backend.release(claim)
    }

    fn acquire_at_once(&self, claim: &Claim, now: Moment) -> Option<Grant> {
        Some(self.lift(self.backend.acquire_at_once(claim, now)?))
    }

    fn release_at_once(&self, claim: &Claim, now: Moment) -> Option<Result<(), LockError>> {
        self.backend.release_at_once(claim, now)
    }

    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        self.backend.revoked(claim)
    }

    fn namespace(&self) -> Option<&Namespace> {
        self.backend.namespace()
    }

    fn namespaced(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        let lift = |backend| Arc::new(Self { backend, floor: self.floor }) as Arc<dyn Backend>;
        Ok(self.backend.namespaced(namespace)?.map(lift))
    }
}

impl fmt::Debug for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifted").field("floor", &self.floor).field("backend", &self.backend).finish()
    }
}

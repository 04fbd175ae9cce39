//! A backend whose tokens are lifted above those of the backend that the program had before.

use super::admin;
use super::claim::Claim;
use super::contract::{Admin, Backend, BackendFuture, RevokedFuture};
use super::forcing::{ForcedRelease, Reopening};
use super::grant::Grant;
use super::inspection::{HolderView, Inspection};
use super::listing::{ListCursor, LockPage};
use super::request::AcquireRequest;
use crate::error::{ErrorKind, LockError};
use crate::guarantees::Guarantees;
use crate::key::{LockKey, Namespace};
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
        grant.token = self.lifted(grant.token);
        grant
    }

    fn lift_holder(&self, holder: &mut HolderView) {
        holder.token = holder.token.map(|token| self.lifted(token));
    }

    fn lifted(&self, token: FencingToken) -> FencingToken {
        FencingToken::new(token.as_u64().saturating_add(self.floor))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Lifted {
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

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move { Ok(self.lift(self.backend.exchange(held, wanted).await?)) })
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

    fn admin(&self) -> Option<&dyn Admin> {
        self.backend.admin().map(|_| self as &dyn Admin)
    }

    fn namespace(&self) -> Option<&Namespace> {
        self.backend.namespace()
    }

    fn namespaced(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        let lift = |backend| Arc::new(Self { backend, floor: self.floor }) as Arc<dyn Backend>;
        Ok(self.backend.namespaced(namespace)?.map(lift))
    }
}

impl Admin for Lifted {
    fn inspect<'a>(&'a self, key: &'a LockKey, asker: Option<&'a Claim>) -> BackendFuture<'a, Inspection> {
        Box::pin(async move {
            let mut seen = admin::of(&*self.backend)?.inspect(key, asker).await?;
            seen.holders.iter_mut().for_each(|holder| self.lift_holder(holder));
            Ok(seen)
        })
    }

    fn list<'a>(&'a self, prefix: &'a [u8], from: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage> {
        Box::pin(async move {
            let mut page = admin::of(&*self.backend)?.list(prefix, from).await?;
            page.locks.iter_mut().for_each(|lock| self.lift_holder(&mut lock.holder));
            Ok(page)
        })
    }

    fn force_release<'a>(
        &'a self,
        key: &'a LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> BackendFuture<'a, ForcedRelease> {
        Box::pin(async move {
            let below = token.as_u64().checked_sub(self.floor).ok_or_else(admin::not_held_under_it)?;
            let below = FencingToken::new(below);
            let forced = admin::of(&*self.backend)?.force_release(key, below, reopening).await?;
            Ok(ForcedRelease { fence: self.lifted(forced.fence), ..forced })
        })
    }
}

impl fmt::Debug for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifted").field("floor", &self.floor).field("backend", &self.backend).finish()
    }
}

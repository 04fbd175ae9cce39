//! A twin that takes its session for alive until it is told otherwise, as most lock clients of ZooKeeper do: it
//! neither asks the leader nor looks at a clock.

use super::*;
use dlock_core::LockError;
use dlock_core::backend::{AcquireRequest, BackendFuture, Claim, Grant};

#[derive(Debug)]
pub(super) struct Trusting(pub(super) ZooKeeperBackend);

/// Longer than any test.
fn for_ever() -> Moment {
    Moment::now().after(Duration::from_secs(3_600))
}

impl Backend for Trusting {
    fn name(&self) -> &'static str {
        "trusting"
    }

    fn guarantees(&self) -> dlock_core::Guarantees {
        dlock_core::Guarantees::empty()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            // A request of its own, so that no guard hears when the session is in doubt.
            let unheard = AcquireRequest::new(request.claim.clone(), request.mode);
            Ok(Grant::new(self.0.acquire(&unheard).await?.token, for_ever()))
        })
    }

    fn renew<'a>(&'a self, _: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async { Ok::<_, LockError>(for_ever()) })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        self.0.release(claim)
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        self.0.exchange(held, wanted)
    }
}

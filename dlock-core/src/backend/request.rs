//! What a backend is asked when a lock is acquired, and where it reports later.

use super::claim::Claim;
use super::progress::Progress;
use crate::lease::{LeaseObserver, LossReason};
use std::sync::{Arc, Weak};

/// Whether an acquire waits its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Answer at once.
    Try,
    /// Wait until granted.
    Wait,
}

/// What a [`Backend`](super::Backend) is asked when a lock is acquired.
#[derive(Debug)]
#[non_exhaustive]
pub struct AcquireRequest {
    /// Who wants what.
    pub claim: Claim,
    /// Whether to wait.
    pub mode: Mode,
    /// Where the backend reports what it is waiting for.
    pub progress: Arc<Progress>,
    interest: Arc<dyn LeaseObserver>,
}

impl AcquireRequest {
    /// A request for `claim`.
    #[must_use]
    pub fn new(claim: Claim, mode: Mode) -> Self {
        Self::of(claim, mode, Arc::default(), Arc::new(Nobody))
    }

    /// A request whose progress and loss are reported to others.
    pub(crate) fn of(
        claim: Claim,
        mode: Mode,
        progress: Arc<Progress>,
        interest: Arc<dyn LeaseObserver>,
    ) -> Self {
        Self { claim, mode, progress, interest }
    }

    /// The same request for the claim as a backend within this one knows it.
    pub(crate) fn for_claim(&self, claim: Claim) -> Self {
        Self::of(claim, self.mode, Arc::clone(&self.progress), Arc::clone(&self.interest))
    }

    /// Where the backend reports, after the grant, that the grant is gone or in doubt. Keep it for as long as the grant
    /// lasts.
    #[must_use]
    pub fn loss(&self) -> LossSignal {
        LossSignal(Arc::downgrade(&self.interest))
    }
}

/// For a request that reports its loss to no one.
#[derive(Debug)]
struct Nobody;

impl LeaseObserver for Nobody {
    fn lose(&self, _: LossReason) {}

    fn doubt(&self) {}

    fn trust(&self) {}
}

/// Tells the guard of a grant that the grant is gone or in doubt. Does nothing once there is no guard.
#[derive(Debug, Clone)]
pub struct LossSignal(Weak<dyn LeaseObserver>);

impl LossSignal {
    /// The signal of a grant that has no guard yet.
    pub(crate) fn idle() -> Self {
        Self(Weak::<Nobody>::new())
    }

    /// Ends the lease, once.
    pub fn lose(&self, reason: LossReason) {
        if let Some(interest) = self.0.upgrade() {
            interest.lose(reason);
        }
    }

    /// Ends the lease, and says whether there was one to end.
    #[cfg(feature = "redis")]
    pub(crate) fn is_told(&self, reason: LossReason) -> bool {
        let told = self.0.upgrade().map(|interest| interest.lose(reason));
        told.is_some()
    }

    /// Says that the backend cannot vouch for the grant for the moment: the guard is
    /// [`Suspect`](crate::GuardState::Suspect) until [`trust`](Self::trust), whatever renewals say. The deadline
    /// of the lease stays.
    pub fn doubt(&self) {
        if let Some(interest) = self.0.upgrade() {
            interest.doubt();
        }
    }

    /// Takes back what [`doubt`](Self::doubt) said.
    pub fn trust(&self) {
        if let Some(interest) = self.0.upgrade() {
            interest.trust();
        }
    }

    /// Whether the grant has no use left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.strong_count() == 0
    }
}

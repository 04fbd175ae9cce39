//! One acquisition, from its request to its release.

use crate::backend::{Claim, Grant};
use crate::key::Namespace;
use crate::lease::{Doubt, LeaseObserver, LeaseState, LossReason};
use crate::time::{Clock, Moment};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::field::display;

/// What the request, the guard, the views of the lease and the renewal share: one allocation for each lock.
#[derive(Debug)]
pub(crate) struct Acquisition {
    pub(crate) claim: Claim,
    pub(crate) clock: Clock,
    backend: &'static str,
    namespace: Option<Namespace>,
    lease: LeaseState,
    /// When it is due for renewal. That is for the table of renewals to say, under a lock of its own; it is kept here
    /// so that the table finds its entry.
    due: AtomicU64,
}

impl Acquisition {
    pub(crate) fn new(claim: Claim, clock: Clock, backend: &'static str) -> Self {
        let (lease, due) = (LeaseState::pending(), AtomicU64::default());
        Self { claim, clock, backend, namespace: None, lease, due }
    }

    /// The same, whose end is told with the namespace of the key.
    pub(crate) fn in_namespace(self, namespace: Option<&Namespace>) -> Self {
        Self { namespace: namespace.cloned(), ..self }
    }

    /// The same, which tells the causes of an expired lease apart.
    pub(crate) fn tell_causes(self) -> Self {
        Self { lease: self.lease.tell_causes(), ..self }
    }

    /// What is known of the lease. It is granted, extended and ended here, where its end is told.
    pub(crate) fn lease(&self) -> &LeaseState {
        &self.lease
    }

    pub(crate) fn grant(&self, grant: &Grant) {
        if let Some(reason) = self.lease.grant(grant.token, grant.valid_until) {
            // The backend took it back before its caller had it.
            self.tell(reason);
        }
    }

    /// Moves the deadline later, unless the lease is over at `now`: then it is over for good.
    pub(crate) fn extend(&self, valid_until: Moment, now: Moment) -> bool {
        let is_valid = self.lease.extend(valid_until, now);
        if !is_valid {
            self.end(LossReason::Expired);
        }
        is_valid
    }

    /// Ends the lease. The first reason stays, and is told at once. If only the end is known, the cause is worked out.
    pub(crate) fn end(&self, reason: LossReason) {
        let reason = match reason {
            LossReason::Expired => self.lease.loss(self.clock.now()).unwrap_or(reason),
            known => known,
        };
        if self.lease.end(reason) {
            self.tell(reason);
        }
    }

    /// Waits until the lease is over.
    pub(crate) async fn lost(&self) -> LossReason {
        let reason = self.lease.lost(&self.clock).await;
        self.end(reason);
        reason
    }

    /// The one event of a lost lock. A lock that its holder released is not lost.
    fn tell(&self, reason: LossReason) {
        if reason != LossReason::Released {
            let (key, namespace) = (&self.claim.key, self.namespace.as_ref().map(display));
            tracing::error!(%key, namespace, backend = self.backend, %reason, "lock lost");
        }
    }

    /// For how long it has been held, to the second, and for long enough.
    pub(crate) fn age(&self) -> Duration {
        self.lease.age(self.clock.now())
    }

    pub(crate) fn due(&self) -> Moment {
        Moment::from_nanos(self.due.load(Ordering::Relaxed))
    }

    pub(crate) fn set_due(&self, at: Moment) {
        self.due.store(at.as_nanos(), Ordering::Relaxed);
    }
}

impl LeaseObserver for Acquisition {
    fn lose(&self, reason: LossReason) {
        self.end(reason);
    }

    fn doubt(&self) {
        self.lease.doubt(Doubt::Backend);
    }

    fn trust(&self) {
        self.lease.trust(Doubt::Backend);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LockKey;
    use crate::lease::{FencingToken, Ttl};

    #[test]
    fn a_lease_that_expired_is_not_revived_by_a_late_renewal() {
        let at = |millis| Moment::START.after(Duration::from_millis(millis));
        let claim = Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap();
        let acquisition = Acquisition::new(claim, Clock::default(), "test");
        acquisition.grant(&Grant::new(FencingToken::new(7), at(100)));
        assert!(acquisition.extend(at(200), at(50)));
        assert!(!acquisition.extend(at(400), at(200)), "came at the deadline");
        assert_eq!(acquisition.lease().loss(at(0)), Some(LossReason::Expired), "and is lost for good");
    }
}

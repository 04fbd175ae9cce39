//! The local state of one lease.

use super::LossReason;
use crate::time::{Moment, sleep_until};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// The local state of one lease: its deadline by the lease clock, and how it ended.
///
/// Whether it is valid is computed from the clock at each call, never from a flag that a task sets in time.
#[derive(Debug)]
pub(crate) struct LeaseState {
    valid_until: AtomicU64,
    ended: OnceLock<LossReason>,
    changed: Notify,
}

impl LeaseState {
    /// A lease that was not granted yet: not valid.
    pub(crate) fn pending() -> Self {
        Self { valid_until: AtomicU64::new(0), ended: OnceLock::new(), changed: Notify::new() }
    }

    pub(crate) fn valid_until(&self) -> Moment {
        Moment::from_nanos(self.valid_until.load(Ordering::Acquire))
    }

    /// Sets the deadline of the grant.
    pub(crate) fn grant(&self, valid_until: Moment) {
        self.valid_until.store(valid_until.as_nanos(), Ordering::Release);
    }

    /// Moves the deadline later, unless the lease is over at `now`: a lease that was seen as lost stays lost.
    pub(crate) fn extend(&self, valid_until: Moment, now: Moment) -> bool {
        if self.loss(now).is_some() {
            self.end(LossReason::Expired);
            return false;
        }
        self.valid_until.fetch_max(valid_until.as_nanos(), Ordering::AcqRel);
        true
    }

    /// Ends the lease. The first reason stays.
    pub(crate) fn end(&self, reason: LossReason) {
        if self.ended.set(reason).is_ok() {
            self.changed.notify_waiters();
        }
    }

    /// Why the lease is over at `now`, or `None` while it is valid.
    pub(crate) fn loss(&self, now: Moment) -> Option<LossReason> {
        match self.ended.get() {
            Some(reason) => Some(*reason),
            None if now >= self.valid_until() => Some(LossReason::Expired),
            None => None,
        }
    }

    pub(crate) fn remaining(&self, now: Moment) -> Duration {
        match self.loss(now) {
            Some(_) => Duration::ZERO,
            None => self.valid_until().since(now),
        }
    }

    /// Waits until the lease is over, by its own timer at the deadline (I3).
    pub(crate) async fn lost(&self) -> LossReason {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(reason) = self.loss(Moment::now()) {
                self.end(reason);
                return reason;
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(self.valid_until()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    #[test]
    fn a_lease_is_valid_up_to_its_deadline_and_not_at_it() {
        let lease = LeaseState::pending();
        assert_eq!(lease.loss(at(0)), Some(LossReason::Expired), "not granted yet");
        lease.grant(at(100));
        assert_eq!(lease.loss(at(99)), None);
        assert_eq!(lease.remaining(at(60)), Duration::from_millis(40));
        assert_eq!(lease.loss(at(100)), Some(LossReason::Expired));
        assert_eq!(lease.remaining(at(100)), Duration::ZERO);
    }

    #[test]
    fn a_lease_that_expired_is_not_revived_by_a_late_renewal() {
        let lease = LeaseState::pending();
        lease.grant(at(100));
        assert!(lease.extend(at(200), at(50)));
        assert!(!lease.extend(at(400), at(200)), "came at the deadline");
        assert_eq!(lease.loss(at(0)), Some(LossReason::Expired), "and is lost for good");
    }

    #[test]
    fn the_first_reason_of_a_loss_stays() {
        let lease = LeaseState::pending();
        lease.grant(at(100));
        lease.end(LossReason::NotOwner);
        lease.end(LossReason::Released);
        assert_eq!(lease.loss(at(0)), Some(LossReason::NotOwner));
    }
}

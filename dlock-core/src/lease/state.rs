//! The local state of one lease.

use super::{GuardState, LossReason};
use crate::key::LockKey;
use crate::time::{Moment, sleep_until};
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// What is known here of one lease: its deadline by the lease clock, what the backend's last word was, and how
/// it ended.
///
/// Whether it is valid is computed from the clock at each call, never from a flag that a task sets in time.
#[derive(Debug)]
pub(crate) struct LeaseState {
    valid_until: AtomicU64,
    ended: OnceLock<LossReason>,
    /// Who has doubts, by [`Doubt`]. Looked at by whoever asks, and by a renewal only to see that it is zero.
    doubts: AtomicU8,
    /// Told of the end, and of the first and the last doubt.
    changed: Notify,
    /// Of whom to tell that the lock was lost. Taken by whoever tells it.
    holder: Mutex<Option<Holder>>,
}

/// Who has doubts about a lease that is still valid.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Doubt {
    /// A renewal failed.
    Renewal = 1,
    /// The backend said so by itself.
    Backend = 2,
}

/// Who holds what, in the words of the event that says that it was lost.
#[derive(Debug)]
struct Holder {
    key: LockKey,
    backend: &'static str,
}

/// Wants to know what becomes of a grant.
pub(crate) trait Interest: fmt::Debug + Send + Sync {
    /// It is gone.
    fn lose(&self, reason: LossReason);

    /// The backend cannot vouch for it for the moment.
    fn doubt(&self);

    /// It can again.
    fn trust(&self);
}

impl Interest for LeaseState {
    fn lose(&self, reason: LossReason) {
        self.end(reason);
    }

    fn doubt(&self) {
        Self::doubt(self, Doubt::Backend);
    }

    fn trust(&self) {
        Self::trust(self, Doubt::Backend);
    }
}

impl LeaseState {
    /// A lease that was not granted yet: not valid.
    pub(crate) fn pending() -> Self {
        Self {
            valid_until: AtomicU64::new(0),
            ended: OnceLock::new(),
            doubts: AtomicU8::new(0),
            changed: Notify::new(),
            holder: Mutex::new(None),
        }
    }

    pub(crate) fn valid_until(&self) -> Moment {
        Moment::from_nanos(self.valid_until.load(Ordering::Acquire))
    }

    /// Sets the deadline of the grant, and of whom to tell if the lock is lost from now on.
    pub(crate) fn grant(&self, valid_until: Moment, key: &LockKey, backend: &'static str) {
        self.valid_until.store(valid_until.as_nanos(), Ordering::Release);
        *self.holder.lock() = Some(Holder { key: key.clone(), backend });
        // The backend may have taken it back before anybody could be named.
        if let Some(reason) = self.ended.get() {
            self.tell(*reason);
        }
    }

    /// Moves the deadline later, unless the lease is over at `now`: a lease that was seen as lost stays lost.
    pub(crate) fn extend(&self, valid_until: Moment, now: Moment) -> bool {
        if self.loss(now).is_some() {
            self.end(LossReason::Expired);
            return false;
        }
        self.valid_until.fetch_max(valid_until.as_nanos(), Ordering::AcqRel);
        self.trust(Doubt::Renewal);
        true
    }

    /// Ends the lease. The first reason stays, and is told at once.
    pub(crate) fn end(&self, reason: LossReason) {
        if self.ended.set(reason).is_ok() {
            self.changed.notify_waiters();
            self.tell(reason);
        }
    }

    /// The one event of a lost lock. A lock that its holder released is not lost.
    fn tell(&self, reason: LossReason) {
        let holder = self.holder.lock().take();
        if let Some(Holder { key, backend }) = holder.filter(|_| reason != LossReason::Released) {
            tracing::error!(%key, backend, %reason, "lock lost");
        }
    }

    /// Says that the last word of the backend was a bad one.
    pub(crate) fn doubt(&self, doubt: Doubt) {
        if self.doubts.fetch_or(doubt as u8, Ordering::AcqRel) == 0 {
            self.changed.notify_waiters();
        }
    }

    /// Takes this doubt back. Costs a read where there is none.
    pub(crate) fn trust(&self, doubt: Doubt) {
        let doubt = doubt as u8;
        if self.doubts.load(Ordering::Acquire) != 0
            && self.doubts.fetch_and(!doubt, Ordering::AcqRel) == doubt
        {
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

    pub(crate) fn state(&self, now: Moment) -> GuardState {
        match self.loss(now) {
            Some(reason) => GuardState::Lost(reason),
            None if self.doubts.load(Ordering::Acquire) != 0 => GuardState::Suspect,
            None => GuardState::Held,
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
        self.find(|| self.loss(Moment::now()).inspect(|reason| self.end(*reason))).await
    }

    /// Waits until the state is another one than `seen`.
    pub(crate) async fn state_other_than(&self, seen: GuardState) -> GuardState {
        self.find(|| Some(self.state(Moment::now())).filter(|state| *state != seen)).await
    }

    /// What `look` finds, now or after a change or the deadline.
    async fn find<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            self.changed_or_due(changed).await;
        }
    }

    async fn changed_or_due(&self, changed: impl Future<Output = ()>) {
        let valid_until = self.valid_until();
        if valid_until <= Moment::now() {
            return changed.await;
        }
        tokio::select! {
            () = changed => {}
            () = sleep_until(valid_until) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    fn key() -> LockKey {
        LockKey::new("k").unwrap()
    }

    #[test]
    fn a_lease_is_suspect_while_anybody_doubts_it() {
        let lease = LeaseState::pending();
        lease.grant(at(100), &key(), "test");
        assert_eq!(lease.state(at(0)), GuardState::Held);
        lease.doubt(Doubt::Renewal);
        lease.doubt(Doubt::Backend);
        assert!(lease.extend(at(200), at(50)));
        assert_eq!(lease.state(at(0)), GuardState::Suspect, "a renewal does not speak for the backend");
        lease.trust(Doubt::Backend);
        assert_eq!(lease.state(at(0)), GuardState::Held);
    }

    #[test]
    fn a_lost_lease_is_neither_doubted_nor_trusted() {
        let lease = LeaseState::pending();
        lease.grant(at(100), &key(), "test");
        lease.doubt(Doubt::Backend);
        assert_eq!(lease.state(at(100)), GuardState::Lost(LossReason::Expired));
        lease.end(LossReason::NotOwner);
        lease.trust(Doubt::Backend);
        assert_eq!(lease.state(at(0)), GuardState::Lost(LossReason::NotOwner));
    }

    #[tokio::test]
    async fn who_waits_for_another_state_is_told_of_each() {
        let lease = LeaseState::pending();
        lease.grant(Moment::now().after(Duration::from_secs(60)), &key(), "test");
        let change = async {
            lease.doubt(Doubt::Renewal);
        };
        let (state, ()) = tokio::join!(lease.state_other_than(GuardState::Held), change);
        assert_eq!(state, GuardState::Suspect);
        let change = async { lease.end(LossReason::NotOwner) };
        let (state, ()) = tokio::join!(lease.state_other_than(GuardState::Suspect), change);
        assert_eq!(state, GuardState::Lost(LossReason::NotOwner));
    }

    #[test]
    fn a_lease_is_valid_up_to_its_deadline_and_not_at_it() {
        let lease = LeaseState::pending();
        assert_eq!(lease.loss(at(0)), Some(LossReason::Expired), "not granted yet");
        lease.grant(at(100), &key(), "test");
        assert_eq!(lease.loss(at(99)), None);
        assert_eq!(lease.remaining(at(60)), Duration::from_millis(40));
        assert_eq!(lease.loss(at(100)), Some(LossReason::Expired));
        assert_eq!(lease.remaining(at(100)), Duration::ZERO);
    }

    #[test]
    fn a_lease_that_expired_is_not_revived_by_a_late_renewal() {
        let lease = LeaseState::pending();
        lease.grant(at(100), &key(), "test");
        assert!(lease.extend(at(200), at(50)));
        assert!(!lease.extend(at(400), at(200)), "came at the deadline");
        assert_eq!(lease.loss(at(0)), Some(LossReason::Expired), "and is lost for good");
    }

    #[test]
    fn the_first_reason_of_a_loss_stays() {
        let lease = LeaseState::pending();
        lease.grant(at(100), &key(), "test");
        lease.end(LossReason::NotOwner);
        lease.end(LossReason::Released);
        assert_eq!(lease.loss(at(0)), Some(LossReason::NotOwner));
    }
}

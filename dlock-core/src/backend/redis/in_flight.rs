//! Which owners have a request under way that may be carried out late.
//!
//! A request that ran out of time, or whose future was dropped, may still lie unread in the server's socket,
//! also after its connection was closed. Carried out after the owner's release it would take the lock for
//! nobody. So the release of such an owner leaves word with the server (I4, I5).

use crate::backend::Claim;
use crate::backend::expiring_map::{ExpiringMap, memory};
use crate::lease::{OwnerId, Ttl};
use crate::time::Moment;
use parking_lot::Mutex;

/// The owners in doubt.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<ExpiringMap<()>>);

impl InFlight {
    /// To be made before a request of the claim's owner is sent, and settled by its answer.
    pub(super) fn about(&self, claim: &Claim) -> RequestInFlight<'_> {
        RequestInFlight { doubts: self, owner: claim.owner, ttl: claim.ttl, settled: false }
    }

    /// Whether a request of this owner may still be under way.
    pub(super) fn is_in_doubt(&self, owner: OwnerId, now: Moment) -> bool {
        let mut doubts = self.0.lock();
        doubts.sweep(now);
        doubts.get(owner).is_some()
    }

    /// How many owners are in doubt at `now`.
    pub(super) fn len(&self, now: Moment) -> usize {
        self.0.lock().len(now)
    }

    /// The owner has left, and the server knows.
    pub(super) fn forget(&self, owner: OwnerId) {
        self.0.lock().remove(owner);
    }

    fn note(&self, owner: OwnerId, ttl: Ttl, now: Moment) {
        self.0.lock().set(owner, (), now.after(memory(ttl)), now);
    }
}

/// A request under way. Dropped without an answer, it leaves its owner in doubt.
#[derive(Debug)]
pub(super) struct RequestInFlight<'a> {
    doubts: &'a InFlight,
    owner: OwnerId,
    ttl: Ttl,
    settled: bool,
}

impl RequestInFlight<'_> {
    /// The one copy of the request was answered, or was never sent: nothing of it is under way.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for RequestInFlight<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.doubts.note(self.owner, self.ttl, Moment::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LockKey;

    fn claim() -> Claim {
        Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap()
    }

    #[test]
    fn only_an_answer_settles_a_doubt_and_only_a_release_ends_one() {
        let (doubts, claim, now) = (InFlight::default(), claim(), Moment::now());
        doubts.about(&claim).settle();
        assert!(!doubts.is_in_doubt(claim.owner, now));
        drop(doubts.about(&claim));
        doubts.about(&claim).settle();
        assert!(
            doubts.is_in_doubt(claim.owner, now),
            "the second answer says nothing about the first request"
        );
        doubts.forget(claim.owner);
        assert!(!doubts.is_in_doubt(claim.owner, now));
    }

    #[test]
    fn a_doubt_that_no_release_ends_is_over_after_a_minute_or_a_lease() {
        let (doubts, claim) = (InFlight::default(), claim());
        drop(doubts.about(&claim));
        let (asked, memory) = (Moment::now(), memory(claim.ttl));
        assert!(doubts.is_in_doubt(claim.owner, asked));
        assert_eq!(doubts.len(asked.after(memory / 2)), 1);
        assert_eq!(doubts.len(asked.after(memory)), 0);
    }
}

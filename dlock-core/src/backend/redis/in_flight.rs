//! Which owners have a request under way that may be carried out late.
//!
//! Requests of one owner may travel over two connections: that of a caller's runtime, and the keeper's. So an owner is in
//! doubt from before a request is sent until its only copy is answered. A request that ran out of time, or whose future
//! was dropped, may still lie unread in the server's socket, even after its connection was closed. Carried out after
//! the owner's release, it would take the lock for an owner that has left. So the release of such an owner leaves a
//! mark at the server. An owner that was released while a request of it was open is released again when that request is
//! over (I4, I5).

use crate::backend::Claim;
use crate::backend::expiring_map::{ExpiringMap, memory};
use crate::lease::OwnerId;
use crate::time::Moment;
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::time::Duration;

/// The owners with requests that are open, or in doubt.
#[derive(Default)]
pub(super) struct InFlight {
    owners: Mutex<ExpiringMap<OwnerRequests>>,
    on_late: OnceLock<Box<dyn Fn(Claim) + Send + Sync>>,
}

/// What is under way of one owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OwnerRequests {
    /// How many requests are waited for.
    open: u32,
    /// Whether a request was given up, or sent twice.
    in_doubt: bool,
    /// Whether the owner was released while a request was open.
    released: bool,
}

impl OwnerRequests {
    /// The only copy of a request was answered, or the request is in doubt from now on. Returns whether the owner must
    /// be released again.
    fn end_one(&mut self, is_settled: bool) -> bool {
        self.open = self.open.saturating_sub(1);
        self.in_doubt |= !is_settled;
        self.open == 0 && std::mem::take(&mut self.released)
    }

    /// The owner leaves. Returns whether a request of it may still be carried out later.
    fn leave(&mut self) -> bool {
        self.released |= self.open > 0;
        self.open > 0 || self.in_doubt
    }
}

impl InFlight {
    /// What to do about an owner that was released while a request was open, when the request is over. It is called where
    /// it must not block.
    pub(super) fn on_late(&self, release: impl Fn(Claim) + Send + Sync + 'static) {
        let _ = self.on_late.set(Box::new(release));
    }

    /// Make this before a request of the claim's owner is sent, and settle it with the answer.
    pub(super) fn begin<'a>(&'a self, claim: &'a Claim, now: Moment) -> RequestInFlight<'a> {
        let mut owners = self.owners.lock();
        let mut requests = owners.get(claim.owner).copied().unwrap_or_default();
        requests.open += 1;
        set(&mut owners, claim, requests, now);
        RequestInFlight { of: self, claim, is_over: false }
    }

    /// Whether a request of this owner may still be under way.
    pub(super) fn is_in_doubt(&self, owner: OwnerId, now: Moment) -> bool {
        let mut owners = self.owners.lock();
        owners.sweep(now);
        owners.get(owner).is_some()
    }

    /// How many owners have a request that may be under way at `now`.
    pub(super) fn len(&self, now: Moment) -> usize {
        self.owners.lock().len(now)
    }

    /// Make this before the owner is released, and confirm it with the answer. Without an answer the doubt lasts from
    /// then on.
    pub(super) fn leave<'a>(&'a self, claim: &'a Claim, now: Moment) -> Leaving<'a> {
        let mut owners = self.owners.lock();
        owners.sweep(now);
        let is_in_doubt = owners.get_mut(claim.owner).is_some_and(OwnerRequests::leave);
        Leaving { of: self, claim, is_in_doubt, is_confirmed: false }
    }

    /// Whether the owner was released meanwhile, and is released again.
    fn end(&self, claim: &Claim, is_settled: bool) -> bool {
        let mut owners = self.owners.lock();
        let mut requests = owners.take(claim.owner).unwrap_or_default();
        let again = requests.end_one(is_settled);
        // Most requests leave nothing to remember, and so need no clock.
        if requests != OwnerRequests::default() {
            set(&mut owners, claim, requests, Moment::now());
        }
        drop(owners);
        if let (true, Some(release)) = (again, self.on_late.get()) {
            release(claim.clone());
        }
        again
    }
}

/// An open request is remembered until it is over; a doubt for as long as it can matter.
fn set(owners: &mut ExpiringMap<OwnerRequests>, claim: &Claim, requests: OwnerRequests, now: Moment) {
    let memory = if requests.open > 0 { Duration::MAX } else { memory(claim.ttl) };
    owners.set(claim.owner, requests, now.after(memory), now);
}

/// A request under way. Dropped without an answer, it leaves its owner in doubt.
pub(super) struct RequestInFlight<'a> {
    of: &'a InFlight,
    claim: &'a Claim,
    is_over: bool,
}

impl RequestInFlight<'_> {
    /// The only copy of the request was answered, or was never sent: nothing of it is under way. Returns whether the
    /// owner is still there. If it is not, a grant goes back.
    #[must_use]
    pub(super) fn settle(mut self) -> bool {
        self.is_over = true;
        !self.of.end(self.claim, true)
    }
}

impl Drop for RequestInFlight<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.of.end(self.claim, false);
        }
    }
}

/// An owner that is being released.
pub(super) struct Leaving<'a> {
    of: &'a InFlight,
    claim: &'a Claim,
    is_in_doubt: bool,
    is_confirmed: bool,
}

impl Leaving<'_> {
    /// Whether a request of the owner may be carried out after the release.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// The owner has left, and the server knows what may come late.
    pub(super) fn confirmed(mut self) {
        self.is_confirmed = true;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.is_in_doubt {
            return;
        }
        let (mut owners, now) = (self.of.owners.lock(), Moment::now());
        let before = owners.take(self.claim.owner).unwrap_or_default();
        let requests = OwnerRequests { in_doubt: !self.is_confirmed, ..before };
        if requests != OwnerRequests::default() {
            set(&mut owners, self.claim, requests, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LockKey;
    use crate::lease::Ttl;
    use std::sync::Arc;

    fn claim() -> Claim {
        Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap()
    }

    /// And the owners that were to be released again.
    fn in_flight() -> (InFlight, Arc<Mutex<Vec<OwnerId>>>) {
        let (in_flight, again) = (InFlight::default(), Arc::<Mutex<Vec<_>>>::default());
        let told = Arc::clone(&again);
        in_flight.on_late(move |claim| told.lock().push(claim.owner));
        (in_flight, again)
    }

    #[test]
    fn only_an_answer_settles_a_doubt_and_only_a_release_ends_one() {
        let ((requests, again), claim, now) = (in_flight(), claim(), Moment::now());
        let open = requests.begin(&claim, now);
        assert!(requests.is_in_doubt(claim.owner, now), "it may be carried out any moment");
        assert!(open.settle());
        assert!(!requests.is_in_doubt(claim.owner, now));
        drop(requests.begin(&claim, now));
        assert!(requests.begin(&claim, now).settle());
        assert!(
            requests.is_in_doubt(claim.owner, now),
            "the second answer says nothing about the first request"
        );
        drop(requests.leave(&claim, now));
        assert!(requests.is_in_doubt(claim.owner, now), "the release was not confirmed");
        let leaving = requests.leave(&claim, now);
        assert!(leaving.is_in_doubt());
        leaving.confirmed();
        assert!(!requests.is_in_doubt(claim.owner, now));
        assert!(again.lock().is_empty());
    }

    #[test]
    fn an_owner_that_is_released_under_an_open_request_is_released_again_after_it() {
        for is_answered in [true, false] {
            let ((requests, again), claim, now) = (in_flight(), claim(), Moment::now());
            let (open, other) = (requests.begin(&claim, now), requests.begin(&claim, now));
            let leaving = requests.leave(&claim, now);
            assert!(leaving.is_in_doubt());
            leaving.confirmed();
            assert!(other.settle());
            assert!(again.lock().is_empty(), "one request is open");
            if is_answered {
                assert!(!open.settle(), "its grant goes back");
            } else {
                drop(open);
            }
            assert_eq!(*again.lock(), [claim.owner]);
            assert_eq!(requests.leave(&claim, now).is_in_doubt(), !is_answered);
        }
    }

    #[test]
    fn an_owner_without_requests_leaves_nothing_behind() {
        let ((requests, again), claim, now) = (in_flight(), claim(), Moment::now());
        assert!(requests.begin(&claim, now).settle());
        for is_confirmed in [false, true] {
            let leaving = requests.leave(&claim, now);
            assert!(!leaving.is_in_doubt());
            if is_confirmed { leaving.confirmed() } else { drop(leaving) }
        }
        assert_eq!((requests.len(now), again.lock().len()), (0, 0));
    }

    #[test]
    fn a_doubt_that_no_release_ends_is_over_after_a_minute_or_a_lease_and_an_open_request_is_not() {
        let ((requests, _), claim, open) = (in_flight(), claim(), claim());
        drop(requests.begin(&claim, Moment::now()));
        let request = requests.begin(&open, Moment::now());
        let (asked, memory) = (Moment::now(), memory(claim.ttl));
        assert!(requests.is_in_doubt(claim.owner, asked));
        assert_eq!(requests.len(asked.after(memory / 2)), 2);
        assert_eq!(requests.len(asked.after(memory)), 1);
        drop(request);
    }
}

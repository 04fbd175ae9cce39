//! Which owners have a request under way that may be carried out late.
//!
//! A request that ran out of time, or whose future was dropped, may still lie unread in the server's socket,
//! also after its connection was closed. Carried out after the owner's release it would take the lock for
//! nobody. So the release of such an owner leaves word with the server (I4, I5).

use crate::backend::expiring_map::ExpiringMap;
use crate::lease::OwnerId;
use crate::time::Moment;
use parking_lot::Mutex;
use std::time::Duration;

/// The owners in doubt.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<ExpiringMap<()>>);

/// After this time no request of an owner is waited for any more. Only owners whose release never succeeded
/// are still here then.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl InFlight {
    /// To be made before a request of `owner` is sent, and settled by its answer.
    pub(super) fn about(&self, owner: OwnerId) -> RequestInFlight<'_> {
        RequestInFlight { doubts: self, owner, settled: false }
    }

    pub(super) fn is_in_doubt(&self, owner: OwnerId) -> bool {
        self.0.lock().get(owner).is_some()
    }

    /// The owner has left, and the server knows.
    pub(super) fn forget(&self, owner: OwnerId) {
        self.0.lock().remove(owner);
    }

    fn note(&self, owner: OwnerId, now: Moment) {
        self.0.lock().set(owner, (), now.after(LONGEST), now);
    }
}

/// A request under way. Dropped without an answer, it leaves its owner in doubt.
#[derive(Debug)]
pub(super) struct RequestInFlight<'a> {
    doubts: &'a InFlight,
    owner: OwnerId,
    settled: bool,
}

impl RequestInFlight<'_> {
    /// The one copy of the request was answered: it will not be carried out any more.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for RequestInFlight<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.doubts.note(self.owner, Moment::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_settles_a_doubt_and_only_a_release_ends_one() {
        let (doubts, owner) = (InFlight::default(), OwnerId::random().unwrap());
        doubts.about(owner).settle();
        assert!(!doubts.is_in_doubt(owner));
        drop(doubts.about(owner));
        doubts.about(owner).settle();
        assert!(doubts.is_in_doubt(owner), "the second answer says nothing about the first request");
        doubts.forget(owner);
        assert!(!doubts.is_in_doubt(owner));
    }
}

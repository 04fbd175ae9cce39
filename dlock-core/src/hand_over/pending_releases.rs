//! Acquisitions that no queue knows any more and that the backend is still to release. Plain data.

use crate::backend::Claim;
use crate::backend::expiring_map::{ExpiringMap, memory};
use crate::lease::OwnerId;
use crate::time::Moment;

/// By the owner whose release has to reach the backend.
#[derive(Debug, Default)]
pub(super) struct PendingReleases(ExpiringMap<Vec<Claim>>);

impl PendingReleases {
    /// The release of `owner` has to reach the backend for this acquisition.
    pub(super) fn note(&mut self, owner: OwnerId, competitor: &Claim, now: Moment) {
        match self.0.get_mut(owner) {
            Some(competitors) => competitors.push(competitor.clone()),
            None => self.0.set(owner, vec![competitor.clone()], now.after(memory(competitor.ttl)), now),
        }
    }

    /// What the release of `owner` has to tell the backend.
    pub(super) fn of(&self, owner: OwnerId) -> Option<Claim> {
        self.0.get(owner)?.last().cloned()
    }

    /// The backend did not confirm the release of this acquisition, and will be asked again. It is forgotten a lease, or
    /// a minute, after the last time.
    pub(super) fn keep(&mut self, owner: OwnerId, competitor: &Claim, now: Moment) {
        self.is_gone(owner, competitor.owner);
        let mut competitors = self.0.take(owner).unwrap_or_default();
        competitors.push(competitor.clone());
        self.0.set(owner, competitors, now.after(memory(competitor.ttl)), now);
    }

    /// The backend has released it.
    pub(super) fn is_gone(&mut self, owner: OwnerId, competitor: OwnerId) {
        let Some(competitors) = self.0.get_mut(owner) else { return };
        competitors.retain(|claim| claim.owner != competitor);
        if competitors.is_empty() {
            self.0.remove(owner);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LockKey;
    use crate::lease::Ttl;

    fn claim() -> Claim {
        Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap()
    }

    #[test]
    fn each_acquisition_of_an_owner_is_to_be_released() {
        let (mut pending, [owner, one, two]) = (PendingReleases::default(), [claim(), claim(), claim()]);
        pending.note(owner.owner, &one, Moment::START);
        pending.note(owner.owner, &two, Moment::START);
        assert_eq!(pending.of(owner.owner).unwrap().owner, two.owner);
        pending.is_gone(owner.owner, two.owner);
        assert_eq!(pending.of(owner.owner).unwrap().owner, one.owner);
        pending.is_gone(owner.owner, one.owner);
        assert!(pending.of(owner.owner).is_none());
        assert!(pending.is_empty());
    }

    #[test]
    fn a_release_that_is_never_confirmed_is_remembered_until_nothing_asks_for_it() {
        let (mut pending, [owner, competitor]) = (PendingReleases::default(), [claim(), claim()]);
        let memory = memory(competitor.ttl);
        let at = |times: u32| Moment::START.after(memory / 2 * times);
        pending.note(owner.owner, &competitor, at(0));
        for tried in 1..5 {
            assert_eq!(pending.of(owner.owner).unwrap().owner, competitor.owner);
            pending.keep(owner.owner, &competitor, at(tried));
        }
        pending.note(claim().owner, &claim(), at(6));
        assert!(pending.of(owner.owner).is_none(), "nothing has asked for it since");
        pending.keep(owner.owner, &competitor, at(6));
        assert!(pending.of(owner.owner).is_some(), "a try that took longer than that");
    }
}

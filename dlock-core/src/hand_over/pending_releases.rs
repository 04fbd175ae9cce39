//! Acquisitions that have left their queue, and that the backend still has to release. Plain data.

use crate::backend::Claim;
use crate::backend::expiring_map::ExpiringMap;
use crate::lease::OwnerId;
use crate::time::Moment;

/// By the owner whose release has to reach the backend.
#[derive(Debug, Default)]
pub(super) struct PendingReleases(ExpiringMap<Vec<Claim>>);

impl PendingReleases {
    /// The release of `owner` has to reach the backend for this acquisition. It is forgotten at `until`, unless it is
    /// noted again.
    pub(super) fn note(&mut self, owner: OwnerId, competitor: &Claim, until: Moment, now: Moment) {
        self.is_gone(owner, competitor.owner);
        let mut competitors = self.0.take(owner).unwrap_or_default();
        competitors.push(competitor.clone());
        self.0.set(owner, competitors, until, now);
    }

    /// What the release of `owner` has to tell the backend.
    pub(super) fn of(&self, owner: OwnerId) -> Option<Claim> {
        self.0.get(owner)?.last().cloned()
    }

    /// The backend has released it.
    pub(super) fn is_gone(&mut self, owner: OwnerId, competitor: OwnerId) {
        let Some(competitors) = self.0.get_mut(owner) else { return };
        competitors.retain(|claim| claim.owner != competitor);
        if competitors.is_empty() {
            self.0.remove(owner);
        }
    }

    /// Forgets what was never confirmed. When there is more of it.
    pub(super) fn forget_expired(&mut self, now: Moment) -> Option<Moment> {
        self.0.forget_expired(now)
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
        let until = Moment::START.after(std::time::Duration::from_secs(60));
        let (mut pending, [owner, one, two]) = (PendingReleases::default(), [claim(), claim(), claim()]);
        pending.note(owner.owner, &one, until, Moment::START);
        pending.note(owner.owner, &two, until, Moment::START);
        assert_eq!(pending.of(owner.owner).unwrap().owner, two.owner);
        pending.is_gone(owner.owner, two.owner);
        assert_eq!(pending.of(owner.owner).unwrap().owner, one.owner);
        pending.is_gone(owner.owner, one.owner);
        assert!(pending.of(owner.owner).is_none());
        assert!(pending.is_empty());
    }

    #[test]
    fn a_release_that_is_never_confirmed_is_forgotten_unless_it_is_tried_again() {
        let (mut pending, [owner, competitor]) = (PendingReleases::default(), [claim(), claim()]);
        let at = |seconds| Moment::START.after(std::time::Duration::from_secs(seconds));
        pending.note(owner.owner, &competitor, at(60), at(0));
        pending.note(owner.owner, &competitor, at(90), at(30));
        assert_eq!(pending.forget_expired(at(60)), Some(at(90)));
        assert_eq!(pending.of(owner.owner).unwrap().owner, competitor.owner);
        assert_eq!(pending.forget_expired(at(90)), None);
        assert!(pending.of(owner.owner).is_none() && pending.is_empty());
    }
}

//! Acquisitions that no lane knows any more and that the backend is still to release. Plain data.

use crate::backend::Claim;
use crate::lease::OwnerId;
use crate::time::Moment;
use foldhash::HashMap;
use std::time::Duration;

/// By the owner whose release has to reach the backend.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    owners: HashMap<OwnerId, Left>,
    /// How many there were after the last look at all of them, twice over.
    many: usize,
}

#[derive(Debug)]
struct Left {
    competitors: Vec<Claim>,
    since: Moment,
}

/// Releases that were never confirmed are looked for when there are so many, and forgotten when the longest lease
/// is over.
const MANY: usize = 1_024;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Leaving {
    /// The release of `owner` has to reach the backend for this acquisition.
    pub(super) fn note(&mut self, owner: OwnerId, competitor: &Claim, now: Moment) {
        if self.owners.len() >= MANY.max(self.many) {
            self.owners.retain(|_, left| now.since(left.since) < LONGEST);
            self.many = 2 * self.owners.len();
        }
        let left =
            self.owners.entry(owner).or_insert(Left { competitors: Vec::with_capacity(1), since: now });
        left.competitors.push(competitor.clone());
    }

    /// What the release of `owner` has to tell the backend.
    pub(super) fn of(&self, owner: OwnerId) -> Option<Claim> {
        self.owners.get(&owner)?.competitors.last().cloned()
    }

    /// The backend has released it.
    pub(super) fn is_gone(&mut self, owner: OwnerId, competitor: OwnerId) {
        let Some(left) = self.owners.get_mut(&owner) else { return };
        left.competitors.retain(|claim| claim.owner != competitor);
        if left.competitors.is_empty() {
            self.owners.remove(&owner);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
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
        let (mut leaving, [owner, one, two]) = (Leaving::default(), [claim(), claim(), claim()]);
        leaving.note(owner.owner, &one, Moment::START);
        leaving.note(owner.owner, &two, Moment::START);
        assert_eq!(leaving.of(owner.owner).unwrap().owner, two.owner);
        leaving.is_gone(owner.owner, two.owner);
        assert_eq!(leaving.of(owner.owner).unwrap().owner, one.owner);
        leaving.is_gone(owner.owner, one.owner);
        assert!(leaving.of(owner.owner).is_none());
        assert!(leaving.is_empty());
    }

    #[test]
    fn what_is_never_confirmed_is_forgotten_after_the_longest_lease() {
        let (mut leaving, at) =
            (Leaving::default(), |hours| Moment::START.after(hours * Duration::from_secs(3600)));
        (0..MANY).for_each(|_| leaving.note(claim().owner, &claim(), at(1)));
        (0..MANY).for_each(|_| leaving.note(claim().owner, &claim(), at(24)));
        assert_eq!(leaving.owners.len(), 2 * MANY, "none is over");
        leaving.note(claim().owner, &claim(), at(25));
        assert_eq!(leaving.owners.len(), MANY + 1);
    }
}

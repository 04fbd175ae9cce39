//! What a process remembers of owners, until it is no longer needed. Plain data.

use crate::lease::OwnerId;
use crate::time::Moment;
use foldhash::HashMap;
use std::time::Duration;

/// An entry for each owner, until it is removed, or until a moment for owners whose end is never confirmed.
///
/// Entries whose moment has passed are forgotten by the next call that is told the time.
#[derive(Debug)]
pub(crate) struct ExpiringMap<T> {
    by_owner: HashMap<OwnerId, Remembered<T>>,
    /// When entries whose moment has passed are looked for again.
    sweep_at: Moment,
}

#[derive(Debug)]
struct Remembered<T> {
    what: T,
    until: Moment,
}

/// A sweep looks at every entry, so two of them are never closer together than this.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(1);

/// A map with no more entries than this keeps its room.
const FEW: usize = 64;

/// For how long a thing is remembered that the servers never confirmed: a lease, or a minute. A request that is under
/// way for longer costs one lease if it arrives.
#[cfg(any(feature = "redis", test))]
pub(crate) fn memory(ttl: crate::lease::Ttl) -> Duration {
    const LEAST: Duration = Duration::from_secs(60);
    LEAST.max(ttl.as_duration())
}

impl<T> Default for ExpiringMap<T> {
    fn default() -> Self {
        Self { by_owner: HashMap::default(), sweep_at: Moment::START }
    }
}

impl<T> ExpiringMap<T> {
    pub(crate) fn get(&self, owner: OwnerId) -> Option<&T> {
        self.by_owner.get(&owner).map(|entry| &entry.what)
    }

    pub(crate) fn get_mut(&mut self, owner: OwnerId) -> Option<&mut T> {
        self.by_owner.get_mut(&owner).map(|entry| &mut entry.what)
    }

    /// Remembers `what` of an owner, until `until` if it is not removed.
    pub(crate) fn set(&mut self, owner: OwnerId, what: T, until: Moment, now: Moment) {
        self.sweep(now);
        self.by_owner.insert(owner, Remembered { what, until });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_owner.is_empty()
    }

    /// How many are remembered at `now`.
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn len(&mut self, now: Moment) -> usize {
        self.forget_expired(now);
        self.by_owner.len()
    }

    pub(crate) fn remove(&mut self, owner: OwnerId) {
        self.take(owner);
    }

    /// Removes what is remembered of an owner.
    pub(crate) fn take(&mut self, owner: OwnerId) -> Option<T> {
        let taken = self.by_owner.remove(&owner);
        if self.is_empty() && self.by_owner.capacity() > FEW {
            self.by_owner = HashMap::default();
        }
        taken.map(|entry| entry.what)
    }

    /// Forgets the entries whose moment has passed, unless it has done so a short time ago.
    pub(crate) fn sweep(&mut self, now: Moment) {
        if now >= self.sweep_at {
            self.forget_expired(now);
        }
    }

    /// Forgets the entries whose moment has passed. When the next one's comes.
    pub(crate) fn forget_expired(&mut self, now: Moment) -> Option<Moment> {
        self.sweep_at = now.after(BETWEEN_SWEEPS);
        let before = self.by_owner.len();
        self.by_owner.retain(|_, entry| entry.until > now);
        if before > FEW && self.by_owner.len() < before / 2 {
            self.by_owner.shrink_to_fit();
        }
        self.by_owner.values().map(|entry| entry.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> OwnerId {
        OwnerId::random().unwrap()
    }

    #[test]
    fn what_is_remembered_is_given_back_until_it_is_removed() {
        let (mut expiring, one, until) = (ExpiringMap::default(), owner(), Moment::START);
        expiring.set(one, 7, until, Moment::START);
        assert_eq!((expiring.get(one), expiring.get(owner())), (Some(&7), None));
        expiring.remove(one);
        assert_eq!(expiring.get(one), None);
    }

    #[test]
    fn owners_that_never_left_take_no_room_for_ever() {
        const MANY: usize = 1_000;
        let (mut expiring, second) = (ExpiringMap::default(), Duration::from_secs(1));
        let (kept, later) = (owner(), Moment::START.after(second * 10));
        expiring.set(kept, (), later.after(second), Moment::START);
        for _ in 0..MANY {
            expiring.set(owner(), (), Moment::START.after(second), Moment::START);
        }
        assert_eq!(expiring.len(Moment::START), MANY + 1);
        expiring.set(owner(), (), later.after(second), later);
        assert_eq!(expiring.by_owner.len(), 2, "any call that comes later forgets them");
        assert!(expiring.by_owner.capacity() < MANY);
        assert!(expiring.get(kept).is_some());
    }
}

//! Which leases are to be renewed, by the time of their next renewal. Plain data.

use super::Held;
use crate::lease::OwnerId;
use crate::time::Moment;
use std::collections::{BTreeMap, HashMap};

/// Invariant: each turn in `turns` is the `turn` of that owner's entry, and the other way round. An entry
/// without a turn has its renewal under way.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<OwnerId, Entry>,
    turns: BTreeMap<Turn, OwnerId>,
    entered: u64,
}

#[derive(Debug)]
struct Entry {
    held: Held,
    turn: Option<Turn>,
}

/// When, and in order of entry among equals.
type Turn = (Moment, u64);

impl Table {
    /// Enters a lease, or enters it anew. True if it now is the first.
    pub(super) fn enter(&mut self, held: Held, at: Moment) -> bool {
        let owner = held.claim.owner;
        self.remove(owner);
        self.entered += 1;
        let turn = (at, self.entered);
        self.entries.insert(owner, Entry { held, turn: Some(turn) });
        self.turns.insert(turn, owner);
        self.turns.first_key_value().is_some_and(|(first, _)| *first == turn)
    }

    /// Enters a lease whose renewal was under way, unless it was removed meanwhile.
    pub(super) fn enter_again(&mut self, held: Held, at: Moment) {
        if self.entries.contains_key(&held.claim.owner) {
            self.enter(held, at);
        }
    }

    /// Takes a lease out; its renewal will not be repeated.
    pub(super) fn remove(&mut self, owner: OwnerId) {
        if let Some(Entry { turn: Some(turn), .. }) = self.entries.remove(&owner) {
            self.turns.remove(&turn);
        }
    }

    /// The leases whose turn has come. They stay entered, without a turn.
    pub(super) fn take_due(&mut self, now: Moment) -> Vec<Held> {
        let later = self.turns.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.turns, later);
        due.into_values().filter_map(|owner| self.without_turn(owner)).collect()
    }

    fn without_turn(&mut self, owner: OwnerId) -> Option<Held> {
        let entry = self.entries.get_mut(&owner)?;
        entry.turn = None;
        Some(entry.held.clone())
    }

    /// When the next turn comes.
    pub(super) fn next(&self) -> Option<Moment> {
        self.turns.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes everything out, leases whose renewal is under way included.
    pub(super) fn clear(&mut self) -> Vec<Held> {
        self.turns.clear();
        self.entries.drain().map(|(_, entry)| entry.held).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Claim;
    use crate::key::LockKey;
    use crate::lease::{LeaseState, Ttl};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::runtime::Handle;

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    fn held() -> Held {
        let claim = Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap();
        Held { claim, lease: Arc::new(LeaseState::pending()), runtime: Handle::current() }
    }

    fn owners(due: &[Held]) -> Vec<OwnerId> {
        due.iter().map(|held| held.claim.owner).collect()
    }

    #[tokio::test]
    async fn leases_come_due_in_order_and_only_once() {
        let (a, b, c) = (held(), held(), held());
        let mut table = Table::default();
        assert!(table.enter(a.clone(), at(20)));
        assert!(table.enter(b.clone(), at(10)), "earlier than the first");
        assert!(!table.enter(c.clone(), at(20)));
        assert_eq!(table.next(), Some(at(10)));
        assert_eq!(owners(&table.take_due(at(20))), [b.claim.owner, a.claim.owner, c.claim.owner]);
        assert!(table.take_due(at(20)).is_empty());
        assert_eq!(table.next(), None);
    }

    #[tokio::test]
    async fn a_lease_removed_while_its_renewal_is_under_way_does_not_come_back() {
        let a = held();
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        let due = table.take_due(at(10));
        table.remove(a.claim.owner);
        for held in due {
            table.enter_again(held, at(20));
        }
        assert_eq!(table.next(), None);
    }

    #[tokio::test]
    async fn a_removed_lease_leaves_no_turn() {
        let a = held();
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        table.enter(a.clone(), at(30));
        assert_eq!(table.next(), Some(at(30)), "entered anew, not twice");
        table.remove(a.claim.owner);
        assert_eq!(table.next(), None);
        assert!(table.clear().is_empty());
    }
}

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
    /// When the task looks next. Early is harmless, so what is removed does not move it.
    next_look: Option<Moment>,
}

#[derive(Debug)]
struct Entry {
    held: Held,
    turn: Option<Turn>,
}

/// When, and in order of entry among equals.
type Turn = (Moment, u64);

impl Table {
    /// Enters a lease, or enters it anew. True if the task must look earlier than it meant to.
    pub(super) fn enter(&mut self, held: Held, at: Moment) -> bool {
        let owner = held.claim.owner;
        self.remove(owner);
        self.entered += 1;
        let turn = (at, self.entered);
        self.entries.insert(owner, Entry { held, turn: Some(turn) });
        self.turns.insert(turn, owner);
        let earlier = self.next_look.is_none_or(|look| at < look);
        if earlier {
            self.next_look = Some(at);
        }
        earlier
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

    /// The leases whose turn has come, and when to look again. They stay entered, without a turn.
    pub(super) fn take_due(&mut self, now: Moment) -> (Vec<Held>, Option<Moment>) {
        let later = self.turns.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.turns, later);
        self.next_look = self.turns.first_key_value().map(|((at, _), _)| *at);
        (due.into_values().filter_map(|owner| self.without_turn(owner)).collect(), self.next_look)
    }

    fn without_turn(&mut self, owner: OwnerId) -> Option<Held> {
        let entry = self.entries.get_mut(&owner)?;
        entry.turn = None;
        Some(entry.held.clone())
    }

    /// Gives a turn to the leases whose renewal ended with an earlier task.
    pub(super) fn resume(&mut self, now: Moment) {
        let without_turn = self.entries.values().filter(|entry| entry.turn.is_none());
        for held in without_turn.map(|entry| entry.held.clone()).collect::<Vec<_>>() {
            self.enter(held, now);
        }
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

    /// The owners due at `now`, and when to look again.
    fn look(table: &mut Table, now: Moment) -> (Vec<OwnerId>, Option<Moment>) {
        let (due, next) = table.take_due(now);
        (due.iter().map(|held| held.claim.owner).collect(), next)
    }

    #[tokio::test]
    async fn leases_come_due_in_order_and_only_once() {
        let (a, b, c) = (held(), held(), held());
        let mut table = Table::default();
        table.enter(a.clone(), at(20));
        table.enter(b.clone(), at(10));
        table.enter(c.clone(), at(20));
        assert_eq!(look(&mut table, at(9)), (vec![], Some(at(10))));
        let in_order = vec![b.claim.owner, a.claim.owner, c.claim.owner];
        assert_eq!(look(&mut table, at(20)), (in_order, None));
        assert_eq!(look(&mut table, at(99)), (vec![], None));
    }

    #[tokio::test]
    async fn the_task_is_woken_only_to_look_earlier() {
        let (a, b, c) = (held(), held(), held());
        let mut table = Table::default();
        assert!(table.enter(a.clone(), at(20)), "it did not mean to look at all");
        assert!(!table.enter(b, at(30)));
        table.remove(a.claim.owner);
        assert!(!table.enter(a, at(25)), "it looks at 20 still");
        assert!(table.enter(c, at(10)));
    }

    #[tokio::test]
    async fn a_lease_removed_while_its_renewal_is_under_way_does_not_come_back() {
        let a = held();
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        let (due, _) = table.take_due(at(10));
        table.remove(a.claim.owner);
        for held in due {
            table.enter_again(held, at(20));
        }
        assert_eq!(look(&mut table, at(99)), (vec![], None));
    }

    #[tokio::test]
    async fn a_lease_entered_anew_has_one_turn_and_a_removed_one_none() {
        let a = held();
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        table.enter(a.clone(), at(30));
        assert_eq!(look(&mut table, at(10)), (vec![], Some(at(30))));
        table.remove(a.claim.owner);
        assert_eq!(look(&mut table, at(99)), (vec![], None));
    }

    #[tokio::test]
    async fn a_new_task_takes_up_what_an_earlier_one_had_under_way() {
        let (a, b) = (held(), held());
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        table.enter(b, at(50));
        table.take_due(at(10));
        table.resume(at(20));
        assert_eq!(look(&mut table, at(20)), (vec![a.claim.owner], Some(at(50))));
    }

    #[tokio::test]
    async fn clearing_gives_leases_whose_renewal_is_under_way_too() {
        let mut table = Table::default();
        table.enter(held(), at(10));
        table.take_due(at(10));
        table.enter(held(), at(20));
        assert_eq!(table.clear().len(), 2);
        assert_eq!(look(&mut table, at(99)), (vec![], None));
    }
}

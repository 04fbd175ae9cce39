//! Which leases are to be renewed, by the time of their next renewal. Plain data.

use crate::acquisition::Acquisition;
use crate::lease::OwnerId;
use crate::time::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Invariant: a lease is in one of the two, or in neither; if it waits, then by its turn.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Those that wait for their turn.
    turns: BTreeMap<Turn, Arc<Acquisition>>,
    /// Those whose renewal is under way.
    under_way: BTreeMap<OwnerId, Arc<Acquisition>>,
    /// When the task looks next. Early is harmless, so what is removed does not move it.
    next_look: Option<Moment>,
}

/// When, and whose.
type Turn = (Moment, OwnerId);

fn turn(held: &Acquisition) -> Turn {
    (held.due(), held.claim.owner)
}

impl Table {
    /// Enters a lease that is not here. True if the task must look earlier than it meant to.
    pub(super) fn enter(&mut self, held: Arc<Acquisition>, at: Moment) -> bool {
        held.set_due(at);
        self.turns.insert(turn(&held), held);
        let earlier = self.next_look.is_none_or(|look| at < look);
        if earlier {
            self.next_look = Some(at);
        }
        earlier
    }

    /// Enters a lease whose renewal was under way, unless it was removed meanwhile.
    pub(super) fn enter_again(&mut self, held: Arc<Acquisition>, at: Moment) {
        if self.under_way.remove(&held.claim.owner).is_some() {
            self.enter(held, at);
        }
    }

    /// Takes a lease out; its renewal will not be repeated.
    pub(super) fn remove(&mut self, held: &Acquisition) {
        if self.turns.remove(&turn(held)).is_none() {
            self.under_way.remove(&held.claim.owner);
        }
    }

    /// The leases whose turn has come, and when to look again. They stay entered, without a turn.
    pub(super) fn take_due(&mut self, now: Moment) -> (Vec<Arc<Acquisition>>, Option<Moment>) {
        let mut due = Vec::new();
        while let Some(first) = self.turns.first_entry().filter(|first| first.key().0 <= now) {
            let held = first.remove();
            self.under_way.insert(held.claim.owner, Arc::clone(&held));
            due.push(held);
        }
        self.next_look = self.turns.first_key_value().map(|((at, _), _)| *at);
        (due, self.next_look)
    }

    /// Gives a turn to the leases whose renewal ended with an earlier task.
    pub(super) fn resume(&mut self, now: Moment) {
        for held in std::mem::take(&mut self.under_way).into_values() {
            self.enter(held, now);
        }
    }

    /// Takes everything out, leases whose renewal is under way included.
    pub(super) fn clear(&mut self) -> Vec<Arc<Acquisition>> {
        let (turns, under_way) = (std::mem::take(&mut self.turns), std::mem::take(&mut self.under_way));
        turns.into_values().chain(under_way.into_values()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Claim;
    use crate::key::LockKey;
    use crate::lease::Ttl;
    use std::time::Duration;
    use tokio::runtime::Handle;

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    fn held() -> Arc<Acquisition> {
        let claim = Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap();
        Arc::new(Acquisition::new(claim, Handle::current(), "test"))
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
        let (due, next) = look(&mut table, at(20));
        assert_eq!((due.len(), due[0], next), (3, b.claim.owner, None));
        assert_eq!(look(&mut table, at(99)), (vec![], None));
    }

    #[tokio::test]
    async fn the_task_is_woken_only_to_look_earlier() {
        let (a, b, c) = (held(), held(), held());
        let mut table = Table::default();
        assert!(table.enter(a.clone(), at(20)), "it did not mean to look at all");
        assert!(!table.enter(b, at(30)));
        table.remove(&a);
        assert!(!table.enter(a, at(25)), "it looks at 20 still");
        assert!(table.enter(c, at(10)));
    }

    #[tokio::test]
    async fn a_lease_removed_while_its_renewal_is_under_way_does_not_come_back() {
        let a = held();
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        let (due, _) = table.take_due(at(10));
        table.remove(&a);
        for held in due {
            table.enter_again(held, at(20));
        }
        assert_eq!(look(&mut table, at(99)), (vec![], None));
    }

    #[tokio::test]
    async fn a_lease_whose_renewal_is_over_has_its_next_turn_and_a_removed_one_none() {
        let a = held();
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        let (due, _) = table.take_due(at(10));
        for held in due {
            table.enter_again(held, at(30));
        }
        assert_eq!(look(&mut table, at(20)), (vec![], Some(at(30))));
        table.remove(&a);
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

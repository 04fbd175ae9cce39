//! Which leases are to be renewed, by the time of their next renewal. Plain data.

use super::schedule;
use crate::acquisition::Acquisition;
use crate::key::LockKey;
use crate::lease::OwnerId;
use crate::time::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Invariant: a lease is in one of the three, or in none, and there by its [`due`](Acquisition::due).
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Those that wait for their turn.
    turns: ByMoment,
    /// Those whose turn has come while many are under way, by when they have to begin.
    put_off: ByMoment,
    /// Those whose renewal is under way, by their deadline.
    under_way: ByMoment,
    /// When the task looks next. Early is harmless, so what is removed does not move it.
    next_look: Option<Moment>,
}

/// Each that is under way takes memory, and more at a time make none of them faster.
const AT_ONCE: usize = 512;

/// Some ten microseconds.
const LOOKED_THROUGH: usize = 1_024;

type ByMoment = BTreeMap<(Moment, OwnerId), Arc<Acquisition>>;

/// What there is to do at a moment.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// They stay entered.
    pub(super) to_renew: Vec<Arc<Acquisition>>,
    /// Their time passed.
    pub(super) lost: Vec<Arc<Acquisition>>,
    pub(super) next_look: Option<Moment>,
}

impl Table {
    /// Enters a lease that is not here. True if the task must look earlier than it meant to.
    pub(super) fn enter(&mut self, held: Arc<Acquisition>, at: Moment) -> bool {
        insert(&mut self.turns, held, at);
        let earlier = self.next_look.is_none_or(|look| at < look);
        if earlier {
            self.next_look = Some(at);
        }
        earlier
    }

    /// Enters a lease whose renewal was under way, unless it was removed meanwhile. True if the task must look earlier
    /// than it meant to: also at what was put off, since there is room for one more.
    pub(super) fn enter_again(&mut self, held: Arc<Acquisition>, at: Moment) -> bool {
        if self.under_way.remove(&place(&held)).is_none() {
            return false;
        }
        self.enter(held, at) || !self.put_off.is_empty()
    }

    /// Takes a lease out; its renewal will not be repeated.
    pub(super) fn remove(&mut self, held: &Acquisition) {
        let place = place(held);
        let _ = [&mut self.turns, &mut self.under_way, &mut self.put_off]
            .into_iter()
            .find_map(|leases| leases.remove(&place));
    }

    /// A lease on `key`, among those that can be looked through without keeping renewals waiting.
    pub(super) fn find(&self, key: &LockKey) -> Option<Arc<Acquisition>> {
        let all = [&self.turns, &self.put_off, &self.under_way].into_iter().flat_map(BTreeMap::values);
        all.take(LOOKED_THROUGH).find(|held| held.claim.key == *key).cloned()
    }

    /// The leases whose turn has come, those that are over, and when to look again.
    pub(super) fn take_due(&mut self, now: Moment) -> Due {
        while let Some(held) = take_first(&mut self.turns, now) {
            let latest = schedule::latest(held.due(), held.lease().valid_until());
            insert(&mut self.put_off, held, latest);
        }
        let mut due = Due::default();
        while let Some(held) = self.next_to_begin(now) {
            match held.lease().valid_until() {
                over if over <= now => due.lost.push(held),
                deadline => {
                    insert(&mut self.under_way, Arc::clone(&held), deadline);
                    due.to_renew.push(held);
                }
            }
        }
        due.lost.extend(std::iter::from_fn(|| take_first(&mut self.under_way, now)));
        let maps = [&self.turns, &self.put_off, &self.under_way];
        self.next_look = maps.into_iter().filter_map(first).min();
        due.next_look = self.next_look;
        due
    }

    /// While there is room any whose turn has come, then only those that can wait no longer.
    fn next_to_begin(&mut self, now: Moment) -> Option<Arc<Acquisition>> {
        match self.under_way.len() < AT_ONCE {
            true => self.put_off.pop_first().map(|(_, held)| held),
            false => take_first(&mut self.put_off, now),
        }
    }

    /// Takes everything out, leases whose renewal is under way included.
    pub(super) fn clear(&mut self) -> Vec<Arc<Acquisition>> {
        let all = [&mut self.turns, &mut self.put_off, &mut self.under_way];
        all.into_iter().flat_map(|leases| std::mem::take(leases).into_values()).collect()
    }
}

fn place(held: &Acquisition) -> (Moment, OwnerId) {
    (held.due(), held.claim.owner)
}

fn insert(leases: &mut ByMoment, held: Arc<Acquisition>, at: Moment) {
    held.set_due(at);
    leases.insert(place(&held), held);
}

fn first(leases: &ByMoment) -> Option<Moment> {
    leases.first_key_value().map(|((at, _), _)| *at)
}

fn take_first(leases: &mut ByMoment, now: Moment) -> Option<Arc<Acquisition>> {
    let first = leases.first_entry().filter(|first| first.key().0 <= now)?;
    Some(first.remove())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Claim, Grant};
    use crate::key::LockKey;
    use crate::lease::{FencingToken, Ttl};
    use crate::time::Clock;
    use std::time::Duration;

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    /// A lease that is valid until 100.
    fn held() -> Arc<Acquisition> {
        let claim = Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap();
        let held = Acquisition::new(claim, Clock::default(), "test");
        held.grant(&Grant::new(FencingToken::new(1), at(100)));
        Arc::new(held)
    }

    fn owners(leases: &[Arc<Acquisition>]) -> Vec<OwnerId> {
        leases.iter().map(|held| held.claim.owner).collect()
    }

    /// The owners due at `now`, and when to look again.
    fn look(table: &mut Table, now: Moment) -> (Vec<OwnerId>, Option<Moment>) {
        let due = table.take_due(now);
        assert!(due.lost.is_empty());
        (owners(&due.to_renew), due.next_look)
    }

    #[test]
    fn leases_come_due_in_order_and_only_once() {
        let (a, b, c) = (held(), held(), held());
        let mut table = Table::default();
        table.enter(a, at(20));
        table.enter(b.clone(), at(10));
        table.enter(c, at(20));
        assert_eq!(look(&mut table, at(9)), (vec![], Some(at(10))));
        let (due, next_look) = look(&mut table, at(20));
        assert_eq!((due.len(), due[0], next_look), (3, b.claim.owner, Some(at(100))));
        assert_eq!(look(&mut table, at(99)).0, vec![]);
    }

    #[test]
    fn the_task_is_woken_only_to_look_earlier() {
        let (a, b, c) = (held(), held(), held());
        let mut table = Table::default();
        assert!(table.enter(a.clone(), at(20)), "it did not mean to look at all");
        assert!(!table.enter(b, at(30)));
        table.remove(&a);
        assert!(!table.enter(a, at(25)), "it looks at 20 still");
        assert!(table.enter(c, at(10)));
    }

    #[test]
    fn a_lease_is_lost_at_its_deadline_whether_it_waits_or_is_being_renewed() {
        let (a, b) = (held(), held());
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        table.enter(b.clone(), at(100));
        assert_eq!(look(&mut table, at(10)), (vec![a.claim.owner], Some(at(100))));
        let due = table.take_due(at(100));
        assert_eq!(owners(&due.lost), vec![b.claim.owner, a.claim.owner]);
        assert_eq!((due.to_renew.len(), due.next_look), (0, None));
    }

    #[test]
    fn a_limited_number_is_renewed_at_a_time_and_beyond_it_urgent_leases() {
        let mut table = Table::default();
        let leases: Vec<_> = std::iter::repeat_with(held).take(AT_ONCE + 2).collect();
        leases.iter().for_each(|held| _ = table.enter(Arc::clone(held), at(20)));
        let (begun, next_look) = look(&mut table, at(20));
        assert_eq!((begun.len(), next_look), (AT_ONCE, Some(at(40))));
        let done = leases.iter().find(|held| begun.contains(&held.claim.owner)).unwrap();
        table.enter_again(Arc::clone(done), at(90));
        assert_eq!(look(&mut table, at(39)).0.len(), 1, "in the place of the one that is done");
        assert_eq!(look(&mut table, at(40)).0.len(), 1, "it cannot wait");
    }

    #[test]
    fn a_lease_removed_while_its_renewal_is_under_way_does_not_come_back() {
        let a = held();
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        table.take_due(at(10));
        table.remove(&a);
        table.enter_again(a, at(20));
        assert_eq!(look(&mut table, at(999)), (vec![], None));
    }

    #[test]
    fn a_lease_whose_renewal_is_over_has_its_next_turn_and_a_removed_one_none() {
        let a = held();
        let mut table = Table::default();
        table.enter(a.clone(), at(10));
        table.take_due(at(10));
        table.enter_again(a.clone(), at(30));
        assert_eq!(look(&mut table, at(20)), (vec![], Some(at(30))));
        table.remove(&a);
        assert_eq!(look(&mut table, at(999)), (vec![], None));
    }

    #[test]
    fn a_finished_renewal_makes_room_for_one_that_was_put_off() {
        let mut table = Table::default();
        (0..AT_ONCE).for_each(|_| _ = table.enter(held(), at(10)));
        let renewed = table.take_due(at(10)).to_renew.remove(0);
        table.enter(held(), at(10));
        assert!(table.take_due(at(10)).to_renew.is_empty(), "there is no room");
        assert!(table.enter_again(renewed, at(90)), "now there is");
        assert_eq!(table.take_due(at(10)).to_renew.len(), 1);
    }

    #[test]
    fn clearing_gives_leases_whose_renewal_is_under_way_too() {
        let mut table = Table::default();
        table.enter(held(), at(10));
        table.take_due(at(10));
        table.enter(held(), at(20));
        assert_eq!(table.clear().len(), 2);
        assert_eq!(look(&mut table, at(999)), (vec![], None));
    }
}

//! Which runtimes have a connection of their own. Plain data.

use crate::backend::single_attempt::Perishable;
use foldhash::HashMap;
use std::hash::Hash;

/// How many requests a runtime sends over the keeper's connection before it gets one of its own. Short-lived runtimes get
/// none.
pub(super) const EARNED_BY: u32 = 64;

/// For how many runtimes requests are counted. Past that, counting begins again.
const COUNTED: usize = 64;

/// Which runtimes, by their ids, have a connection or may have one.
#[derive(Debug)]
pub(super) struct Admission<K, C> {
    runtimes: HashMap<K, Standing<C>>,
    /// How many connections there may be.
    most: usize,
    /// How many connections were begun so far.
    begun: u64,
}

#[derive(Debug)]
enum Standing<C> {
    /// How many requests went over the keeper's connection.
    Counting(u32),
    /// The attempt with this number makes a connection.
    Making(u64),
    /// The attempt with this number has made it.
    Live(u64, C),
    /// It cannot have one.
    Refused,
}

/// The connection that a request goes over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RouteChoice<C> {
    Keeper,
    /// The keeper's, and the attempt with this number is to make one for the runtime.
    KeeperAndMake(u64),
    /// The keeper's, as this one is over.
    KeeperInsteadOf(C),
    Own(C),
}

/// What becomes of a connection that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look<C> {
    Stays,
    Over(Option<C>),
}

impl<K: Copy + Eq + Hash, C: Perishable> Admission<K, C> {
    pub(super) fn new(most: usize) -> Self {
        Self { runtimes: HashMap::default(), most, begun: 0 }
    }

    /// Where a request from `runtime` goes.
    pub(super) fn choose(&mut self, runtime: K) -> RouteChoice<C> {
        match self.runtimes.get_mut(&runtime) {
            Some(Standing::Live(_, own)) if !own.is_over() => RouteChoice::Own(own.clone()),
            Some(Standing::Making(_) | Standing::Refused) => RouteChoice::Keeper,
            Some(Standing::Counting(seen)) if *seen < EARNED_BY => {
                *seen += 1;
                RouteChoice::Keeper
            }
            Some(Standing::Counting(_)) => self.begin(runtime),
            Some(Standing::Live(..)) | None => self.count(runtime),
        }
    }

    fn begin(&mut self, runtime: K) -> RouteChoice<C> {
        let is_taken = |standing: &&Standing<C>| matches!(standing, Standing::Making(_) | Standing::Live(..));
        if self.runtimes.values().filter(is_taken).count() >= self.most {
            return RouteChoice::Keeper;
        }
        self.begun += 1;
        self.runtimes.insert(runtime, Standing::Making(self.begun));
        RouteChoice::KeeperAndMake(self.begun)
    }

    fn count(&mut self, runtime: K) -> RouteChoice<C> {
        if self.runtimes.len() >= COUNTED {
            self.runtimes.retain(|_, standing| matches!(standing, Standing::Making(_) | Standing::Live(..)));
        }
        match self.runtimes.insert(runtime, Standing::Counting(1)) {
            Some(Standing::Live(_, over)) => RouteChoice::KeeperInsteadOf(over),
            _ => RouteChoice::Keeper,
        }
    }

    /// The attempt has made `connection`. It is given back if it came too late.
    pub(super) fn made(&mut self, runtime: K, attempt: u64, connection: C) -> Option<C> {
        match self.of_attempt(runtime, attempt) {
            Some(standing) => {
                *standing = Standing::Live(attempt, connection);
                None
            }
            None => Some(connection),
        }
    }

    /// The attempt came to nothing, or what it made is over. The connection, if there is one.
    pub(super) fn over(&mut self, runtime: K, attempt: u64) -> Option<C> {
        self.of_attempt(runtime, attempt)?;
        match self.runtimes.remove(&runtime) {
            Some(Standing::Live(_, connection)) => Some(connection),
            _ => None,
        }
    }

    /// The attempt has shown that the runtime cannot have a connection.
    pub(super) fn refuse(&mut self, runtime: K, attempt: u64) {
        if let Some(standing) = self.of_attempt(runtime, attempt) {
            *standing = Standing::Refused;
        }
    }

    /// Looks at what an attempt has made, some time later: it stays if it is of use, and is used as `is_used` says.
    pub(super) fn look(&mut self, runtime: K, attempt: u64, is_used: impl FnOnce(&C) -> bool) -> Look<C> {
        match self.of_attempt(runtime, attempt) {
            Some(Standing::Live(_, own)) if !own.is_over() && is_used(own) => Look::Stays,
            _ => Look::Over(self.over(runtime, attempt)),
        }
    }

    fn of_attempt(&mut self, runtime: K, attempt: u64) -> Option<&mut Standing<C>> {
        self.runtimes.get_mut(&runtime).filter(|standing| {
            matches!(standing, Standing::Making(number) | Standing::Live(number, _) if *number == attempt)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that is over or not.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Made(bool);

    impl Perishable for Made {
        fn is_over(&self) -> bool {
            self.0
        }
    }

    const LIVE: Made = Made(false);
    const OVER: Made = Made(true);

    /// Sends requests until one of them is not only counted.
    fn earn(admission: &mut Admission<u32, Made>, runtime: u32) -> RouteChoice<Made> {
        for _ in 0..EARNED_BY {
            assert_eq!(admission.choose(runtime), RouteChoice::Keeper);
        }
        admission.choose(runtime)
    }

    #[test]
    fn a_runtime_earns_a_connection_and_uses_it_once_it_is_made() {
        let mut admission = Admission::new(4);
        assert_eq!(earn(&mut admission, 7), RouteChoice::KeeperAndMake(1));
        assert_eq!(admission.choose(7), RouteChoice::Keeper, "it is being made");
        assert_eq!(admission.made(7, 1, LIVE), None);
        assert_eq!(admission.choose(7), RouteChoice::Own(LIVE));
        assert_eq!(admission.choose(8), RouteChoice::Keeper, "not its own");
    }

    #[test]
    fn no_more_runtimes_have_one_than_are_to() {
        for most in [0, 1, 2] {
            let mut admission = Admission::new(most);
            let begun =
                (0..3).filter(|runtime| earn(&mut admission, *runtime) != RouteChoice::Keeper).count();
            assert_eq!(begun, most);
        }
        let mut admission = Admission::new(1);
        earn(&mut admission, 0);
        admission.made(0, 1, LIVE);
        assert_eq!(earn(&mut admission, 1), RouteChoice::Keeper);
        assert_eq!(admission.over(0, 1), Some(LIVE));
        assert_eq!(admission.choose(1), RouteChoice::KeeperAndMake(2), "the place is free");
    }

    #[test]
    fn one_that_broke_or_came_to_nothing_is_to_be_earned_again() {
        let mut admission = Admission::new(1);
        earn(&mut admission, 7);
        assert_eq!(admission.over(7, 1), None, "it came to nothing");
        assert_eq!(earn(&mut admission, 7), RouteChoice::KeeperAndMake(2));
        assert_eq!(admission.made(7, 1, LIVE), Some(LIVE), "of an attempt that was given up");
        assert_eq!(admission.made(7, 2, OVER), None);
        assert_eq!(admission.choose(7), RouteChoice::KeeperInsteadOf(OVER));
        assert_eq!((1..EARNED_BY).filter(|_| admission.choose(7) != RouteChoice::Keeper).count(), 0);
        assert_eq!(admission.choose(7), RouteChoice::KeeperAndMake(3));
    }

    #[test]
    fn one_that_idles_or_is_not_made_in_time_makes_way() {
        let mut admission = Admission::new(1);
        earn(&mut admission, 7);
        assert_eq!(admission.look(7, 1, |_| true), Look::Over(None), "its runtime is not driven");
        earn(&mut admission, 7);
        admission.made(7, 2, LIVE);
        assert_eq!(admission.look(7, 2, |_| true), Look::Stays);
        assert_eq!(admission.look(7, 1, |_| true), Look::Over(None), "not of this attempt");
        assert_eq!(admission.look(7, 2, |_| false), Look::Over(Some(LIVE)));
        assert_eq!(admission.choose(7), RouteChoice::Keeper);
    }

    #[test]
    fn a_runtime_that_cannot_have_one_is_not_asked_again() {
        let mut admission = Admission::<_, Made>::new(1);
        earn(&mut admission, 7);
        admission.refuse(7, 1);
        assert_eq!(earn(&mut admission, 7), RouteChoice::Keeper);
        assert_ne!(earn(&mut admission, 8), RouteChoice::Keeper, "the place is free");
    }

    #[test]
    fn runtimes_that_live_shortly_take_no_room_for_ever() {
        let mut admission = Admission::<_, Made>::new(1);
        earn(&mut admission, 0);
        (1..10_000).for_each(|runtime| assert_eq!(admission.choose(runtime), RouteChoice::Keeper));
        assert!(admission.runtimes.len() <= COUNTED);
        assert_eq!(admission.made(0, 1, LIVE), None, "it is kept");
    }
}

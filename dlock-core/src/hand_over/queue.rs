//! Who of one process wants one key, and whose turn it is. Pure.
//!
//! However many wait here, one acquisition competes for all of them at the backend. What it was granted goes from
//! one to the next, each under a token of its own, until the queue has had its share; then the backend's queue
//! decides again.

use crate::backend::{Claim, Grant};
use crate::lease::{FencingToken, OwnerId};
use crate::time::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// How far one grant of the backend may go round inside the process before other processes have their turn.
///
/// While a lock is wanted by several tasks of one process, whoever releases it hands it over to the next of them
/// without a request. Each holder has a fencing token of its own, and tokens still rise with every grant (I2).
/// Other processes wait for no longer than this allows, and then stand before the rest of this one. A holder keeps the
/// lock for as long as it wants: the time is looked at when it is released. Requests with another `ttl` stand in a line
/// of their own.
///
/// The tokens are set aside with the grant. Where servers can forget a lock, it may go round for `within` longer, under
/// tokens that are smaller than those of who was granted it after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandOver {
    /// How many holders one grant serves at most, the first included: 1 to 64.
    pub max: u32,
    /// For how long after the grant it is handed over. [`Duration::MAX`] sets no limit of time.
    pub within: Duration,
}

impl HandOver {
    /// Every waiter asks the backend, and every release goes to it: strictly first come, first served among all
    /// processes.
    pub const OFF: Self = Self { max: 1, within: Duration::ZERO };

    /// As many tokens as backends reserve with a grant.
    pub(crate) const MOST: u32 = 64;

    /// Serves `max` holders, for no longer than `within`.
    #[must_use]
    pub const fn new(max: u32, within: Duration) -> Self {
        Self { max, within }
    }
}

/// 64 holders, for no longer than 50 ms.
impl Default for HandOver {
    fn default() -> Self {
        Self::new(Self::MOST, Duration::from_millis(50))
    }
}

/// The waiters, the competitor and the holder of one key.
#[derive(Debug, Default)]
pub(super) struct KeyQueue {
    /// First come, first served. Where nothing is held the first one asks for the whole queue.
    waiters: VecDeque<Claim>,
    /// The acquisition that competes for the queue, or holds for it.
    competitor: Option<Claim>,
    hold: Option<Hold>,
}

/// What the backend granted, and who has it.
#[derive(Debug)]
struct Hold {
    holder: OwnerId,
    token: FencingToken,
    /// How many tokens are left of the grant's block.
    tokens_left: u32,
    /// How many have held it, with this one.
    served: u32,
    since: Moment,
    /// How long it was valid when it came. Where leases are those of a session, that says nothing of the `ttl`.
    lease: Duration,
    valid_until: Moment,
}

/// What somebody who enters has to do.
#[derive(Debug)]
pub(super) enum EnterOutcome {
    /// Ask the backend for this acquisition.
    Ask(Claim),
    /// Wait to be told.
    Wait,
    /// It has the lock already.
    Has(Grant),
}

/// What there is to do when somebody left.
#[derive(Debug)]
pub(super) enum LeaveOutcome {
    /// It was not here.
    Unknown,
    /// Nothing: it only waited.
    Quietly,
    /// This waiter is to ask the backend for this acquisition.
    Passed(OwnerId, Claim),
    /// The lock is this waiter's now.
    HandedOver(OwnerId, Grant),
    /// The backend is to be told that this acquisition is over. The first waiter, if there is one, is to ask for
    /// another one.
    Over(Claim, Option<(OwnerId, Claim)>),
}

impl KeyQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty() && self.competitor.is_none()
    }

    /// Somebody wants the lock.
    pub(super) fn enter(&mut self, claim: &Claim) -> EnterOutcome {
        if let Some(hold) = self.hold.as_ref().filter(|hold| hold.holder == claim.owner) {
            return EnterOutcome::Has(hold.grant());
        }
        if !self.waiters.iter().any(|waiter| waiter.owner == claim.owner) {
            self.waiters.push_back(claim.clone());
        }
        match self.next_to_ask() {
            Some((owner, competitor)) if owner == claim.owner => EnterOutcome::Ask(competitor),
            _ => EnterOutcome::Wait,
        }
    }

    /// The first waiter and what it is to ask for, unless the queue holds.
    fn next_to_ask(&mut self) -> Option<(OwnerId, Claim)> {
        if self.hold.is_some() {
            return None;
        }
        let first = self.waiters.front()?;
        let competitor = self.competitor.get_or_insert_with(|| first.clone());
        Some((first.owner, competitor.clone()))
    }

    /// The backend granted the lock to the competitor, whom `owner` asked for. `false` if nobody asked.
    pub(super) fn granted(&mut self, owner: OwnerId, grant: &Grant, now: Moment) -> bool {
        if self.hold.is_some() || self.waiters.front().is_none_or(|first| first.owner != owner) {
            return false;
        }
        self.waiters.pop_front();
        if self.waiters.is_empty() {
            // A lock that is held takes no room for waiters.
            self.waiters = VecDeque::new();
        }
        self.hold = Some(Hold {
            holder: owner,
            token: grant.token,
            tokens_left: grant.tokens.saturating_sub(1),
            served: 1,
            since: now,
            lease: grant.valid_until.since(now),
            valid_until: grant.valid_until,
        });
        true
    }

    /// The backend refused a try and keeps nothing of it. Who is to ask next.
    pub(super) fn refused(&mut self, owner: OwnerId) -> Option<(OwnerId, Claim)> {
        self.waiters.retain(|waiter| waiter.owner != owner);
        self.competitor = None;
        self.next_to_ask()
    }

    /// The acquisition that the holder's lease belongs to.
    pub(super) fn held_by(&self, owner: OwnerId) -> Option<&Claim> {
        self.hold.as_ref().filter(|hold| hold.holder == owner)?;
        self.competitor.as_ref()
    }

    /// The lease is valid until then.
    pub(super) fn renewed(&mut self, competitor: OwnerId, valid_until: Moment) {
        let is_this = self.competes(competitor);
        if let Some(hold) = self.hold.as_mut().filter(|_| is_this) {
            hold.valid_until = hold.valid_until.max(valid_until);
        }
    }

    /// What the competitor was granted is gone. Who had it, and who is to ask next, and for what.
    pub(super) fn lost(&mut self, competitor: OwnerId) -> Option<(OwnerId, Option<(OwnerId, Claim)>)> {
        if !self.competes(competitor) {
            return None;
        }
        let holder = self.hold.take()?.holder;
        self.competitor = None;
        Some((holder, self.next_to_ask()))
    }

    /// Somebody asks the competitor to let go: what it was granted is handed over to nobody.
    pub(super) fn revoked(&mut self, competitor: OwnerId) {
        let is_this = self.competes(competitor);
        if let Some(hold) = self.hold.as_mut().filter(|_| is_this) {
            hold.tokens_left = 0;
        }
    }

    fn competes(&self, competitor: OwnerId) -> bool {
        self.competitor.as_ref().is_some_and(|claim| claim.owner == competitor)
    }

    /// Until when the lease is valid, if the queue holds.
    pub(super) fn valid_until(&self) -> Option<Moment> {
        self.hold.as_ref().map(|hold| hold.valid_until)
    }

    /// What holds under a lease that is over at `now`: its holder did not say so, and nobody renewed it.
    pub(super) fn overdue(&self, now: Moment) -> Option<Claim> {
        let is_over = self.hold.as_ref().is_some_and(|hold| hold.valid_until <= now);
        self.competitor.clone().filter(|_| is_over)
    }

    /// Somebody leaves: the holder, or a waiter.
    pub(super) fn leave(&mut self, owner: OwnerId, share: HandOver, now: Moment) -> LeaveOutcome {
        if self.hold.as_ref().is_some_and(|hold| hold.holder == owner) {
            return self.hand_over(share, now);
        }
        let Some(place) = self.waiters.iter().position(|waiter| waiter.owner == owner) else {
            return LeaveOutcome::Unknown;
        };
        self.waiters.remove(place);
        match (self.next_to_ask(), place) {
            (Some((first, competitor)), 0) => LeaveOutcome::Passed(first, competitor),
            _ if self.hold.is_none() && self.waiters.is_empty() => self
                .competitor
                .take()
                .map_or(LeaveOutcome::Quietly, |competitor| LeaveOutcome::Over(competitor, None)),
            _ => LeaveOutcome::Quietly,
        }
    }

    /// The holder is done. The next waiter has the lock, or the queue has had its share.
    fn hand_over(&mut self, share: HandOver, now: Moment) -> LeaveOutcome {
        if let Some(grant) = self.grant_for_next(share, now)
            && let (Some(next), Some(hold)) = (self.waiters.pop_front(), self.hold.as_mut())
        {
            hold.token = grant.token;
            hold.tokens_left -= 1;
            hold.served += 1;
            hold.holder = next.owner;
            return LeaveOutcome::HandedOver(next.owner, grant);
        }
        self.hold = None;
        match self.competitor.take() {
            Some(competitor) => LeaveOutcome::Over(competitor, self.next_to_ask()),
            None => LeaveOutcome::Quietly,
        }
    }

    /// What the next waiter would have: nothing if there is none, if the grant has served its share, or if less
    /// than half of its lease is left.
    fn grant_for_next(&self, share: HandOver, now: Moment) -> Option<Grant> {
        let hold = self.hold.as_ref().filter(|_| !self.waiters.is_empty())?;
        let has_share =
            hold.served < share.max && hold.tokens_left > 0 && now.since(hold.since) < share.within;
        let is_long = hold.valid_until.since(now) >= hold.lease / 2;
        (has_share && is_long).then(|| Grant::new(hold.token.next(), hold.valid_until))
    }
}

impl Hold {
    fn grant(&self) -> Grant {
        Grant::new(self.token, self.valid_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LockKey;
    use crate::lease::Ttl;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const SHARE: HandOver = HandOver::new(3, Duration::from_millis(50));

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    fn claim() -> Claim {
        Claim::new(LockKey::new("k").unwrap(), Ttl::new(Duration::from_secs(10)).unwrap()).unwrap()
    }

    fn grant(token: u64, tokens: u32) -> Grant {
        Grant::new(FencingToken::new(token), at(9_000)).with_tokens(tokens)
    }

    fn asks(entered: &EnterOutcome) -> OwnerId {
        match entered {
            EnterOutcome::Ask(competitor) => competitor.owner,
            other => panic!("{other:?}"),
        }
    }

    /// A queue that the first of three holds.
    fn held(tokens: u32) -> (KeyQueue, [Claim; 3]) {
        let (mut queue, claims) = (KeyQueue::default(), [claim(), claim(), claim()]);
        assert_eq!(asks(&queue.enter(&claims[0])), claims[0].owner);
        assert!(queue.granted(claims[0].owner, &grant(100, tokens), at(0)));
        for claim in &claims[1..] {
            assert!(matches!(queue.enter(claim), EnterOutcome::Wait));
        }
        (queue, claims)
    }

    fn next_of(left: LeaveOutcome) -> (OwnerId, u64) {
        match left {
            LeaveOutcome::HandedOver(next, grant) => (next, grant.token.as_u64()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_grant_goes_round_in_order_under_tokens_of_its_own() {
        let (mut queue, [one, two, three]) = held(64);
        assert_eq!(next_of(queue.leave(one.owner, SHARE, at(1))), (two.owner, 101));
        assert_eq!(next_of(queue.leave(two.owner, SHARE, at(2))), (three.owner, 102));
        assert!(
            matches!(queue.leave(three.owner, SHARE, at(3)), LeaveOutcome::Over(over, None) if over.owner == one.owner)
        );
        assert!(queue.is_empty());
    }

    /// A session may be much shorter than the `ttl`.
    #[test]
    fn a_grant_that_is_shorter_than_the_ttl_goes_round_as_well() {
        let (mut queue, one, two) = (KeyQueue::default(), claim(), claim());
        asks(&queue.enter(&one));
        let short = Grant::new(FencingToken::new(100), at(3_000)).with_tokens(64);
        assert!(queue.granted(one.owner, &short, at(0)));
        assert!(matches!(queue.enter(&two), EnterOutcome::Wait));
        assert_eq!(next_of(queue.leave(one.owner, SHARE, at(1))), (two.owner, 101));
    }

    #[test]
    fn a_grant_that_has_served_its_share_goes_back() {
        for (tokens, share, now) in [
            (64, HandOver::new(1, Duration::from_secs(1)), at(1)),
            (1, SHARE, at(1)),
            (64, SHARE, at(50)),
            (64, HandOver::new(64, Duration::from_secs(60)), at(4_501)),
        ] {
            let (mut queue, [one, two, _]) = held(tokens);
            match queue.leave(one.owner, share, now) {
                LeaveOutcome::Over(over, Some((next, competitor))) => {
                    assert_eq!((over.owner, next, competitor.owner), (one.owner, two.owner, two.owner));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_grant_that_somebody_asks_for_goes_back() {
        let (mut queue, [one, two, _]) = held(64);
        queue.revoked(two.owner);
        assert_eq!(
            next_of(queue.leave(one.owner, SHARE, at(1))),
            (two.owner, 101),
            "it is not the competitor"
        );
        queue.revoked(one.owner);
        assert!(
            matches!(queue.leave(two.owner, SHARE, at(2)), LeaveOutcome::Over(over, Some(_)) if over.owner == one.owner)
        );
    }

    #[test]
    fn who_asks_for_the_lane_and_leaves_is_followed_by_the_next_with_the_same_claim() {
        let (mut queue, one, two) = (KeyQueue::default(), claim(), claim());
        queue.enter(&one);
        assert!(matches!(queue.enter(&two), EnterOutcome::Wait));
        match queue.leave(one.owner, SHARE, at(0)) {
            LeaveOutcome::Passed(next, competitor) => {
                assert_eq!((next, competitor.owner), (two.owner, one.owner));
            }
            other => panic!("{other:?}"),
        }
        assert!(
            matches!(queue.leave(two.owner, SHARE, at(0)), LeaveOutcome::Over(over, None) if over.owner == one.owner)
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn a_waiter_behind_others_leaves_quietly() {
        let (mut queue, [_, two, three]) = held(64);
        assert!(matches!(queue.leave(three.owner, SHARE, at(0)), LeaveOutcome::Quietly));
        assert!(matches!(queue.leave(two.owner, SHARE, at(0)), LeaveOutcome::Quietly));
        assert!(matches!(queue.leave(two.owner, SHARE, at(0)), LeaveOutcome::Unknown));
    }

    #[test]
    fn a_lost_lease_is_competed_for_anew() {
        let (mut queue, [one, two, _]) = held(64);
        assert!(queue.lost(two.owner).is_none(), "it is not the competitor");
        let (holder, next) = queue.lost(one.owner).unwrap();
        let (asks, competitor) = next.unwrap();
        assert_eq!((holder, asks, competitor.owner), (one.owner, two.owner, two.owner));
        assert!(
            matches!(queue.leave(one.owner, SHARE, at(0)), LeaveOutcome::Unknown),
            "it holds nothing any more"
        );
    }

    #[test]
    fn a_refused_try_makes_way_for_who_came_after_it() {
        let (mut queue, one, two) = (KeyQueue::default(), claim(), claim());
        queue.enter(&one);
        queue.enter(&two);
        let (next, competitor) = queue.refused(one.owner).unwrap();
        assert_eq!((next, competitor.owner), (two.owner, two.owner));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Enter(usize),
        /// The backend answers whoever asks.
        Answer,
        Leave(usize),
        Lose,
        Later(u64),
    }

    /// A process with a queue, and a backend that grants every claim once.
    #[derive(Default)]
    struct Process {
        queue: KeyQueue,
        claims: HashMap<usize, Claim>,
        asking: Option<(OwnerId, Claim)>,
        holder: Option<OwnerId>,
        released: Vec<OwnerId>,
        waiting: Vec<OwnerId>,
        tokens: Vec<u64>,
        now: u64,
    }

    impl Process {
        fn step(&mut self, step: Step) {
            match step {
                Step::Enter(who) if !self.claims.contains_key(&who) => {
                    let claim = claim();
                    self.claims.insert(who, claim.clone());
                    self.waiting.push(claim.owner);
                    if let EnterOutcome::Ask(competitor) = self.queue.enter(&claim) {
                        self.ask(claim.owner, competitor);
                    }
                }
                Step::Answer => self.answer(),
                Step::Leave(who) => {
                    if let Some(claim) = self.claims.remove(&who) {
                        self.leave(claim.owner);
                    }
                }
                Step::Lose => {
                    let held = self.holder.and_then(|holder| self.queue.held_by(holder).cloned());
                    if let Some(competitor) = held {
                        let (holder, next) = self.queue.lost(competitor.owner).unwrap();
                        assert_eq!(Some(holder), self.holder.take());
                        self.claims.retain(|_, claim| claim.owner != holder);
                        self.released.push(competitor.owner);
                        next.into_iter().for_each(|(owner, competitor)| self.ask(owner, competitor));
                    }
                }
                Step::Later(millis) => self.now += millis,
                Step::Enter(_) => {}
            }
        }

        fn ask(&mut self, owner: OwnerId, competitor: Claim) {
            assert!(self.holder.is_none(), "asks while it holds");
            assert!(!self.released.contains(&competitor.owner), "asks for what it has released");
            assert_eq!(self.waiting.first(), Some(&owner), "the first asks");
            self.asking = Some((owner, competitor));
        }

        /// The token is as a backend would have it: above the block of the one before.
        fn answer(&mut self) {
            let Some((owner, _)) = self.asking.take() else { return };
            let token = self.tokens.last().copied().unwrap_or_default().div_ceil(64) * 64 + 64;
            let valid_until = at(self.now + 9_000);
            let grant = Grant::new(FencingToken::new(token), valid_until).with_tokens(64);
            assert!(self.queue.granted(owner, &grant, at(self.now)));
            self.hold(owner, token);
        }

        /// I1, I2, I6.
        fn hold(&mut self, owner: OwnerId, token: u64) {
            assert!(self.holder.is_none(), "two holders");
            assert!(self.tokens.last().is_none_or(|last| token > *last), "{token} after {:?}", self.tokens);
            assert_eq!(self.waiting.remove(0), owner, "out of turn");
            self.tokens.push(token);
            self.holder = Some(owner);
        }

        fn leave(&mut self, owner: OwnerId) {
            if self.holder == Some(owner) {
                self.holder = None;
            }
            self.waiting.retain(|waiting| *waiting != owner);
            if self.asking.as_ref().is_some_and(|(asking, _)| *asking == owner) {
                self.asking = None;
            }
            match self.queue.leave(owner, SHARE, at(self.now)) {
                LeaveOutcome::HandedOver(next, grant) => self.hold(next, grant.token.as_u64()),
                LeaveOutcome::Passed(next, competitor) => self.ask(next, competitor),
                LeaveOutcome::Over(competitor, next) => {
                    assert!(!self.released.contains(&competitor.owner), "released twice");
                    self.released.push(competitor.owner);
                    next.into_iter().for_each(|(owner, competitor)| self.ask(owner, competitor));
                }
                LeaveOutcome::Quietly | LeaveOutcome::Unknown => {}
            }
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..5usize).prop_map(Step::Enter),
            4 => Just(Step::Answer),
            4 => (0..5usize).prop_map(Step::Leave),
            1 => Just(Step::Lose),
            1 => (1..60u64).prop_map(Step::Later),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        /// Whatever comes, somebody has the lock or asks for it while anybody waits, and nothing is left when all
        /// have gone.
        #[test]
        fn nobody_is_forgotten_and_nothing_is_left(steps in steps()) {
            let mut process = Process::default();
            for step in steps {
                process.step(step);
                let is_served = process.holder.is_some() || process.asking.is_some();
                prop_assert_eq!(is_served, !process.claims.is_empty(), "after {:?}", step);
            }
            for who in 0..5 {
                process.step(Step::Leave(who));
            }
            prop_assert!(process.queue.is_empty());
        }
    }
}

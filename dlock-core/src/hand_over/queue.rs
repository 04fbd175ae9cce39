//! Who of one process wants one key, and whose turn it is. Pure.
//!
//! However many wait here, one acquisition competes for all of them at the backend. What it was granted goes from
//! one to the next, each under a token of its own, until the lane has had its share; then the backend's queue
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
    /// For how long after the grant it is handed over.
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
pub(super) struct Lane {
    /// First come, first served. Where nothing is held the first one asks for the whole lane.
    waiters: VecDeque<Claim>,
    /// The acquisition that competes for the lane, or holds for it.
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
pub(super) enum Entered {
    /// Ask the backend for this acquisition.
    Ask(Claim),
    /// Wait to be told.
    Wait,
    /// It has the lock already.
    Has(Grant),
}

/// What there is to do when somebody left.
#[derive(Debug)]
pub(super) enum Left {
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

impl Lane {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty() && self.competitor.is_none()
    }

    /// Somebody wants the lock.
    pub(super) fn enter(&mut self, claim: &Claim) -> Entered {
        if let Some(hold) = self.hold.as_ref().filter(|hold| hold.holder == claim.owner) {
            return Entered::Has(hold.grant());
        }
        if !self.waiters.iter().any(|waiter| waiter.owner == claim.owner) {
            self.waiters.push_back(claim.clone());
        }
        match self.next_to_ask() {
            Some((owner, competitor)) if owner == claim.owner => Entered::Ask(competitor),
            _ => Entered::Wait,
        }
    }

    /// The first waiter and what it is to ask for, unless the lane holds.
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

    /// Until when the lease is valid, if the lane holds.
    pub(super) fn valid_until(&self) -> Option<Moment> {
        self.hold.as_ref().map(|hold| hold.valid_until)
    }

    /// What holds under a lease that is over at `now`: its holder did not say so, and nobody renewed it.
    pub(super) fn overdue(&self, now: Moment) -> Option<Claim> {
        let is_over = self.hold.as_ref().is_some_and(|hold| hold.valid_until <= now);
        self.competitor.clone().filter(|_| is_over)
    }

    /// Somebody leaves: the holder, or a waiter.
    pub(super) fn leave(&mut self, owner: OwnerId, share: HandOver, now: Moment) -> Left {
        if self.hold.as_ref().is_some_and(|hold| hold.holder == owner) {
            return self.hand_over(share, now);
        }
        let Some(place) = self.waiters.iter().position(|waiter| waiter.owner == owner) else {
            return Left::Unknown;
        };
        self.waiters.remove(place);
        match (self.next_to_ask(), place) {
            (Some((first, competitor)), 0) => Left::Passed(first, competitor),
            _ if self.hold.is_none() && self.waiters.is_empty() => {
                self.competitor.take().map_or(Left::Quietly, |competitor| Left::Over(competitor, None))
            }
            _ => Left::Quietly,
        }
    }

    /// The holder is done. The next waiter has the lock, or the lane has had its share.
    fn hand_over(&mut self, share: HandOver, now: Moment) -> Left {
        if let Some(grant) = self.grant_for_next(share, now)
            && let (Some(next), Some(hold)) = (self.waiters.pop_front(), self.hold.as_mut())
        {
            hold.token = grant.token;
            hold.tokens_left -= 1;
            hold.served += 1;
            hold.holder = next.owner;
            return Left::HandedOver(next.owner, grant);
        }
        self.hold = None;
        match self.competitor.take() {
            Some(competitor) => Left::Over(competitor, self.next_to_ask()),
            None => Left::Quietly,
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

    fn asks(entered: &Entered) -> OwnerId {
        match entered {
            Entered::Ask(competitor) => competitor.owner,
            other => panic!("{other:?}"),
        }
    }

    /// A lane that the first of three holds.
    fn held(tokens: u32) -> (Lane, [Claim; 3]) {
        let (mut lane, claims) = (Lane::default(), [claim(), claim(), claim()]);
        assert_eq!(asks(&lane.enter(&claims[0])), claims[0].owner);
        assert!(lane.granted(claims[0].owner, &grant(100, tokens), at(0)));
        for claim in &claims[1..] {
            assert!(matches!(lane.enter(claim), Entered::Wait));
        }
        (lane, claims)
    }

    fn next_of(left: Left) -> (OwnerId, u64) {
        match left {
            Left::HandedOver(next, grant) => (next, grant.token.as_u64()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_grant_goes_round_in_order_under_tokens_of_its_own() {
        let (mut lane, [one, two, three]) = held(64);
        assert_eq!(next_of(lane.leave(one.owner, SHARE, at(1))), (two.owner, 101));
        assert_eq!(next_of(lane.leave(two.owner, SHARE, at(2))), (three.owner, 102));
        assert!(
            matches!(lane.leave(three.owner, SHARE, at(3)), Left::Over(over, None) if over.owner == one.owner)
        );
        assert!(lane.is_empty());
    }

    /// A session may be much shorter than the `ttl`.
    #[test]
    fn a_grant_that_is_shorter_than_the_ttl_goes_round_as_well() {
        let (mut lane, one, two) = (Lane::default(), claim(), claim());
        asks(&lane.enter(&one));
        let short = Grant::new(FencingToken::new(100), at(3_000)).with_tokens(64);
        assert!(lane.granted(one.owner, &short, at(0)));
        assert!(matches!(lane.enter(&two), Entered::Wait));
        assert_eq!(next_of(lane.leave(one.owner, SHARE, at(1))), (two.owner, 101));
    }

    #[test]
    fn a_grant_that_has_served_its_share_goes_back() {
        for (tokens, share, now) in [
            (64, HandOver::new(1, Duration::from_secs(1)), at(1)),
            (1, SHARE, at(1)),
            (64, SHARE, at(50)),
            (64, HandOver::new(64, Duration::from_secs(60)), at(4_501)),
        ] {
            let (mut lane, [one, two, _]) = held(tokens);
            match lane.leave(one.owner, share, now) {
                Left::Over(over, Some((next, competitor))) => {
                    assert_eq!((over.owner, next, competitor.owner), (one.owner, two.owner, two.owner));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_grant_that_somebody_asks_for_goes_back() {
        let (mut lane, [one, two, _]) = held(64);
        lane.revoked(two.owner);
        assert_eq!(
            next_of(lane.leave(one.owner, SHARE, at(1))),
            (two.owner, 101),
            "it is not the competitor"
        );
        lane.revoked(one.owner);
        assert!(
            matches!(lane.leave(two.owner, SHARE, at(2)), Left::Over(over, Some(_)) if over.owner == one.owner)
        );
    }

    #[test]
    fn who_asks_for_the_lane_and_leaves_is_followed_by_the_next_with_the_same_claim() {
        let (mut lane, one, two) = (Lane::default(), claim(), claim());
        lane.enter(&one);
        assert!(matches!(lane.enter(&two), Entered::Wait));
        match lane.leave(one.owner, SHARE, at(0)) {
            Left::Passed(next, competitor) => assert_eq!((next, competitor.owner), (two.owner, one.owner)),
            other => panic!("{other:?}"),
        }
        assert!(
            matches!(lane.leave(two.owner, SHARE, at(0)), Left::Over(over, None) if over.owner == one.owner)
        );
        assert!(lane.is_empty());
    }

    #[test]
    fn a_waiter_behind_others_leaves_quietly() {
        let (mut lane, [_, two, three]) = held(64);
        assert!(matches!(lane.leave(three.owner, SHARE, at(0)), Left::Quietly));
        assert!(matches!(lane.leave(two.owner, SHARE, at(0)), Left::Quietly));
        assert!(matches!(lane.leave(two.owner, SHARE, at(0)), Left::Unknown));
    }

    #[test]
    fn a_lost_lease_is_competed_for_anew() {
        let (mut lane, [one, two, _]) = held(64);
        assert!(lane.lost(two.owner).is_none(), "it is not the competitor");
        let (holder, next) = lane.lost(one.owner).unwrap();
        let (asks, competitor) = next.unwrap();
        assert_eq!((holder, asks, competitor.owner), (one.owner, two.owner, two.owner));
        assert!(matches!(lane.leave(one.owner, SHARE, at(0)), Left::Unknown), "it holds nothing any more");
    }

    #[test]
    fn a_refused_try_makes_way_for_who_came_after_it() {
        let (mut lane, one, two) = (Lane::default(), claim(), claim());
        lane.enter(&one);
        lane.enter(&two);
        let (next, competitor) = lane.refused(one.owner).unwrap();
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

    /// A process with a lane, and a backend that grants every claim once.
    #[derive(Default)]
    struct Process {
        lane: Lane,
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
                    if let Entered::Ask(competitor) = self.lane.enter(&claim) {
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
                    let held = self.holder.and_then(|holder| self.lane.held_by(holder).cloned());
                    if let Some(competitor) = held {
                        let (holder, next) = self.lane.lost(competitor.owner).unwrap();
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
            assert!(self.lane.granted(owner, &grant, at(self.now)));
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
            match self.lane.leave(owner, SHARE, at(self.now)) {
                Left::HandedOver(next, grant) => self.hold(next, grant.token.as_u64()),
                Left::Passed(next, competitor) => self.ask(next, competitor),
                Left::Over(competitor, next) => {
                    assert!(!self.released.contains(&competitor.owner), "released twice");
                    self.released.push(competitor.owner);
                    next.into_iter().for_each(|(owner, competitor)| self.ask(owner, competitor));
                }
                Left::Quietly | Left::Unknown => {}
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
            prop_assert!(process.lane.is_empty());
        }
    }
}

//! The local state of one lease.

use super::age::Age;
use super::loss::{GuardState, LossReason, cause_of_expiry};
use super::token::FencingToken;
use crate::time::{Clock, Moment, Sleeping};
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// What is known here of one lease: its token, its deadline by the lease clock, what the backend's last word was, and
/// how it ended.
///
/// Whether it is valid is computed from the clock at each call, never from a flag that a task sets in time.
#[derive(Debug)]
pub(crate) struct LeaseState {
    token: AtomicU64,
    /// Until when the backend grants it.
    lease_until: AtomicU64,
    /// Until when it may be held, whatever the backend grants.
    hold_until: AtomicU64,
    /// For how long the machine had slept when the backend answered last.
    sleeping: Sleeping,
    facts: Facts,
    age: Age,
    /// Told of the end, and of the first and the last doubt, if it is watched.
    changed: Notify,
}

/// Who has doubts about a lease that is still valid.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Doubt {
    /// A renewal failed.
    Renewal = 1,
    /// The backend said so by itself.
    Backend = 2,
}

/// Is told of the loss and the doubts of a grant.
pub(crate) trait LeaseObserver: fmt::Debug + Send + Sync {
    /// It is gone.
    fn lose(&self, reason: LossReason);

    /// The backend cannot vouch for it for the moment.
    fn doubt(&self);

    /// It can again.
    fn trust(&self);
}

impl LeaseState {
    /// A lease that was not granted yet: not valid.
    pub(crate) fn pending() -> Self {
        Self {
            token: AtomicU64::new(0),
            lease_until: AtomicU64::new(0),
            hold_until: AtomicU64::new(u64::MAX),
            sleeping: Sleeping::default(),
            facts: Facts::default(),
            age: Age::default(),
            changed: Notify::new(),
        }
    }

    /// From here on the causes of an expired lease are told apart. That costs a look at two clocks for each answer.
    pub(crate) fn tell_causes(self) -> Self {
        self.facts.add(TELLS_CAUSES);
        self
    }

    /// A renewal is asked for.
    pub(crate) fn asked(&self) {
        self.facts.add(ASKED);
    }

    /// The backend answered.
    fn answered(&self) {
        let facts = self.facts.now();
        if facts.has(ASKED) {
            self.facts.take_away(ASKED);
        }
        if facts.has(TELLS_CAUSES) {
            self.sleeping.note();
        }
    }

    pub(crate) fn valid_until(&self) -> Moment {
        self.lease_until().min(self.hold_until())
    }

    /// Until when the backend grants it: the key stays closed for as long, also if the lease is over before.
    pub(crate) fn lease_until(&self) -> Moment {
        Moment::from_nanos(self.lease_until.load(Ordering::Acquire))
    }

    pub(crate) fn hold_until(&self) -> Moment {
        Moment::from_nanos(self.hold_until.load(Ordering::Acquire))
    }

    /// Sets until when it may be held. To be called before it is granted; no limit is the default.
    pub(crate) fn limit_hold(&self, until: Moment) {
        self.hold_until.store(until.as_nanos(), Ordering::Release);
    }

    pub(crate) fn token(&self) -> FencingToken {
        FencingToken::new(self.token.load(Ordering::Acquire))
    }

    /// Sets what was granted. Why it is over, if the backend took it back before this.
    pub(crate) fn grant(&self, token: FencingToken, valid_until: Moment) -> Option<LossReason> {
        self.answered();
        self.token.store(token.as_u64(), Ordering::Release);
        self.lease_until.store(valid_until.as_nanos(), Ordering::Release);
        self.facts.add(GRANTED).ended()
    }

    /// Takes note of the moment of the grant.
    pub(crate) fn held_from(&self, now: Moment) {
        self.age.begin(now);
    }

    /// For how long it has been held, to the second; nine hours stand for all that is longer.
    pub(crate) fn age(&self, now: Moment) -> Duration {
        self.age.at(now)
    }

    /// Moves the deadline later, unless the lease is over at `now`: a lease that was seen as lost is to stay lost.
    pub(crate) fn extend(&self, valid_until: Moment, now: Moment) -> bool {
        if self.loss(now).is_some() {
            return false;
        }
        self.lease_until.fetch_max(valid_until.as_nanos(), Ordering::AcqRel);
        self.answered();
        self.age.go_on(now);
        self.trust(Doubt::Renewal);
        true
    }

    /// Ends the lease; the first reason stays. Whether this ended one that was granted.
    pub(crate) fn end(&self, reason: LossReason) -> bool {
        let before = self.facts.end(reason);
        if before.ended().is_some() {
            return false;
        }
        self.tell_of_change(before);
        before.has(GRANTED)
    }

    /// Says that the last word of the backend was a bad one.
    pub(crate) fn doubt(&self, doubt: Doubt) {
        let before = self.facts.add(doubt as u16);
        if !before.has(DOUBTS) {
            self.tell_of_change(before);
        }
    }

    /// Takes this doubt back. Costs a read where there is none.
    pub(crate) fn trust(&self, doubt: Doubt) {
        if !self.facts.now().has(DOUBTS) {
            return;
        }
        let before = self.facts.take_away(doubt as u16);
        if before.0 & DOUBTS == doubt as u16 {
            self.tell_of_change(before);
        }
    }

    fn tell_of_change(&self, before: Fact) {
        if before.has(WATCHED) {
            self.changed.notify_waiters();
        }
    }

    /// Why the lease is over at `now`, or `None` while it is valid.
    pub(crate) fn loss(&self, now: Moment) -> Option<LossReason> {
        self.facts.now().ended().or_else(|| (now >= self.valid_until()).then(|| self.cause_of_end(now)))
    }

    /// Why its time passed. The result is the same for each caller, since the facts are.
    fn cause_of_end(&self, now: Moment) -> LossReason {
        if self.hold_until() <= self.lease_until() {
            return LossReason::MaxHold;
        }
        let facts = self.facts.now();
        if !facts.has(GRANTED) || !facts.has(TELLS_CAUSES) {
            return LossReason::Expired;
        }
        cause_of_expiry(self.lease_until(), now, self.sleeping.since_noted(), facts.has(ASKED))
    }

    pub(crate) fn state(&self, now: Moment) -> GuardState {
        match self.loss(now) {
            Some(reason) => GuardState::Lost(reason),
            None if self.facts.now().has(DOUBTS) => GuardState::Suspect,
            None => GuardState::Held,
        }
    }

    pub(crate) fn remaining(&self, now: Moment) -> Duration {
        match self.loss(now) {
            Some(_) => Duration::ZERO,
            None => self.valid_until().since(now),
        }
    }

    /// Waits until the lease is over, by its own timer at the deadline (I3).
    pub(crate) async fn lost(&self, clock: &Clock) -> LossReason {
        self.find(clock, |now| self.loss(now)).await
    }

    /// Waits until the state differs from `seen`.
    pub(crate) async fn state_other_than(&self, seen: GuardState, clock: &Clock) -> GuardState {
        self.find(clock, |now| Some(self.state(now)).filter(|state| *state != seen)).await
    }

    /// What `look` finds, now or after a change or the deadline.
    async fn find<T>(&self, clock: &Clock, look: impl Fn(Moment) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            self.facts.add(WATCHED);
            let now = clock.now();
            if let Some(found) = look(now) {
                return found;
            }
            let valid_until = self.valid_until();
            tokio::select! {
                () = changed => {}
                () = clock.sleep_until(valid_until), if now < valid_until => {}
            }
        }
    }
}

const DOUBTS: u16 = Doubt::Renewal as u16 | Doubt::Backend as u16;
const GRANTED: u16 = 4;
/// A caller has waited for a change. Stays.
const WATCHED: u16 = 8;
/// A renewal was asked for since the last answer.
const ASKED: u16 = 16;
/// The causes of an expired lease are told apart. Stays.
const TELLS_CAUSES: u16 = 32;
/// Above all of these stands how it ended, if it has.
const ENDED: u32 = 8;

/// All that is known beside the deadline, in one place: a change returns what was there before.
#[derive(Debug, Default)]
struct Facts(AtomicU16);

#[derive(Debug, Clone, Copy)]
struct Fact(u16);

impl Facts {
    fn now(&self) -> Fact {
        Fact(self.0.load(Ordering::Acquire))
    }

    fn add(&self, facts: u16) -> Fact {
        Fact(self.0.fetch_or(facts, Ordering::AcqRel))
    }

    fn take_away(&self, facts: u16) -> Fact {
        Fact(self.0.fetch_and(!facts, Ordering::AcqRel))
    }

    fn end(&self, reason: LossReason) -> Fact {
        let ended = |facts| Fact(facts).ended().is_none().then_some(facts | code(reason) << ENDED);
        let (Ok(before) | Err(before)) = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, ended);
        Fact(before)
    }
}

impl Fact {
    fn has(self, facts: u16) -> bool {
        self.0 & facts != 0
    }

    fn ended(self) -> Option<LossReason> {
        match self.0 >> ENDED {
            EXPIRED => Some(LossReason::Expired),
            NOT_OWNER => Some(LossReason::NotOwner),
            SESSION_EXPIRED => Some(LossReason::SessionExpired),
            RELEASED => Some(LossReason::Released),
            SLEPT => Some(LossReason::Slept),
            STOPPED => Some(LossReason::Stopped),
            MAX_HOLD => Some(LossReason::MaxHold),
            TAKEN_AWAY => Some(LossReason::TakenAway),
            _ => None,
        }
    }
}

const EXPIRED: u16 = 1;
const NOT_OWNER: u16 = 2;
const SESSION_EXPIRED: u16 = 3;
const RELEASED: u16 = 4;
const SLEPT: u16 = 5;
const STOPPED: u16 = 6;
const MAX_HOLD: u16 = 7;
const TAKEN_AWAY: u16 = 8;

const fn code(reason: LossReason) -> u16 {
    match reason {
        LossReason::Expired => EXPIRED,
        LossReason::NotOwner => NOT_OWNER,
        LossReason::SessionExpired => SESSION_EXPIRED,
        LossReason::Released => RELEASED,
        LossReason::Slept => SLEPT,
        LossReason::Stopped => STOPPED,
        LossReason::MaxHold => MAX_HOLD,
        LossReason::TakenAway => TAKEN_AWAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    /// A lease that was granted until `valid_until`.
    fn granted(valid_until: Moment) -> LeaseState {
        let lease = LeaseState::pending();
        assert_eq!(lease.grant(FencingToken::new(7), valid_until), None);
        lease
    }

    #[test]
    fn a_lease_is_suspect_while_anybody_doubts_it() {
        let lease = granted(at(100));
        assert_eq!(lease.state(at(0)), GuardState::Held);
        lease.doubt(Doubt::Renewal);
        lease.doubt(Doubt::Backend);
        assert!(lease.extend(at(200), at(50)));
        assert_eq!(lease.state(at(0)), GuardState::Suspect, "a renewal does not speak for the backend");
        lease.trust(Doubt::Backend);
        assert_eq!(lease.state(at(0)), GuardState::Held);
    }

    #[test]
    fn a_lost_lease_is_neither_doubted_nor_trusted() {
        let lease = granted(at(100));
        lease.doubt(Doubt::Backend);
        assert_eq!(lease.state(at(100)), GuardState::Lost(LossReason::Expired));
        lease.end(LossReason::NotOwner);
        lease.trust(Doubt::Backend);
        assert_eq!(lease.state(at(0)), GuardState::Lost(LossReason::NotOwner));
    }

    #[tokio::test]
    async fn a_caller_that_waits_for_another_state_is_told_of_each() {
        let (lease, clock) = (granted(Moment::now().after(Duration::from_secs(60))), Clock::default());
        let change = async {
            lease.doubt(Doubt::Renewal);
        };
        let (state, ()) = tokio::join!(lease.state_other_than(GuardState::Held, &clock), change);
        assert_eq!(state, GuardState::Suspect);
        let change = async { assert!(lease.end(LossReason::NotOwner)) };
        let (state, ()) = tokio::join!(lease.state_other_than(GuardState::Suspect, &clock), change);
        assert_eq!(state, GuardState::Lost(LossReason::NotOwner));
    }

    #[test]
    fn a_lease_is_valid_up_to_its_deadline_and_not_at_it() {
        assert_eq!(LeaseState::pending().loss(at(0)), Some(LossReason::Expired), "not granted yet");
        let lease = granted(at(100));
        assert_eq!(lease.loss(at(99)), None);
        assert_eq!(lease.remaining(at(60)), Duration::from_millis(40));
        assert_eq!(lease.loss(at(100)), Some(LossReason::Expired));
        assert_eq!(lease.remaining(at(100)), Duration::ZERO);
    }

    #[test]
    fn the_first_reason_of_a_loss_stays() {
        let all = [
            LossReason::Expired,
            LossReason::Slept,
            LossReason::Stopped,
            LossReason::NotOwner,
            LossReason::SessionExpired,
            LossReason::MaxHold,
            LossReason::Released,
        ];
        for first in all {
            let lease = granted(at(100));
            assert!(lease.end(first));
            all.iter().for_each(|other| assert!(!lease.end(*other)));
            assert_eq!(lease.loss(at(0)), Some(first));
        }
    }

    #[test]
    fn a_lease_whose_renewal_was_not_sent_was_stopped() {
        let lease = LeaseState::pending().tell_causes();
        lease.grant(FencingToken::new(7), at(100));
        assert_eq!(lease.loss(at(100)), Some(LossReason::Stopped));
        lease.asked();
        assert_eq!(lease.loss(at(100)), Some(LossReason::Expired), "the backend did not answer");
        assert!(lease.extend(at(200), at(50)));
        assert_eq!(lease.loss(at(200)), Some(LossReason::Stopped), "it answered then");
    }

    #[test]
    fn a_lease_is_over_when_it_was_held_for_as_long_as_it_may_be() {
        let lease = LeaseState::pending();
        lease.limit_hold(at(150));
        lease.grant(FencingToken::new(7), at(100));
        assert_eq!(lease.loss(at(100)), Some(LossReason::Expired), "it was not renewed");
        assert!(lease.extend(at(200), at(50)));
        assert_eq!(lease.remaining(at(100)), Duration::from_millis(50));
        assert_eq!(lease.loss(at(149)), None);
        assert_eq!(lease.loss(at(150)), Some(LossReason::MaxHold));
        assert_eq!(lease.loss(at(250)), Some(LossReason::MaxHold), "the lease was over later");
        assert!(!lease.extend(at(400), at(150)), "it is not renewed any more");
        assert_eq!(lease.lease_until(), at(200));
    }

    #[test]
    fn a_grant_that_was_taken_back_before_it_came_is_over() {
        let lease = LeaseState::pending();
        assert!(!lease.end(LossReason::SessionExpired), "nobody has it yet");
        assert_eq!(lease.grant(FencingToken::new(7), at(100)), Some(LossReason::SessionExpired));
        assert_eq!(lease.loss(at(0)), Some(LossReason::SessionExpired));
    }
}

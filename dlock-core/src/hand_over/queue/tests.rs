//! What the queue decides, case by case and in any order.

use super::*;
use crate::lease::FencingToken;
use proptest::prelude::*;
use std::collections::HashMap;

const SHARE: HandOver = HandOver::new(3, Duration::from_millis(50));

fn owners(called: CalledWaiters) -> Vec<OwnerId> {
    called.into_iter().map(|called| called.owner).collect()
}

/// Enters. Where it is to ask, it does so for an acquisition of the same name.
fn enter(queue: &mut KeyQueue, owner: OwnerId, mode: Mode, now: Moment) -> EnterOutcome {
    let entered = queue.enter(owner, mode);
    if matches!(entered, EnterOutcome::AskInPlace) {
        queue.ask_in_place(owner, owner, mode, now);
    }
    entered
}

/// As [`enter`], when it is polled.
fn take(queue: &mut KeyQueue, owner: OwnerId, now: Moment) -> TakeOutcome {
    let taken = queue.take(owner, now);
    if matches!(taken, TakeOutcome::AskInPlace) {
        queue.ask_in_place(owner, owner, Mode::Wait, now);
    }
    taken
}

fn at(millis: u64) -> Moment {
    Moment::START.after(Duration::from_millis(millis))
}

fn owner() -> OwnerId {
    OwnerId::random().unwrap()
}

fn grant(token: u64, tokens: u32, valid_until: Moment) -> Grant {
    Grant::new(FencingToken::new(token), valid_until).with_tokens(tokens)
}

/// A queue in which the first of three has the lock, with this number of tokens, and two wait.
fn held(tokens: u32) -> (KeyQueue, [OwnerId; 3]) {
    let (mut queue, claims) = (KeyQueue::default(), [owner(), owner(), owner()]);
    assert!(matches!(enter(&mut queue, claims[0], Mode::Wait, at(0)), EnterOutcome::AskInPlace));
    queue.granted_in_place(claims[0], &grant(64, tokens, at(9_000)), at(0)).unwrap();
    for &waiter in &claims[1..] {
        assert!(matches!(enter(&mut queue, waiter, Mode::Wait, at(0)), EnterOutcome::Wait(_)));
    }
    (queue, claims)
}

/// The same after the first has released it: it is offered.
fn offered(tokens: u32) -> (KeyQueue, [OwnerId; 3]) {
    let (mut queue, claims) = held(tokens);
    assert!(matches!(queue.leave(claims[0], SHARE, at(10)), LeaveOutcome::HandedOver));
    (queue, claims)
}

fn offered_to(queue: &KeyQueue, now: Moment) -> Vec<OwnerId> {
    queue.offered_to(now).map(|called| called.owner).collect()
}

impl TakeOutcome {
    fn granted(self) -> Option<Grant> {
        match self {
            Self::Has(grant) => Some(grant),
            Self::Wait | Self::AskInPlace => None,
        }
    }
}

fn standing(woken: Option<Moment>, is_queued: bool) -> InPlaceStanding {
    InPlaceStanding { woken, is_queued }
}

/// The waiter that is invited, if there is one.
fn invited(queue: &mut KeyQueue, now: Moment) -> Option<OwnerId> {
    queue.invite(now);
    match queue.stage {
        Stage::Invited { owner, .. } => Some(owner),
        _ => None,
    }
}

#[test]
fn a_grant_goes_round_under_rising_tokens_until_its_share_is_served() {
    let (mut queue, [_, two, three]) = offered(64);
    assert_eq!(offered_to(&queue, at(10)), [two]);
    assert_eq!(take(&mut queue, two, at(11)).granted().unwrap().token.as_u64(), 65);
    assert!(matches!(queue.leave(two, SHARE, at(12)), LeaveOutcome::HandedOver));
    assert_eq!(take(&mut queue, three, at(12)).granted().unwrap().token.as_u64(), 66);
    let late = owner();
    enter(&mut queue, late, Mode::Wait, at(13));
    assert!(matches!(queue.leave(three, SHARE, at(13)), LeaveOutcome::Over(_)), "three were served");
    assert_eq!(invited(&mut queue, at(13)), Some(late));
}

#[test]
fn a_grant_is_not_handed_over_without_tokens_nor_late_nor_with_little_lease_left() {
    for (tokens, now) in [(1, at(10)), (64, at(51)), (64, at(4_600))] {
        let (mut queue, [one, ..]) = held(tokens);
        assert!(matches!(queue.leave(one, SHARE, now), LeaveOutcome::Over(_)), "{tokens} {now:?}");
    }
}

#[test]
fn an_offer_that_is_not_taken_widens_and_a_waiter_that_lets_it_pass_keeps_its_place() {
    let (mut queue, [_, two, three]) = offered(64);
    assert!(take(&mut queue, three, at(59)).granted().is_none(), "not its turn yet");
    assert_eq!(queue.next_look(at(10)), Some(at(60)));
    assert_eq!(offered_to(&queue, at(60)), [two, three]);
    assert_eq!(take(&mut queue, three, at(60)).granted().unwrap().token.as_u64(), 65);
    assert!(invited(&mut queue, at(60)).is_none());
    let late = owner();
    enter(&mut queue, late, Mode::Wait, at(61));
    assert!(take(&mut queue, two, at(61)).granted().is_none(), "held, and it is there again");
    assert!(matches!(queue.leave(three, SHARE, at(61)), LeaveOutcome::Over(_)), "its share of time is over");
}

#[test]
fn an_offer_that_is_never_taken_goes_back_and_is_not_asked_for_again_until_a_waiter_is_polled() {
    let (mut queue, [one, two, _]) = offered(64);
    assert!(queue.pass_time(at(1_009)).returned.is_none());
    assert_eq!(queue.pass_time(at(1_010)).returned.unwrap(), one);
    assert!(invited(&mut queue, at(1_010)).is_none(), "all are parked");
    let other = owner();
    assert!(
        matches!(enter(&mut queue, other, Mode::Try, at(1_011)), EnterOutcome::AskInPlace),
        "who tries passes them"
    );
    queue.refused_in_place(other);
    assert!(matches!(take(&mut queue, two, at(1_012)), TakeOutcome::Wait));
    assert_eq!(invited(&mut queue, at(1_012)), Some(two), "it was polled");
}

/// The process, or the keeper alone, may have been stopped while the offer should have widened.
#[test]
fn a_waiter_that_is_parked_is_woken_since_it_may_never_have_been() {
    let (mut queue, [_, two, three]) = offered(64);
    assert_eq!(owners(queue.take_to_wake(at(10))), [two]);
    assert!(queue.pass_time(at(4_000)).returned.is_some());
    assert_eq!(owners(queue.take_to_wake(at(4_000))), [two, three]);
    assert!(owners(queue.take_to_wake(at(4_000))).is_empty(), "once");
    assert!(matches!(take(&mut queue, three, at(4_001)), TakeOutcome::Wait));
    assert_eq!(invited(&mut queue, at(4_001)), Some(three), "it was polled");
}

#[test]
fn a_waiter_that_is_passed_is_woken() {
    let (mut queue, [_, two, three]) = offered(64);
    assert!(
        take(&mut queue, three, at(60)).granted().is_some(),
        "polled by chance, before anybody was woken"
    );
    assert_eq!(owners(queue.take_to_wake(at(60))), [two]);
}

#[test]
fn a_caller_that_could_not_be_told_of_a_failure_is_the_first_in_line() {
    let (mut queue, [one, two, fresh]) = (KeyQueue::default(), [owner(), owner(), owner()]);
    enter(&mut queue, one, Mode::Wait, at(0));
    enter(&mut queue, two, Mode::Wait, at(10));
    assert!(queue.pass_time(at(60)).displaced.is_some());
    queue.asking(fresh);
    assert_eq!(owners(queue.failed(fresh)), [one, two]);
    queue.stay(one);
    queue.stay(one);
    assert_eq!(invited(&mut queue, at(61)), Some(one));
    assert!(matches!(queue.leave(one, SHARE, at(61)), LeaveOutcome::Quietly));
    assert!(queue.is_empty());
}

#[test]
fn what_is_withdrawn_is_asked_for_again() {
    let (mut queue, [_, two, _]) = offered(64);
    assert!(queue.withdraw());
    assert!(matches!(take(&mut queue, two, at(11)), TakeOutcome::Wait));
    assert_eq!(invited(&mut queue, at(11)), Some(two));
    assert!(!queue.withdraw());
}

#[test]
fn an_offer_is_not_taken_once_its_lease_is_over() {
    let (mut queue, claims) = held(64);
    assert!(matches!(queue.leave(claims[0], SHARE, at(10)), LeaveOutcome::HandedOver));
    assert!(take(&mut queue, claims[1], at(9_000)).granted().is_none());
    assert!(queue.pass_time(at(9_000)).returned.is_some());
}

#[test]
fn a_caller_that_asks_for_itself_and_is_not_polled_is_followed_by_the_keeper() {
    let (mut queue, [one, two, fresh]) = (KeyQueue::default(), [owner(), owner(), owner()]);
    enter(&mut queue, one, Mode::Wait, at(0));
    assert_eq!(queue.next_look(at(0)), None, "no waiter is left");
    enter(&mut queue, two, Mode::Wait, at(10));
    assert_eq!(queue.next_look(at(10)), Some(at(50)));
    assert_eq!(queue.pass_time(at(50)).displaced.unwrap(), (one, one));
    assert!(queue.is_for_keeper() && !queue.asks_in_place(one));
    queue.asking(fresh);
    assert!(queue.granted_in_place(one, &grant(64, 64, at(9_000)), at(60)).is_none(), "too late");
    assert!(queue.offer(fresh, &grant(128, 64, at(9_000)), at(60)));
    assert_eq!(offered_to(&queue, at(60)), [two], "the other one is parked");
    assert!(
        take(&mut queue, one, at(61)).granted().is_some(),
        "and has kept its place, now that it is polled"
    );
}

#[test]
fn a_caller_that_waits_at_the_backend_is_not_displaced_by_those_behind_it() {
    let (mut queue, [one, two, _]) = (KeyQueue::default(), [owner(), owner(), owner()]);
    enter(&mut queue, one, Mode::Wait, at(0));
    enter(&mut queue, two, Mode::Wait, at(10));
    queue.note_in_place(standing(None, true));
    assert_eq!(queue.next_look(at(40)), None);
    assert!(queue.pass_time(at(500)).displaced.is_none());
    assert!(queue.granted_in_place(one, &grant(64, 64, at(9_000)), at(500)).is_some());
}

#[test]
fn the_keeper_goes_on_with_what_a_caller_does_not_come_for() {
    let (mut queue, [one, two, _]) = (KeyQueue::default(), [owner(), owner(), owner()]);
    enter(&mut queue, one, Mode::Wait, at(0));
    enter(&mut queue, two, Mode::Wait, at(1));
    assert!(!queue.is_to_follow(at(500)), "a slow server is no reason");
    queue.note_in_place(standing(Some(at(500)), true));
    assert_eq!(queue.next_look(at(540)), Some(at(550)));
    queue.note_in_place(standing(None, true));
    assert_eq!(queue.next_look(at(550)), None, "it came");
    queue.note_in_place(standing(Some(at(600)), true));
    assert!(queue.is_to_follow(at(650)));
    queue.follow();
    assert!(queue.offer(one, &grant(64, 64, at(9_000)), at(651)));
    assert_eq!(offered_to(&queue, at(651)), [two], "the one that asked is parked");
    assert!(take(&mut queue, two, at(651)).granted().is_some());
    assert!(
        matches!(take(&mut queue, one, at(690)), TakeOutcome::Wait),
        "it is polled again, and has its place"
    );
    assert!(matches!(queue.leave(two, SHARE, at(691)), LeaveOutcome::HandedOver));
    assert_eq!(offered_to(&queue, at(691)), [one]);
}

#[test]
fn a_caller_that_only_tries_and_is_not_polled_is_left_alone() {
    let (mut queue, one) = (KeyQueue::default(), owner());
    enter(&mut queue, one, Mode::Try, at(0));
    queue.note_in_place(standing(Some(at(10)), false));
    assert!(!queue.is_to_follow(at(500)) && queue.next_look(at(500)).is_none());
}

#[test]
fn the_place_of_a_caller_that_gives_up_is_for_those_behind_it() {
    for is_queued in [true, false] {
        let (mut queue, [one, two, _]) = (KeyQueue::default(), [owner(), owner(), owner()]);
        enter(&mut queue, one, Mode::Wait, at(0));
        enter(&mut queue, two, Mode::Wait, at(0));
        queue.note_in_place(standing(None, is_queued));
        match queue.leave(one, SHARE, at(1)) {
            LeaveOutcome::Followed(_) if is_queued => {
                assert!(queue.offer(one, &grant(64, 64, at(9_000)), at(2)));
                assert_eq!(offered_to(&queue, at(2)), [two]);
            }
            LeaveOutcome::Over(_) if !is_queued => assert_eq!(invited(&mut queue, at(1)), Some(two)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_waiter_that_is_invited_asks_when_it_is_polled_and_else_the_keeper_does() {
    let (mut queue, [one, two, three]) = held(1);
    assert!(matches!(queue.leave(one, SHARE, at(10)), LeaveOutcome::Over(_)));
    assert_eq!(invited(&mut queue, at(10)), Some(two));
    assert_eq!(owners(queue.take_to_wake(at(10))), [two]);
    assert!(matches!(take(&mut queue, three, at(11)), TakeOutcome::Wait), "not its turn");
    assert!(matches!(enter(&mut queue, owner(), Mode::Try, at(11)), EnterOutcome::Busy));
    assert_eq!(queue.next_look(at(11)), Some(at(60)));
    queue.pass_time(at(60));
    assert!(queue.is_for_keeper());
    let fresh = owner();
    queue.asking(fresh);
    assert!(queue.offer(fresh, &grant(128, 64, at(9_000)), at(61)));
    assert_eq!(offered_to(&queue, at(61)), [three], "the other one let the invitation pass");

    let (mut queue, [one, two, _]) = held(1);
    queue.leave(one, SHARE, at(10));
    assert_eq!(invited(&mut queue, at(10)), Some(two));
    assert!(matches!(take(&mut queue, two, at(11)), TakeOutcome::AskInPlace));
    assert!(queue.granted_in_place(two, &grant(128, 64, at(9_000)), at(12)).is_some());
}

#[test]
fn an_invitation_that_is_refused_goes_to_the_next() {
    let (mut queue, [one, two, three]) = held(1);
    queue.leave(one, SHARE, at(10));
    assert_eq!(invited(&mut queue, at(10)), Some(two));
    assert!(matches!(queue.leave(two, SHARE, at(11)), LeaveOutcome::Quietly));
    assert_eq!(invited(&mut queue, at(11)), Some(three));
    assert!(matches!(queue.leave(three, SHARE, at(12)), LeaveOutcome::Quietly));
    assert!(queue.is_empty());
}

#[test]
fn the_last_waiter_that_leaves_has_what_the_keeper_asks_for_undone() {
    let (mut queue, [one, two, _]) = (KeyQueue::default(), [owner(), owner(), owner()]);
    enter(&mut queue, one, Mode::Wait, at(0));
    enter(&mut queue, two, Mode::Wait, at(0));
    queue.follow();
    assert!(matches!(queue.leave(one, SHARE, at(1)), LeaveOutcome::Quietly));
    assert!(matches!(queue.leave(two, SHARE, at(1)), LeaveOutcome::Abandoned(asked) if asked == one));
    assert!(queue.is_empty());
    assert!(!queue.offer(one, &grant(64, 64, at(9_000)), at(2)), "no waiter wants it");
}

#[test]
fn a_try_passes_no_waiter() {
    let (mut queue, [one, ..]) = held(64);
    assert!(matches!(enter(&mut queue, owner(), Mode::Try, at(1)), EnterOutcome::Busy));
    queue.leave(one, SHARE, at(1));
    assert!(matches!(enter(&mut queue, owner(), Mode::Try, at(1)), EnterOutcome::Busy));
}

#[test]
fn a_lost_lease_is_asked_for_again() {
    let (mut queue, [one, two, _]) = held(64);
    assert!(queue.lost(two).is_none(), "it is not the competitor");
    assert_eq!(queue.lost(one), Some(Some(one)));
    assert_eq!(invited(&mut queue, at(0)), Some(two));
    assert!(matches!(queue.leave(one, SHARE, at(0)), LeaveOutcome::Unknown), "it holds nothing");
}

#[test]
fn a_lease_that_ends_in_silence_is_noticed() {
    let (mut queue, [one, ..]) = held(64);
    assert_eq!(queue.next_look(at(0)), Some(at(9_000)));
    assert_eq!(queue.pass_time(at(9_000)).lost, Some((one, one)));
    assert!(invited(&mut queue, at(9_000)).is_some());
}

#[test]
fn a_holder_that_was_asked_to_let_go_hands_over_to_no_waiter_here() {
    let (mut queue, [one, ..]) = held(64);
    queue.revoked(one);
    assert!(matches!(queue.leave(one, SHARE, at(1)), LeaveOutcome::Over(_)));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter(usize, bool),
    /// The backend answers the side that asks.
    Answer,
    /// The future of this one is polled.
    Poll(usize),
    Leave(usize),
    Lose,
    /// The backend has the caller that asks for itself wait, or wakes it.
    Queue(bool),
    Later(u64),
}

/// A process with a queue, and a backend that grants every claim once.
#[derive(Default)]
struct Process {
    queue: KeyQueue,
    claims: HashMap<usize, (OwnerId, Mode)>,
    /// Which caller asks for itself, and for which acquisition.
    in_place: Option<(OwnerId, OwnerId, InPlaceStanding)>,
    /// What the keeper asks for.
    asking: Option<OwnerId>,
    holder: Option<OwnerId>,
    undone: Vec<OwnerId>,
    tokens: Vec<u64>,
    now: u64,
}

impl Process {
    fn step(&mut self, step: Step) {
        let now = at(self.now);
        match step {
            Step::Enter(who, tries) if !self.claims.contains_key(&who) => {
                let (claim, mode) = (owner(), if tries { Mode::Try } else { Mode::Wait });
                match self.queue.enter(claim, mode) {
                    EnterOutcome::AskInPlace => self.ask_in_place(claim, mode, now),
                    EnterOutcome::Busy => return,
                    EnterOutcome::Wait(_) => {}
                    EnterOutcome::Has(_) => panic!("it was never granted"),
                }
                self.claims.insert(who, (claim, mode));
            }
            Step::Answer => self.answer(now),
            Step::Poll(who) => self.poll(who, now),
            Step::Leave(who) => {
                if let Some((claim, _)) = self.claims.remove(&who) {
                    self.leave(claim, now);
                }
            }
            Step::Lose => self.lose(),
            Step::Queue(is_woken) => {
                if let Some((_, _, stands)) = &mut self.in_place {
                    *stands = standing(is_woken.then_some(now), true);
                }
            }
            Step::Later(millis) => self.now += millis,
            Step::Enter(..) => {}
        }
        self.tend();
    }

    fn tend(&mut self) {
        self.follow();
        let passed = self.queue.pass_time(at(self.now));
        let displaced = passed.displaced.map(|(_, competitor)| competitor);
        for undone in [displaced, passed.returned].into_iter().flatten() {
            self.undo(undone);
        }
        if let Some((holder, competitor)) = passed.lost {
            self.forget(holder);
            self.undo(competitor);
        }
        self.queue.invite(at(self.now));
        if self.queue.is_for_keeper() {
            assert!(self.holder.is_none(), "asks while it holds");
            let fresh = owner();
            self.queue.asking(fresh);
            self.asking = Some(fresh);
        }
    }

    /// The keeper goes on with the request of a caller that was woken and not polled.
    fn follow(&mut self) {
        let Some((_, competitor, stands)) = self.in_place else { return };
        self.queue.note_in_place(stands);
        if self.queue.is_to_follow(at(self.now)) {
            self.queue.follow();
            (self.in_place, self.asking) = (None, Some(competitor));
        }
    }

    fn ask_in_place(&mut self, claim: OwnerId, mode: Mode, now: Moment) {
        let competitor = owner();
        self.queue.ask_in_place(claim, competitor, mode, now);
        self.in_place = Some((claim, competitor, InPlaceStanding::default()));
    }

    fn next_grant(&self) -> Grant {
        let token = self.tokens.last().copied().unwrap_or_default().div_ceil(64) * 64 + 64;
        grant(token, 64, at(self.now + 9_000))
    }

    fn answer(&mut self, now: Moment) {
        if let Some((claim, competitor, _)) = self.in_place.take() {
            if let Some(grant) = self.queue.granted_in_place(claim, &self.next_grant(), now) {
                self.hold(claim, &grant);
            } else {
                assert!(self.undone.contains(&competitor), "its grant is kept");
            }
        } else if let Some(competitor) = self.asking.take()
            && !self.queue.offer(competitor, &self.next_grant(), now)
        {
            self.undo(competitor);
        }
    }

    fn poll(&mut self, who: usize, now: Moment) {
        let Some((claim, mode)) = self.claims.get(&who).cloned() else { return };
        self.come(claim);
        match self.queue.take(claim, now) {
            TakeOutcome::Has(grant) => self.hold(claim, &grant),
            TakeOutcome::AskInPlace => self.ask_in_place(claim, mode, now),
            TakeOutcome::Wait => {}
        }
        let is_displaced =
            mode == Mode::Try && self.holder != Some(claim) && !self.queue.asks_in_place(claim);
        if is_displaced {
            self.claims.remove(&who);
        }
    }

    /// A caller that asks for itself is polled: it has seen what it was woken for.
    fn come(&mut self, claim: OwnerId) {
        if let Some((asking, _, stands)) = &mut self.in_place
            && *asking == claim
        {
            stands.woken = None;
        }
    }

    /// I1, I2.
    fn hold(&mut self, owner: OwnerId, grant: &Grant) {
        let token = grant.token.as_u64();
        assert!(self.holder.is_none(), "two holders");
        assert!(grant.valid_until > at(self.now), "over already");
        assert!(self.tokens.last().is_none_or(|last| token > *last), "{token} after {:?}", self.tokens);
        self.tokens.push(token);
        self.holder = Some(owner);
    }

    fn leave(&mut self, owner: OwnerId, now: Moment) {
        if self.holder == Some(owner) {
            self.holder = None;
        }
        let asked = self.in_place.take_if(|(claim, _, _)| *claim == owner);
        asked.iter().for_each(|(_, _, stands)| self.queue.note_in_place(*stands));
        match self.queue.leave(owner, SHARE, now) {
            LeaveOutcome::Followed(competitor) => self.asking = Some(competitor),
            LeaveOutcome::Over(competitor) | LeaveOutcome::Abandoned(competitor) => self.undo(competitor),
            LeaveOutcome::Unknown | LeaveOutcome::Quietly | LeaveOutcome::HandedOver => {}
        }
    }

    fn lose(&mut self) {
        let Some(competitor) = self.holder.and_then(|holder| self.queue.held_by(holder)) else {
            return;
        };
        let holder = self.queue.lost(competitor).unwrap();
        self.forget(holder.unwrap());
        self.undo(competitor);
    }

    fn forget(&mut self, holder: OwnerId) {
        assert_eq!(self.holder.take(), Some(holder));
        self.claims.retain(|_, (claim, _)| *claim != holder);
    }

    fn undo(&mut self, competitor: OwnerId) {
        if self.asking.as_ref().is_some_and(|asked| *asked == competitor) {
            self.asking = None;
        }
        assert!(!self.undone.contains(&competitor), "undone twice");
        self.undone.push(competitor);
    }

    /// Polls all who wait, and has the backend answer, until nothing changes.
    fn drive(&mut self) {
        for who in (0..5).cycle().take(15) {
            self.step(Step::Answer);
            self.step(Step::Poll(who));
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5usize, any::<bool>()).prop_map(|(who, tries)| Step::Enter(who, tries)),
        4 => Just(Step::Answer),
        6 => (0..5usize).prop_map(Step::Poll),
        4 => (0..5usize).prop_map(Step::Leave),
        1 => Just(Step::Lose),
        2 => any::<bool>().prop_map(Step::Queue),
        2 => (1..120u64).prop_map(Step::Later),
        1 => Just(Step::Later(2_000)),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    /// Whatever comes: once those who want the lock are polled and the backend answers, one of them has it; and nothing
    /// is left when all have gone.
    #[test]
    fn no_waiter_is_forgotten_and_nothing_is_left(steps in steps()) {
        let mut process = Process::default();
        for step in steps {
            process.step(step);
            let mut looked_at = process.queue.next_look(at(process.now));
            prop_assert!(looked_at.take().is_none_or(|look| look > at(process.now)), "nothing is overdue after {:?}", step);
        }
        process.drive();
        prop_assert_eq!(process.holder.is_some(), !process.claims.is_empty());
        for who in 0..5 {
            process.step(Step::Leave(who));
        }
        prop_assert!(process.queue.is_empty());
        prop_assert!(process.asking.is_none() && process.in_place.is_none());
    }

    /// First come, first served, where everybody is polled at once.
    #[test]
    fn who_is_polled_is_served_in_order(waiters in 2..6usize, tokens in 1..8u32) {
        let (mut queue, first) = (KeyQueue::default(), owner());
        enter(&mut queue, first, Mode::Wait, at(0));
        queue.granted_in_place(first, &grant(64, tokens, at(9_000)), at(0)).unwrap();
        let line: Vec<_> = std::iter::repeat_with(owner).take(waiters).collect();
        line.iter().for_each(|waiter| _ = enter(&mut queue, *waiter, Mode::Wait, at(0)));
        let (mut holder, mut served) = (first, Vec::new());
        while served.len() < waiters {
            queue.leave(holder, SHARE, at(1));
            queue.invite(at(1));
            let taken = |waiter: &&OwnerId| !matches!(take(&mut queue, **waiter, at(1)), TakeOutcome::Wait);
            holder = *line.iter().rev().find(taken).unwrap();
            if queue.asks_in_place(holder) {
                queue.granted_in_place(holder, &grant(64, tokens, at(9_000)), at(1)).unwrap();
            }
            served.push(holder);
        }
        prop_assert_eq!(served, line);
    }
}

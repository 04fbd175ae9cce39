//! What the answers of several servers decide. Pure.
//!
//! A majority is always counted of all servers, never of those that answered. So any two majorities share a server, and
//! a server has one holder.

use crate::backend::redis::number::GrantNumber;
use std::time::Duration;

/// How many of `servers` are a majority.
pub(super) fn majority(servers: usize) -> usize {
    servers / 2 + 1
}

/// A server's answer to a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vote {
    /// The owner has the lock there, and the token is agreed to.
    Agreed,
    /// The owner has the lock there, but this token was agreed to before.
    Outbid(GrantNumber),
    /// Another has it, for so long; `None` if for ever.
    Held(Option<Duration>),
    /// No answer, or an error.
    Failed,
}

/// What a proposal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A majority agreed to the token while the owner had the lock there.
    Won,
    /// The owner has the lock at a majority, but the token is no greater than this one.
    Outbid(GrantNumber),
    /// The servers that would complete a majority are held by one other owner, or by several.
    Refused,
    /// Too few servers answer.
    Unreachable,
}

/// The votes on one proposal, at most one from each server.
#[derive(Debug, Clone)]
pub(super) struct Ballot {
    servers: usize,
    votes: Vec<Vote>,
}

impl Ballot {
    /// With this number of servers.
    pub(super) fn of(servers: usize) -> Self {
        Self { servers, votes: Vec::with_capacity(servers) }
    }

    pub(super) fn add(&mut self, vote: Vote) {
        self.votes.push(vote);
    }

    /// The outcome, once the servers that have not answered yet cannot change it for the better.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let (majority, silent) = (majority(self.servers), self.servers.saturating_sub(self.votes.len()));
        let agreed = self.count(|vote| matches!(vote, Vote::Agreed));
        if agreed >= majority {
            return Some(Outcome::Won);
        }
        if agreed + silent >= majority {
            return None;
        }
        let holds = self.holds();
        if holds >= majority {
            return Some(Outcome::Outbid(self.greatest()));
        }
        if holds + silent >= majority {
            return None;
        }
        let failed = self.count(|vote| matches!(vote, Vote::Failed));
        let reachable = self.servers.saturating_sub(failed) >= majority;
        Some(if reachable { Outcome::Refused } else { Outcome::Unreachable })
    }

    /// In how long enough leases will have ended for a majority to be free, as far as is known.
    pub(super) fn free_in(&self) -> Option<Duration> {
        let missing = majority(self.servers).saturating_sub(self.holds());
        let held = self.votes.iter().filter_map(|vote| match vote {
            Vote::Held(left) => Some(left.unwrap_or(Duration::MAX)),
            _ => None,
        });
        let mut left: Vec<_> = held.collect();
        left.sort_unstable();
        left.get(missing.checked_sub(1)?).copied().filter(|left| *left < Duration::MAX)
    }

    fn holds(&self) -> usize {
        self.count(|vote| matches!(vote, Vote::Agreed | Vote::Outbid(_)))
    }

    fn greatest(&self) -> GrantNumber {
        let tokens = self.votes.iter().filter_map(|vote| match vote {
            Vote::Outbid(token) => Some(*token),
            _ => None,
        });
        tokens.max().unwrap_or(GrantNumber::NONE)
    }

    fn count(&self, is: impl Fn(&Vote) -> bool) -> usize {
        self.votes.iter().filter(|vote| is(vote)).count()
    }
}

/// What asking every server for a yes or no came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A majority said yes.
    Yes,
    /// Too many said no: whatever the others say, no majority can say yes.
    No,
    /// Neither.
    Unsure,
}

/// The servers' words on whether an owner has the lock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Poll {
    servers: usize,
    yes: usize,
    no: usize,
    failed: usize,
}

impl Poll {
    /// With this number of servers.
    pub(super) fn of(servers: usize) -> Self {
        Self { servers, ..Self::default() }
    }

    /// Counts an answer, or that there is none.
    pub(super) fn add(&mut self, answer: Option<bool>) {
        match answer {
            Some(true) => self.yes += 1,
            Some(false) => self.no += 1,
            None => self.failed += 1,
        }
    }

    /// Whether a majority has answered, whatever the answers. An owner that left a majority has left enough for another
    /// to have the lock.
    pub(super) fn is_heard(&self) -> bool {
        self.yes + self.no >= majority(self.servers)
    }

    /// The verdict, once the servers that have not answered yet cannot change it.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let majority = majority(self.servers);
        let silent = self.servers.saturating_sub(self.yes + self.no + self.failed);
        let too_many = self.servers.saturating_sub(majority);
        if self.yes >= majority {
            Some(Verdict::Yes)
        } else if self.no > too_many {
            Some(Verdict::No)
        } else if self.yes + silent >= majority || self.no + silent > too_many {
            None
        } else {
            Some(Verdict::Unsure)
        }
    }
}

/// The next token to propose. It is greater than all known tokens and, if the clock is right, than all unknown ones. A
/// wrong clock costs rounds, never the order.
pub(super) fn proposal(seen: GrantNumber, unix_time: Duration) -> GrantNumber {
    // The scripts count exactly up to 2^53. A clock that is past the year 2112 must not use that up.
    const LATEST: u64 = 1 << 52;
    let micros = u64::try_from(unix_time.as_micros()).unwrap_or(LATEST).min(LATEST);
    GrantNumber::new(seen.as_u64().saturating_add(1).max(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Ttl;
    use crate::time::Moment;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestCaseResult, TestRunner};

    const TOKEN: GrantNumber = GrantNumber::new(7);

    fn outcome(servers: usize, votes: &[Vote]) -> Option<Outcome> {
        Ballot { servers, votes: votes.to_vec() }.outcome()
    }

    #[test]
    fn a_majority_is_more_than_half_of_all() {
        for (servers, expected) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            assert_eq!(majority(servers), expected, "{servers}");
        }
    }

    #[test]
    fn a_ballot_is_decided_as_soon_as_the_silent_cannot_help() {
        use Vote::{Agreed, Failed, Held, Outbid};
        let held = Held(None);
        assert_eq!(outcome(3, &[Agreed]), None);
        assert_eq!(outcome(3, &[Agreed, Agreed]), Some(Outcome::Won), "the third is not waited for");
        assert_eq!(outcome(3, &[held, held]), Some(Outcome::Refused));
        assert_eq!(outcome(3, &[held, Agreed]), None);
        assert_eq!(outcome(3, &[held, Agreed, Failed]), Some(Outcome::Refused), "split");
        assert_eq!(outcome(4, &[held, held, Agreed, Agreed]), Some(Outcome::Refused), "split in halves");
        assert_eq!(outcome(3, &[Failed, Failed]), Some(Outcome::Unreachable));
        assert_eq!(outcome(5, &[Failed, held, Failed, Failed]), Some(Outcome::Unreachable));
        assert_eq!(outcome(3, &[Outbid(TOKEN), Agreed]), None, "the third may agree");
        assert_eq!(outcome(3, &[Outbid(TOKEN), Agreed, Failed]), Some(Outcome::Outbid(TOKEN)));
        let greater = GrantNumber::new(9);
        assert_eq!(outcome(3, &[Outbid(TOKEN), Outbid(greater)]), Some(Outcome::Outbid(greater)));
    }

    #[test]
    fn a_lock_is_free_when_enough_leases_have_ended_for_a_majority() {
        let free_in = |servers, votes: &[Vote]| Ballot { servers, votes: votes.to_vec() }.free_in();
        let held = |seconds| Vote::Held(Some(Duration::from_secs(seconds)));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(free_in(3, &[held(9), held(5)]), seconds(9), "two are needed");
        assert_eq!(free_in(3, &[held(9), held(5), Vote::Agreed]), seconds(5), "one more is needed");
        assert_eq!(free_in(3, &[Vote::Held(None), held(5)]), None, "for ever");
        assert_eq!(free_in(3, &[held(5), Vote::Failed, Vote::Failed]), None, "not known");
    }

    #[test]
    fn polls_count_over_all_servers() {
        let verdict = |servers, answers: &[Option<bool>]| {
            let mut poll = Poll::of(servers);
            answers.iter().for_each(|answer| poll.add(*answer));
            poll.verdict()
        };
        let (yes, no, none) = (Some(true), Some(false), None);
        assert_eq!(verdict(3, &[yes, yes]), Some(Verdict::Yes));
        assert_eq!(verdict(3, &[no, no]), Some(Verdict::No));
        assert_eq!(verdict(3, &[no, none]), None, "the third may say no");
        assert_eq!(verdict(3, &[yes, none, none]), Some(Verdict::Unsure), "one of one is no majority");
        assert_eq!(verdict(5, &[yes, yes, no, none, none]), Some(Verdict::Unsure), "two of three neither");
        assert_eq!(verdict(4, &[no, no]), Some(Verdict::No), "the other half is no majority");
        assert_eq!(verdict(5, &[no, no, none, none]), None);
        let mut poll = Poll::of(3);
        [none, yes].iter().for_each(|answer| poll.add(*answer));
        assert!(!poll.is_heard(), "one of three answered");
        poll.add(no);
        assert!(poll.is_heard() && poll.verdict() == Some(Verdict::Unsure));
    }

    #[test]
    fn a_proposal_is_greater_than_every_token_seen_whatever_the_clock_says() {
        assert_eq!(proposal(TOKEN, Duration::from_secs(1)).as_u64(), 1_000_000);
        assert_eq!(proposal(TOKEN, Duration::ZERO).as_u64(), 8);
        assert!(proposal(TOKEN, Duration::MAX).as_u64() < 1 << 53);
        assert_eq!(proposal(GrantNumber::new(u64::MAX), Duration::ZERO).as_u64(), u64::MAX);
    }

    /// B06.
    #[test]
    fn a_majority_that_took_longer_than_the_lease_leaves_nothing_to_believe() {
        let ttl = Ttl::new(Duration::from_millis(100)).unwrap();
        for sent in
            [Moment::START, Moment::START.after(Duration::from_secs(1)), Moment::START.after(Duration::MAX)]
        {
            for late in [Duration::from_millis(100), Duration::from_secs(9), Duration::MAX] {
                let (valid_until, now) = (ttl.valid_until(sent), sent.after(late));
                assert_eq!(valid_until.since(now), Duration::ZERO, "never wraps around");
            }
        }
    }

    /// For each server whether it can be reached, and which of two rivals holds it.
    fn servers() -> impl Strategy<Value = Vec<(bool, bool, bool)>> {
        prop::collection::vec(any::<(bool, bool, bool)>(), 1..8)
    }

    /// The ballots of two rivals that ask servers of which each has one holder. `of` says how many a majority
    /// is counted of.
    fn at_most_one_wins(
        servers: &[(bool, bool, bool)],
        of: impl Fn(usize, usize) -> usize,
    ) -> TestCaseResult {
        let won = |rival: bool| {
            let heard = servers.iter().map(|(holder, one, other)| {
                let reachable = if rival { *one } else { *other };
                reachable.then_some(if *holder == rival { Vote::Agreed } else { Vote::Held(None) })
            });
            let votes: Vec<Vote> = heard.flatten().collect();
            let count = of(servers.len(), votes.len());
            outcome(count, &votes) == Some(Outcome::Won)
        };
        prop_assert!(!(won(true) && won(false)), "two winners");
        Ok(())
    }

    /// The negative control of the next test: this flawed count is over the answers.
    #[test]
    fn counting_over_the_answers_would_let_two_win() {
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let broken = runner.run(&servers(), |servers| at_most_one_wins(&servers, |_, answered| answered));
        assert!(broken.is_err(), "the property notices");
    }

    fn votes() -> impl Strategy<Value = Vec<Vote>> {
        let vote = prop_oneof![
            Just(Vote::Agreed),
            (0..9_u64).prop_map(|token| Vote::Outbid(GrantNumber::new(token))),
            Just(Vote::Held(None)),
            Just(Vote::Failed),
        ];
        prop::collection::vec(vote, 1..9)
    }

    proptest! {
        /// I1.
        #[test]
        fn two_rivals_never_both_win(servers in servers()) {
            at_most_one_wins(&servers, |all, _| all)?;
        }

        /// B05: whatever the answers, an attempt settles; and what was decided early would not have become a
        /// win by waiting.
        #[test]
        fn every_ballot_settles_and_an_early_outcome_is_right(votes in votes()) {
            let complete = outcome(votes.len(), &votes);
            prop_assert!(complete.is_some());
            let first = (1..=votes.len()).find_map(|answered| {
                let mut ballot = Ballot::of(votes.len());
                votes.iter().take(answered).for_each(|vote| ballot.add(*vote));
                ballot.outcome()
            });
            prop_assert_eq!(first == Some(Outcome::Won), complete == Some(Outcome::Won));
            prop_assert_eq!(
                matches!(first, Some(Outcome::Outbid(_))),
                matches!(complete, Some(Outcome::Outbid(_)))
            );
        }

        /// B47.
        #[test]
        fn every_poll_settles_and_never_both_ways(answers in prop::collection::vec(any::<Option<bool>>(), 1..9)) {
            let mut poll = Poll::of(answers.len());
            let mut verdicts = Vec::new();
            for answer in &answers {
                poll.add(*answer);
                verdicts.extend(poll.verdict());
            }
            prop_assert!(!verdicts.is_empty());
            prop_assert!(verdicts.iter().all(|verdict| Some(verdict) == verdicts.first()), "{:?}", verdicts);
            let yes = answers.iter().filter(|answer| **answer == Some(true)).count();
            prop_assert_eq!(verdicts.first() == Some(&Verdict::Yes), yes >= majority(answers.len()));
        }
    }
}

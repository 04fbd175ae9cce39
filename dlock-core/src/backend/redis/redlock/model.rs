//! Rivals at model servers, in random orders: no two grants are valid at once (I1), and tokens rise from grant to grant
//! (I2). Flawed rules, each with one rule missing, show that the property notices.

use super::votes::{Ballot, Outcome, Vote, proposal};
use crate::backend::redis::number::GrantNumber;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use std::time::Duration;

/// The rule that a twin lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModelFlaw {
    None,
    /// A grant counts even if its lease ended before the majority was complete.
    IgnoresTheLease,
    /// A majority is one of the servers that answered.
    CountsTheAnswers,
    /// A server agrees to a token that is not greater than its fence.
    AgreesToAnything,
    /// A server raises its fence for an owner that does not hold the lock.
    AgreesWithoutHolding,
}

/// What `propose.lua` does.
#[derive(Debug, Default, Clone)]
struct ModelServer {
    holder: Option<usize>,
    fence: u64,
}

impl ModelServer {
    fn propose(&mut self, rival: usize, token: GrantNumber, flaw: ModelFlaw) -> Vote {
        if *self.holder.get_or_insert(rival) != rival && flaw != ModelFlaw::AgreesWithoutHolding {
            return Vote::Held(None);
        }
        if token.as_u64() <= self.fence && flaw != ModelFlaw::AgreesToAnything {
            return Vote::Outbid(GrantNumber::new(self.fence));
        }
        self.fence = token.as_u64();
        Vote::Agreed
    }
}

/// One that acquires, again and again.
#[derive(Debug, Clone)]
struct Rival {
    token: GrantNumber,
    votes: Vec<(usize, Vote)>,
    /// Whether the lease of this round's requests lasts still, at every server that they reached.
    lasts: bool,
    granted: bool,
}

impl Rival {
    /// Asks all servers again, by a clock that shows `micros`.
    fn ask(seen: GrantNumber, micros: u64) -> Self {
        let token = proposal(seen, Duration::from_micros(micros));
        Self { token, votes: Vec::new(), lasts: true, granted: false }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A request arrives, and its answer.
    Arrives { rival: usize, server: usize },
    /// The leases of all that one rival has end, everywhere.
    LeasesEnd { rival: usize },
    /// The lease ends at one server, and elsewhere will end later.
    LeaseEnds { server: usize },
    /// A rival gives back what it has and asks again.
    Leaves { rival: usize, micros: u64 },
}

const RIVALS: usize = 3;
const SERVERS: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (rival, server) = (0..RIVALS, 0..SERVERS);
    let step = prop_oneof![
        6 => (rival.clone(), server.clone()).prop_map(|(rival, server)| Step::Arrives { rival, server }),
        1 => rival.clone().prop_map(|rival| Step::LeasesEnd { rival }),
        1 => server.prop_map(|server| Step::LeaseEnds { server }),
        2 => (rival, 0..9_u64).prop_map(|(rival, micros)| Step::Leaves { rival, micros }),
    ];
    prop::collection::vec(step, 1..60)
}

struct World {
    servers: Vec<ModelServer>,
    rivals: Vec<Rival>,
    last: GrantNumber,
    flaw: ModelFlaw,
}

fn run(steps: &[Step], flaw: ModelFlaw) -> TestCaseResult {
    let (nothing, servers) = (GrantNumber::NONE, vec![ModelServer::default(); SERVERS]);
    let rivals = (0..RIVALS).map(|rival| Rival::ask(nothing, rival as u64)).collect();
    let mut world = World { servers, rivals, last: nothing, flaw };
    steps.iter().try_for_each(|step| world.take(*step))
}

impl World {
    fn take(&mut self, step: Step) -> TestCaseResult {
        match step {
            Step::Arrives { rival, server } => return self.arrives(rival, server),
            Step::LeasesEnd { rival } => (0..SERVERS).for_each(|server| self.ends(server, Some(rival))),
            Step::LeaseEnds { server } => self.ends(server, None),
            Step::Leaves { rival, micros } => {
                (0..SERVERS).for_each(|server| self.ends(server, Some(rival)));
                self.rivals[rival] = Rival::ask(GrantNumber::NONE, micros);
            }
        }
        Ok(())
    }

    /// The holder's lease ends at a server, if it is `whose`. It was counted from before the round was sent, so
    /// it is over for the holder first (I3).
    fn ends(&mut self, server: usize, whose: Option<usize>) {
        let Some(holder) = self.servers[server].holder else { return };
        if whose.is_none_or(|whose| whose == holder) {
            self.servers[server].holder = None;
            let rival = &mut self.rivals[holder];
            let counts = rival.votes.iter().any(|(at, vote)| *at == server && *vote == Vote::Agreed);
            if counts {
                (rival.lasts, rival.granted) = (false, false);
            }
        }
    }

    fn arrives(&mut self, rival: usize, server: usize) -> TestCaseResult {
        let asking = &mut self.rivals[rival];
        if asking.granted || asking.votes.iter().any(|(at, _)| *at == server) {
            return Ok(());
        }
        asking.votes.push((server, self.servers[server].propose(rival, asking.token, self.flaw)));
        let of = if self.flaw == ModelFlaw::CountsTheAnswers { asking.votes.len() } else { SERVERS };
        let mut ballot = Ballot::of(of);
        asking.votes.iter().for_each(|(_, vote)| ballot.add(*vote));
        match ballot.outcome() {
            Some(Outcome::Won) if asking.lasts || self.flaw == ModelFlaw::IgnoresTheLease => {
                self.granted(rival)
            }
            Some(Outcome::Outbid(seen)) => {
                self.rivals[rival] = Rival::ask(seen, 0);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn granted(&mut self, rival: usize) -> TestCaseResult {
        let valid = self.rivals.iter().filter(|rival| rival.granted).count();
        prop_assert_eq!(valid, 0, "two valid grants");
        let token = self.rivals[rival].token;
        prop_assert!(token > self.last, "{} after {}", token, self.last);
        self.last = token;
        self.rivals[rival].granted = true;
        Ok(())
    }
}

fn check(flaw: ModelFlaw) -> bool {
    let config = Config { cases: 4_000, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    TestRunner::new(config).run(&steps(), |steps| run(&steps, flaw)).is_ok()
}

/// I1, I2, B83.
#[test]
fn grants_exclude_each_other_and_their_tokens_rise() {
    assert!(check(ModelFlaw::None));
}

#[test]
fn a_twin_that_lacks_a_rule_is_noticed() {
    for flaw in [
        ModelFlaw::IgnoresTheLease,
        ModelFlaw::CountsTheAnswers,
        ModelFlaw::AgreesToAnything,
        ModelFlaw::AgreesWithoutHolding,
    ] {
        assert!(!check(flaw), "{flaw:?} is not noticed");
    }
}

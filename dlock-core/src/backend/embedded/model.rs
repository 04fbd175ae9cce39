//! Owners at the store, in random orders: writers, readers, and holders of permits. Some are not polled for a long time, or
//! never again. The holders always fit together (I1). No waiter is passed before its time, and none is forgotten (I6). Flawed
//! stores that lack one rule each show that the property notices.

use super::lock::{Asker, ExchangeAnswer, Woken};
use super::occupancy::Occupancy;
use super::store::{Store, StoreAnswer};
use crate::backend::Share;
use crate::key::LockKey;
use crate::lease::{OwnerId, Ttl};
use crate::time::Moment;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use std::num::NonZeroU32;
use std::time::Duration;

/// The rule that a twin lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModelFlaw {
    None,
    /// An offer is made to the next waiter before the first can have asked.
    WidensAtOnce,
    /// An offer is made to one waiter only.
    NeverWidens,
    /// No waiter is woken but by an owner that leaves.
    SleepsOn,
    /// The owner that leaves wakes no waiter.
    LeavesQuietly,
    /// Of several waiters that may enter together, one is woken.
    WakesOne,
    /// A holder gets another share without asking.
    ExchangesAtWill,
}

const OWNERS: usize = 5;
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy)]
enum Step {
    /// An owner is polled, if it was woken; one that does nothing else asks for this.
    Poll {
        owner: usize,
        share: Share,
    },
    /// A holder wants this for what it has.
    Exchange {
        owner: usize,
        share: Share,
    },
    /// An owner leaves: a holder releases, a waiter is dropped.
    Leave {
        owner: usize,
    },
    Renew {
        owner: usize,
    },
    Pass {
        millis: u64,
    },
}

/// What an owner is about, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    /// With its place in the order of arrival, and since when it could have been polled.
    Waiting {
        place: u64,
        share: Share,
        woken: Option<Moment>,
    },
    Holding {
        until: Moment,
        share: Share,
    },
}

struct World {
    store: Store,
    key: LockKey,
    ttl: Ttl,
    owners: [OwnerId; OWNERS],
    stages: [Stage; OWNERS],
    arrivals: u64,
    now: Moment,
    /// Since when it is free, or an owner left the queue.
    free_since: Moment,
    /// When the alarm goes off.
    alarm: Option<Moment>,
    flaw: ModelFlaw,
}

impl World {
    fn new(flaw: ModelFlaw) -> Self {
        let patience = match flaw {
            ModelFlaw::WidensAtOnce => Duration::ZERO,
            ModelFlaw::NeverWidens => Duration::MAX,
            _ => PATIENCE,
        };
        Self {
            store: Store::with_patience(patience),
            key: LockKey::new("k").unwrap(),
            ttl: Ttl::new(Duration::from_millis(100)).unwrap(),
            owners: std::array::from_fn(|_| OwnerId::local()),
            stages: [Stage::Idle; OWNERS],
            arrivals: 0,
            now: Moment::START,
            free_since: Moment::START,
            alarm: None,
            flaw,
        }
    }

    fn take(&mut self, step: Step) -> TestCaseResult {
        match step {
            Step::Poll { owner, share } => self.poll(owner, share)?,
            Step::Exchange { owner, share } => self.exchange(owner, share)?,
            Step::Leave { owner } => self.leave(owner),
            Step::Renew { owner } => self.renew(owner),
            Step::Pass { millis } => self.pass(self.now.after(Duration::from_millis(millis))),
        }
        self.check()
    }

    fn asker(&self, owner: usize, share: Share) -> Asker<'static> {
        Asker { owner: self.owners[owner], share, ttl: self.ttl, waits: true, label: None }
    }

    fn poll(&mut self, owner: usize, share: Share) -> TestCaseResult {
        let (place, share) = match self.stages[owner] {
            Stage::Idle => (self.arrivals, share),
            Stage::Waiting { place, share, woken: Some(_) } => (place, share),
            _ => return Ok(()),
        };
        self.arrivals += 1;
        let (answer, woken) = self.store.acquire(&self.key, self.asker(owner, share), self.now);
        self.wake(woken);
        if answer == StoreAnswer::Busy {
            let woken = None;
            self.stages[owner] = Stage::Waiting { place, share, woken };
            self.free_since = self.free_since.max(self.now);
            return Ok(());
        }
        self.hold(owner, share);
        self.passed(place)
    }

    /// Those that came before the one that is granted the lock had their time, or may still enter beside it.
    fn passed(&self, granted: u64) -> TestCaseResult {
        for stage in self.stages {
            if let Stage::Waiting { place, share, woken } = stage
                && place < granted
            {
                let had = woken.map(|since| self.now.since(since));
                let had_time = had.is_some_and(|had| had >= PATIENCE);
                let may_enter = had.is_some() && self.occupied().with(share).is_some();
                prop_assert!(had_time || may_enter, "{place} passed by {granted} after {had:?}");
            }
        }
        Ok(())
    }

    fn hold(&mut self, owner: usize, share: Share) {
        let until = self.now.after(self.ttl.as_duration());
        self.stages[owner] = Stage::Holding { until, share };
        self.free_since = self.held_until();
    }

    /// Until when any owner holds it.
    fn held_until(&self) -> Moment {
        self.stages
            .iter()
            .filter_map(|stage| stage.held_until())
            .max()
            .map_or(self.now, |at| at.max(self.now))
    }

    fn exchange(&mut self, owner: usize, share: Share) -> TestCaseResult {
        let Stage::Holding { share: former, .. } = self.stages[owner] else { return Ok(()) };
        let held = std::mem::replace(&mut self.owners[owner], OwnerId::local());
        let (answer, woken) = self.store.exchange(&self.key, held, self.asker(owner, share), self.now);
        self.wake(woken);
        let at_will = self.flaw == ModelFlaw::ExchangesAtWill;
        match answer {
            ExchangeAnswer::Exchanged(_) => {
                let waits_for_all = |stage: &Stage| matches!(stage, Stage::Waiting { share: Share::All, .. });
                let passes = !former.is_all() && self.stages.iter().any(waits_for_all);
                prop_assert!(!passes, "it passed a waiter for all of the key");
                self.hold(owner, share);
            }
            ExchangeAnswer::Busy if at_will => self.hold(owner, share),
            ExchangeAnswer::Busy => self.owners[owner] = held,
            ExchangeAnswer::Lost => self.stages[owner] = Stage::Idle,
        }
        Ok(())
    }

    fn leave(&mut self, owner: usize) {
        self.stages[owner] = Stage::Idle;
        self.free_since = self.held_until();
        let (_, woken) = self.store.release(&self.key, self.owners[owner], self.now);
        if self.flaw != ModelFlaw::LeavesQuietly {
            self.wake(woken);
        }
    }

    fn renew(&mut self, owner: usize) {
        let (renewed, woken) = self.store.renew(&self.key, self.owners[owner], self.ttl, self.now);
        self.wake(woken);
        if let (true, Stage::Holding { share, .. }) = (renewed, self.stages[owner]) {
            self.hold(owner, share);
        }
    }

    /// As the alarm does, always in time.
    fn pass(&mut self, until: Moment) {
        self.set_alarm();
        while let Some(at) = self.alarm.filter(|at| *at <= until && self.flaw != ModelFlaw::SleepsOn) {
            self.now = at;
            let (woken, next) = self.store.look(at);
            self.alarm = next;
            self.wake(woken.into());
        }
        self.now = until;
    }

    fn set_alarm(&mut self) {
        if self.store.must_look_earlier() {
            self.alarm = Some(self.store.look(Moment::START).1).flatten();
        }
    }

    fn wake(&mut self, woken: Woken) {
        let several = if self.flaw == ModelFlaw::WakesOne { 1 } else { OWNERS };
        for id in woken.into_iter().take(several) {
            let owner = self.owners.iter().position(|owner| *owner == id);
            if let Some(Stage::Waiting { woken, .. }) = owner.map(|owner| &mut self.stages[owner]) {
                *woken = woken.or(Some(self.now));
            }
        }
    }

    /// What is held by leases that are valid.
    fn occupied(&self) -> Occupancy {
        Occupancy::of(self.stages.iter().filter_map(|stage| stage.valid_share(self.now)))
    }

    /// The holders fit together. A waiter that fits beside them and those ahead of it was woken; and once each has had its
    /// time, all were.
    fn check(&self) -> TestCaseResult {
        let valid: Vec<_> = self.stages.iter().filter_map(|stage| stage.valid_share(self.now)).collect();
        let together = valid.iter().try_fold(Occupancy::Free, |held, share| held.with(*share));
        prop_assert!(together.is_some(), "{valid:?} are held at once");
        let waiters = self.waiters();
        let mut taken = self.occupied();
        for (_, share, woken) in &waiters {
            let Some(with) = taken.with(*share) else { break };
            prop_assert!(woken.is_some(), "there is room for a waiter that was not told");
            taken = with;
        }
        let time = PATIENCE * u32::try_from(waiters.len()).unwrap();
        let all = waiters.iter().all(|(.., woken)| woken.is_some());
        let is_due = valid.is_empty() && self.now.since(self.free_since) >= time;
        prop_assert!(all || !is_due, "a waiter was forgotten");
        Ok(())
    }

    /// In the order in which they came.
    fn waiters(&self) -> Vec<(u64, Share, Option<Moment>)> {
        let waiting = |stage: &Stage| match *stage {
            Stage::Waiting { place, share, woken } => Some((place, share, woken)),
            _ => None,
        };
        let mut waiters: Vec<_> = self.stages.iter().filter_map(waiting).collect();
        waiters.sort_by_key(|(place, ..)| *place);
        waiters
    }
}

impl Stage {
    fn held_until(self) -> Option<Moment> {
        match self {
            Self::Holding { until, .. } => Some(until),
            Self::Idle | Self::Waiting { .. } => None,
        }
    }

    fn valid_share(self, now: Moment) -> Option<Share> {
        match self {
            Self::Holding { until, share } if now < until => Some(share),
            _ => None,
        }
    }
}

/// Mostly shares that may fit beside each other, and some that never do.
fn share() -> impl Strategy<Value = Share> {
    let part = |weight, of| Share::Part {
        weight: NonZeroU32::new(weight).unwrap(),
        of: NonZeroU32::new(of).unwrap(),
    };
    prop_oneof![
        4 => Just(Share::All),
        4 => Just(Share::READER),
        3 => (1..4_u32).prop_map(move |weight| part(weight, 3)),
        1 => Just(part(1, 2)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..OWNERS, share()).prop_map(|(owner, share)| Step::Poll { owner, share }),
        1 => (0..OWNERS, share()).prop_map(|(owner, share)| Step::Exchange { owner, share }),
        2 => (0..OWNERS).prop_map(|owner| Step::Leave { owner }),
        1 => (0..OWNERS).prop_map(|owner| Step::Renew { owner }),
        3 => (1..70_u64).prop_map(|millis| Step::Pass { millis }),
    ];
    prop::collection::vec(step, 1..80)
}

fn check(flaw: ModelFlaw) -> Result<(), String> {
    let config =
        Config { cases: 4_000, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let run = |steps: Vec<Step>| {
        let mut world = World::new(flaw);
        steps.into_iter().try_for_each(|step| world.take(step))
    };
    TestRunner::new(config).run(&steps(), run).map_err(|error| error.to_string())
}

#[test]
fn no_waiter_is_passed_before_its_time_and_none_is_forgotten() {
    check(ModelFlaw::None).unwrap();
}

#[test]
fn a_twin_that_lacks_a_rule_is_noticed() {
    for flaw in [
        ModelFlaw::WidensAtOnce,
        ModelFlaw::NeverWidens,
        ModelFlaw::SleepsOn,
        ModelFlaw::LeavesQuietly,
        ModelFlaw::WakesOne,
        ModelFlaw::ExchangesAtWill,
    ] {
        assert!(check(flaw).is_err(), "{flaw:?} is not noticed");
    }
}

//! Owners at the store, in random orders. Some are not polled for a long time, or never again. No waiter is passed
//! before its time, and none is forgotten (I6). Flawed stores that lack one rule each show that the property notices.

use super::lock::Asker;
use super::store::{Store, StoreAnswer};
use crate::key::LockKey;
use crate::lease::{OwnerId, Ttl};
use crate::time::Moment;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
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
}

const OWNERS: usize = 4;
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy)]
enum Step {
    /// An owner is polled, if it was woken; one that does nothing else asks.
    Poll {
        owner: usize,
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
        woken: Option<Moment>,
    },
    Holding {
        until: Moment,
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
            Step::Poll { owner } => self.poll(owner)?,
            Step::Leave { owner } => self.leave(owner),
            Step::Renew { owner } => self.renew(owner),
            Step::Pass { millis } => self.pass(self.now.after(Duration::from_millis(millis))),
        }
        self.check()
    }

    fn poll(&mut self, owner: usize) -> TestCaseResult {
        let (id, place) = (
            self.owners[owner],
            match self.stages[owner] {
                Stage::Idle => self.arrivals,
                Stage::Waiting { place, woken: Some(_) } => place,
                _ => return Ok(()),
            },
        );
        self.arrivals += 1;
        let (answer, woken) = self.store.acquire(
            &self.key,
            Asker { owner: id, ttl: self.ttl, waits: true, label: None },
            self.now,
        );
        self.wake(woken);
        if answer == StoreAnswer::Busy {
            self.stages[owner] = Stage::Waiting { place, woken: None };
            return Ok(());
        }
        self.hold(owner);
        self.passed(place)
    }

    /// Those that came before the one that is granted the lock had their time.
    fn passed(&self, granted: u64) -> TestCaseResult {
        for stage in self.stages {
            if let Stage::Waiting { place, woken } = stage
                && place < granted
            {
                let had = woken.map(|since| self.now.since(since));
                prop_assert!(
                    had.is_some_and(|had| had >= PATIENCE),
                    "{place} passed by {granted} after {had:?}"
                );
            }
        }
        Ok(())
    }

    fn hold(&mut self, owner: usize) {
        self.free_since = self.now.after(self.ttl.as_duration());
        self.stages[owner] = Stage::Holding { until: self.free_since };
    }

    fn leave(&mut self, owner: usize) {
        let stage = std::mem::replace(&mut self.stages[owner], Stage::Idle);
        let held = stage.held_until().is_some_and(|until| self.now < until);
        self.free_since = if held { self.now } else { self.free_since.max(self.now) };
        let (_, woken) = self.store.release(&self.key, self.owners[owner], self.now);
        self.wake(woken.filter(|_| self.flaw != ModelFlaw::LeavesQuietly));
    }

    fn renew(&mut self, owner: usize) {
        let (renewed, woken) = self.store.renew(&self.key, self.owners[owner], self.ttl, self.now);
        self.wake(woken);
        if renewed && matches!(self.stages[owner], Stage::Holding { .. }) {
            self.hold(owner);
        }
    }

    /// As the alarm does, always in time.
    fn pass(&mut self, until: Moment) {
        self.set_alarm();
        while let Some(at) = self.alarm.filter(|at| *at <= until && self.flaw != ModelFlaw::SleepsOn) {
            self.now = at;
            let (woken, next) = self.store.look(at);
            self.alarm = next;
            woken.into_iter().for_each(|owner| self.wake(Some(owner)));
        }
        self.now = until;
    }

    fn set_alarm(&mut self) {
        if self.store.must_look_earlier() {
            self.alarm = Some(self.store.look(Moment::START).1).flatten();
        }
    }

    fn wake(&mut self, woken: Option<OwnerId>) {
        let owner = self.owners.iter().position(|owner| Some(*owner) == woken);
        if let Some(Stage::Waiting { woken, .. }) = owner.map(|owner| &mut self.stages[owner]) {
            *woken = woken.or(Some(self.now));
        }
    }

    /// While no lease is valid, a waiter was woken; and once each has had its time, all were.
    fn check(&self) -> TestCaseResult {
        let holders: Vec<_> = self.stages.iter().filter_map(|stage| stage.held_until()).collect();
        let valid = holders.iter().filter(|until| self.now < **until).count();
        prop_assert!(valid <= 1, "{valid} hold it at once");
        let waiters: Vec<_> = self.stages.iter().filter_map(|stage| stage.woken()).collect();
        if valid == 0 && !waiters.is_empty() {
            let woken = waiters.iter().flatten().count();
            prop_assert!(woken > 0, "it is free, and nobody was told");
            let time = PATIENCE * u32::try_from(waiters.len()).unwrap();
            let all = woken == waiters.len() || self.now.since(self.free_since) < time;
            prop_assert!(all, "a waiter was forgotten");
        }
        Ok(())
    }
}

impl Stage {
    fn held_until(self) -> Option<Moment> {
        match self {
            Self::Holding { until } => Some(until),
            Self::Idle | Self::Waiting { .. } => None,
        }
    }

    fn woken(self) -> Option<Option<Moment>> {
        match self {
            Self::Waiting { woken, .. } => Some(woken),
            Self::Idle | Self::Holding { .. } => None,
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..OWNERS).prop_map(|owner| Step::Poll { owner }),
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
    for flaw in
        [ModelFlaw::WidensAtOnce, ModelFlaw::NeverWidens, ModelFlaw::SleepsOn, ModelFlaw::LeavesQuietly]
    {
        assert!(check(flaw).is_err(), "{flaw:?} is not noticed");
    }
}

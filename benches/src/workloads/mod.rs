//! What is measured, with whom, and what is to be reached: one file for each workload. The goals are ratios, and
//! what does not depend on the machine.

mod contended_across_processes;
mod contended_in_process;
mod counts;
mod distant;
mod embedded;
mod footprint;
mod growth;
mod hand_off;
mod held;
mod key_per_task;
mod layer;
mod macros;
mod uncontended;
mod waiters;

use crate::arguments::Arguments;
use crate::contenders::Contender;
use crate::order::Load;
pub(crate) use growth::{Curve, QUANTITY};

use anyhow::{Result, bail};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) about: &'static str,
    /// In the order of their turns: who is compared stands side by side.
    pub(crate) contenders: Vec<Contender>,
    pub(crate) load: Load,
    pub(crate) processes: usize,
    /// Whether clients and server share one processor, so that a round trip always costs the same.
    pub(crate) pinned: bool,
    /// How far the server is, each way, if it is not on the same machine.
    pub(crate) distance: Option<Duration>,
    /// Another number than the command line's.
    pub(crate) rounds: Option<usize>,
    pub(crate) goals: Vec<Goal>,
    /// Which curve it belongs to, and where.
    pub(crate) point: Option<(&'static Curve, f64)>,
}

/// A quantity of ours, and what it is to be.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) quantity: &'static str,
    pub(crate) ours: Contender,
    pub(crate) against: Option<Contender>,
    pub(crate) judged: Judged,
    pub(crate) must: Option<Bound>,
    pub(crate) aim: Option<Bound>,
    /// What a prototype reached that did nothing but this: no renewal, no fencing, no recovery.
    pub(crate) prototype: Option<f64>,
}

/// What of a quantity the bounds are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    Value,
    /// To the other one's of the same round.
    Ratio,
    /// How much more than the other one's of the same round.
    Difference,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Exactly(f64),
}

impl Bound {
    pub(crate) fn value(self) -> f64 {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) | Self::Exactly(value) => value,
        }
    }

    pub(crate) fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            // Counters of a server see a command or two of others.
            Self::Exactly(bound) => (value - bound).abs() < 0.01,
        }
    }
}

impl Workload {
    fn new(name: impl Into<String>, about: &'static str, contenders: &[Contender], load: Load) -> Self {
        let (name, contenders) = (name.into(), contenders.to_vec());
        let (distance, rounds, goals, point) = (None, None, Vec::new(), None);
        Self { name, about, contenders, load, processes: 1, pinned: false, distance, rounds, goals, point }
    }

    fn pinned(self) -> Self {
        Self { pinned: true, ..self }
    }

    fn at_a_distance(self, each_way: Duration) -> Self {
        Self { distance: Some(each_way), ..self }
    }

    fn processes(self, processes: usize) -> Self {
        Self { processes, ..self }
    }

    fn rounds(self, rounds: usize) -> Self {
        Self { rounds: Some(rounds), ..self }
    }

    fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }
}

impl Goal {
    fn value(ours: Contender, quantity: &'static str) -> Self {
        Self { quantity, ours, against: None, judged: Judged::Value, must: None, aim: None, prototype: None }
    }

    fn ratio(ours: Contender, quantity: &'static str, against: Contender) -> Self {
        Self { against: Some(against), judged: Judged::Ratio, ..Self::value(ours, quantity) }
    }

    fn difference(ours: Contender, quantity: &'static str, against: Contender) -> Self {
        Self { judged: Judged::Difference, ..Self::ratio(ours, quantity, against) }
    }

    /// Shown beside another contender, and judged by its value.
    fn beside(self, against: Contender) -> Self {
        Self { against: Some(against), ..self }
    }

    fn must(self, bound: Bound) -> Self {
        Self { must: Some(bound), ..self }
    }

    fn aim(self, bound: Bound) -> Self {
        Self { aim: Some(bound), ..self }
    }

    fn prototype(self, ratio: f64) -> Self {
        Self { prototype: Some(ratio), ..self }
    }
}

/// How long things are done.
#[derive(Clone, Copy)]
struct Spans {
    /// Where no task waits.
    short: Duration,
    /// Where fairness takes its time to show.
    long: Duration,
    held: Duration,
    quick: bool,
}

impl Spans {
    fn of(arguments: &Arguments) -> Self {
        let seconds = |quick: u64, full: u64| Duration::from_secs(if arguments.quick { quick } else { full });
        Self { short: seconds(1, 3), long: seconds(2, 5), held: seconds(10, 30), quick: arguments.quick }
    }
}

/// Those that the command line names.
pub(crate) fn choose(arguments: &Arguments) -> Result<Vec<Workload>> {
    let mut all = all(Spans::of(arguments));
    let names: Vec<String> = all.iter().map(|workload| workload.name.clone()).collect();
    let asked = &arguments.workloads;
    let is_asked = |name: &str| asked.iter().any(|asked| asked == "all" || is_named(name, asked));
    if let Some(unknown) =
        asked.iter().find(|asked| *asked != "all" && !names.iter().any(|name| is_named(name, asked)))
    {
        bail!("there is no workload {unknown}; there are: {}", names.join(" "));
    }
    if asked.is_empty() {
        bail!("say what to measure: all, or some of {}", names.join(" "));
    }
    all.retain(|workload| is_asked(&workload.name));
    if let Some(only) = &arguments.only {
        all.iter_mut().for_each(|workload| workload.contenders.retain(|who| who.name().starts_with(only)));
    }
    Ok(all)
}

/// `growth` names all that grows.
fn is_named(name: &str, asked: &str) -> bool {
    name == asked || name.strip_prefix(asked).is_some_and(|rest| rest.starts_with('/'))
}

fn all(spans: Spans) -> Vec<Workload> {
    let mut all = vec![
        uncontended::redis(spans),
        key_per_task::redis(spans),
        contended_in_process::redis(spans),
        contended_across_processes::redis(spans),
        hand_off::redis(spans),
        uncontended::zookeeper(spans),
        key_per_task::zookeeper(spans),
        contended_in_process::zookeeper(spans),
        contended_across_processes::zookeeper(spans),
        held::held(spans),
        waiters::waiters(spans),
        embedded::embedded(spans),
        macros::macros(spans),
        layer::layer(spans),
    ];
    all.extend(distant::zookeeper(spans));
    all.extend(counts::counts());
    all.extend(footprint::footprint(spans));
    all.extend(growth::growth(spans));
    all
}

fn cycles(tasks: usize, keys: usize, span: Duration) -> Load {
    Load::Cycles { tasks, keys, span, stamps: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_all_below_it() {
        assert!(is_named("growth/keys/100", "growth"));
        assert!(is_named("growth/keys/100", "growth/keys"));
        assert!(is_named("held", "held"));
        assert!(!is_named("redis-w1", "redis"));
    }

    #[test]
    fn bounds_are_met_at_their_ends() {
        assert!(Bound::AtLeast(0.95).is_met_by(0.95) && !Bound::AtLeast(0.95).is_met_by(0.94));
        assert!(Bound::AtMost(2.0).is_met_by(2.0) && !Bound::AtMost(2.0).is_met_by(2.1));
        assert!(Bound::Exactly(2.0).is_met_by(2.001) && !Bound::Exactly(2.0).is_met_by(2.2));
    }
}

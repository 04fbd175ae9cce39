//! How cost grows with keys, waiters and processes, without a hand-over inside the process unless it is named.

use super::{Goal, Spans, Workload, cycles};
use crate::contenders::Contender::{self, Baton, Dlock, DlockInLine, DlockZooKeeper, DlockZooKeeperInLine};
use crate::order::Load;

/// What workloads are points of.
#[derive(Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) title: &'static str,
    /// What there is more and more of.
    pub(crate) across: &'static str,
    /// What `QUANTITY` is here.
    pub(crate) up: &'static str,
}

/// What all curves show.
pub(crate) const QUANTITY: &str = "µs";

static KEYS: Curve = Curve {
    title: "Locks held",
    across: "locks the process holds besides",
    up: "µs to acquire and release one, pinned",
};

static WAITERS: Curve = Curve {
    title: "Waiters for one key",
    across: "waiters of one process",
    up: "µs from one waiter to the next",
};

static PROCESSES: Curve = Curve {
    title: "Processes on one key",
    across: "processes of one task each",
    up: "µs from one holder to the next",
};

/// More waiters than one session of ZooKeeper has room to watch for ask again and again, and each time for all names.
const MOST_AT_ZOOKEEPER: usize = 1_000;

pub(super) fn growth(spans: Spans) -> Vec<Workload> {
    let tens = [1, 10, 100, 1_000, 10_000];
    let keys = tens.map(|held| keys(held, spans));
    let waiters = tens.map(|count| waiters(count, spans));
    let processes = [1, 2, 4, 8, 16].map(|count| processes(count, spans));
    keys.into_iter().chain(waiters).chain(processes).collect()
}

fn keys(held: usize, spans: Spans) -> Workload {
    let load = Load::Crowded { held, span: spans.short };
    let contenders = [DlockInLine, DlockZooKeeperInLine];
    point(
        Workload::new(
            format!("growth/keys/{held}"),
            "1 task beside so many held locks, pinned",
            &contenders,
            load,
        ),
        &KEYS,
        held,
    )
    .pinned()
    .goal(Goal::value(DlockInLine, "client CPU µs"))
    .goal(Goal::value(DlockInLine, "server CPU µs"))
}

fn waiters(count: usize, spans: Spans) -> Workload {
    let about = "so many waiters of 1 process, served one after the other";
    let load = Load::Waiters { count, span: spans.short };
    let mut contenders = vec![Dlock, DlockInLine, DlockZooKeeper, DlockZooKeeperInLine];
    contenders.retain(|&who| who != DlockZooKeeperInLine || count <= MOST_AT_ZOOKEEPER);
    point(Workload::new(format!("growth/waiters/{count}"), about, &contenders, load), &WAITERS, count)
        .goal(Goal::value(DlockInLine, "commands per waiter and s"))
        .goal(Goal::value(DlockInLine, "server CPU µs per waiter and s"))
        .goal(Goal::value(DlockInLine, "server bytes per waiter"))
}

fn processes(count: usize, spans: Spans) -> Workload {
    let contenders = [DlockInLine, Baton, DlockZooKeeperInLine];
    let load = cycles(1, 1, spans.short);
    let name = format!("growth/processes/{count}");
    point(Workload::new(name, "so many processes of 1 task, 1 key", &contenders, load), &PROCESSES, count)
        .processes(count)
        .goal(Goal::ratio(DlockInLine, "operations/s", Baton))
        .goal(Goal::value(DlockInLine, "commands").beside(Baton))
        .goal(Goal::value(DlockZooKeeperInLine, "commands"))
}

/// Shows what every contender of ours needs there.
fn point(workload: Workload, curve: &'static Curve, at: usize) -> Workload {
    let ours: Vec<Contender> = workload.contenders.iter().copied().filter(|who| who.is_ours()).collect();
    let workload = Workload { point: Some((curve, at as f64)), ..workload };
    ours.into_iter().fold(workload, |workload, who| workload.goal(Goal::value(who, QUANTITY)))
}

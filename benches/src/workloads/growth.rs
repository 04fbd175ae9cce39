//! How cost grows with keys, waiters and processes.

use super::{Goal, Spans, Workload, cycles};
use crate::contenders::Contender::{Baton, Dlock};
use crate::order::Load;

pub(super) fn growth(spans: Spans) -> Vec<Workload> {
    let tens = [1, 10, 100, 1_000, 10_000];
    let keys = tens.map(|held| keys(held, spans));
    let waiters = tens.map(|count| waiters(count, spans));
    let processes = [1, 2, 4, 8, 16].map(|count| processes(count, spans));
    keys.into_iter().chain(waiters).chain(processes).collect()
}

fn keys(held: usize, spans: Spans) -> Workload {
    let load = Load::Crowded { held, span: spans.short };
    Workload::new(format!("growth/keys/{held}"), "1 task beside so many held locks, pinned", &[Dlock], load)
        .pinned()
        .rounds(1)
        .goal(Goal::value(Dlock, "µs"))
        .goal(Goal::value(Dlock, "client CPU µs"))
}

fn waiters(count: usize, spans: Spans) -> Workload {
    let about = "so many waiters of 1 process, served one after the other";
    Workload::new(format!("growth/waiters/{count}"), about, &[Dlock], Load::Waiters { count, span: spans.short })
        .rounds(1)
        .goal(Goal::value(Dlock, "µs"))
}

fn processes(count: usize, spans: Spans) -> Workload {
    let name = format!("growth/processes/{count}");
    Workload::new(name, "so many processes of 1 task, 1 key", &[Dlock, Baton], cycles(1, 1, spans.short))
        .processes(count)
        .rounds(1)
        .goal(Goal::ratio(Dlock, "operations/s", Baton))
        .goal(Goal::value(Dlock, "commands").beside(Baton))
}

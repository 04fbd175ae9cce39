//! How long a lock is on its way to another process, where all of them wait in one line.

use super::Bound::AtMost;
use super::{Goal, Spans, Workload, cycles};
use crate::contenders::Contender::{Baton, DistributedLock, DlockInLine, Rslock};

pub(super) fn redis(spans: Spans) -> Workload {
    let contenders = [DistributedLock, Rslock, DlockInLine, Baton];
    Workload::new(
        "redis-hand-off",
        "4 processes × 8 tasks, hand-over off",
        &contenders,
        cycles(8, 1, spans.long),
    )
    .processes(4)
    .goal(
        Goal::ratio(DlockInLine, "hand-off p50 µs", Baton).must(AtMost(1.8)).aim(AtMost(1.3)).prototype(1.0),
    )
    .goal(Goal::value(DlockInLine, "wake-ups").beside(Baton))
    .goal(Goal::value(DlockInLine, "commands").beside(Baton).must(AtMost(2.05)))
    .goal(Goal::ratio(DlockInLine, "operations/s", Baton))
}

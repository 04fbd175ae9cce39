//! 10,000 tasks of one process wait for one key that another client holds.

use super::Bound::AtMost;
use super::{Goal, Spans, Workload};
use crate::contenders::Contender::Dlock;
use crate::order::Load;

pub(super) fn waiters(spans: Spans) -> Workload {
    let load = Load::Waiters { count: 10_000, span: spans.short };
    Workload::new("waiters", "10,000 waiters, 1 key, 1 process", &[Dlock], load)
        .goal(Goal::value(Dlock, "subscriptions").must(AtMost(1.0)))
        .goal(Goal::value(Dlock, "bytes per waiter").must(AtMost(2048.0)).aim(AtMost(1024.0)))
        .goal(Goal::value(Dlock, "µs"))
}

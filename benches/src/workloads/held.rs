//! W5: 10,000 locks are held and renewed. A peer renews when it thinks fit: the cost is told per renewal.

use super::Bound::AtMost;
use super::{Goal, Spans, Workload};
use crate::contenders::Contender::{DistributedLock, Dlock, Rslock};
use crate::order::Load;
use std::time::Duration;

pub(super) fn held(spans: Spans) -> Workload {
    let load = Load::Held { locks: 10_000, lease: Duration::from_secs(10), span: spans.held };
    Workload::new("held", "10,000 held locks, lease 10 s", &[DistributedLock, Rslock, Dlock], load)
        .rounds(if spans.quick { 1 } else { 2 })
        .goal(Goal::ratio(Dlock, "client CPU µs", Rslock).must(AtMost(0.2)).aim(AtMost(0.1)).prototype(0.065))
        .goal(Goal::ratio(Dlock, "server CPU µs", Rslock).must(AtMost(0.6)))
        .goal(Goal::value(Dlock, "resident MB").beside(Rslock).must(AtMost(20.0)).aim(AtMost(12.0)))
        .goal(Goal::value(Dlock, "lost").beside(Rslock).must(AtMost(0.0)))
        .goal(Goal::value(Dlock, "renewals/s").beside(Rslock))
        .goal(Goal::value(Dlock, "bytes per lock").beside(Rslock))
}

//! Uncontended locks inside one process, beside what a program would do without a library.

use super::Bound::AtMost;
use super::{Goal, Spans, Workload};
use crate::contenders::Contender::{DlockEmbedded, ShardedMutex};
use crate::order::Load;

pub(super) fn embedded(spans: Spans) -> Workload {
    let load = Load::Batches { span: spans.short };
    Workload::new("embedded", "embedded, uncontended", &[DlockEmbedded, ShardedMutex], load)
        .goal(
            Goal::ratio(DlockEmbedded, "µs", ShardedMutex).must(AtMost(3.0)).aim(AtMost(2.0)).prototype(1.0),
        )
        .goal(Goal::value(DlockEmbedded, "µs").must(AtMost(1.0)))
}

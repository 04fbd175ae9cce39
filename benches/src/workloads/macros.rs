//! What the annotation costs over the same written by hand.

use super::{Goal, Spans, Workload};
use crate::contenders::Contender::{Annotated, HandWritten};
use crate::order::Load;

pub(super) fn macros(spans: Spans) -> Workload {
    let load = Load::Batches { span: spans.short };
    Workload::new("macro", "#[distributed_lock], embedded", &[Annotated, HandWritten], load)
        .goal(Goal::difference(Annotated, "µs", HandWritten))
}

//! What the layer costs per request, over the router without it.

use super::Bound::AtMost;
use super::{Goal, Spans, Workload};
use crate::contenders::Contender::{BareRouter, RouterWithLayer};
use crate::order::Load;

pub(super) fn layer(spans: Spans) -> Workload {
    let load = Load::Batches { span: spans.short };
    Workload::new("layer", "LockLayer, embedded, no network", &[RouterWithLayer, BareRouter], load)
        .goal(Goal::difference(RouterWithLayer, "µs", BareRouter).must(AtMost(2.0)).aim(AtMost(1.0)))
}

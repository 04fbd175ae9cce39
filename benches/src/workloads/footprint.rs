//! What a server needs for each lock, and what a lock leaves there: the figures of the fleet in docs/capacity.md.

use super::{Goal, Spans, Workload};
use crate::contenders::Contender::{self, DlockInLine, DlockZooKeeperInLine};
use crate::order::Load;

pub(super) fn footprint(spans: Spans) -> [Workload; 2] {
    let of = |name: &str, who: Contender, locks, quantities: &[&'static str]| {
        let about = "new keys, locked all at once, then released";
        let workload = Workload::new(name, about, &[who], Load::Footprint { locks }).rounds(1);
        quantities.iter().fold(workload, |workload, quantity| workload.goal(Goal::value(who, quantity)))
    };
    let locks = if spans.quick { 10_000 } else { 1_000_000 };
    let both = [
        "server bytes per held lock",
        "server bytes per released lock",
        "commands to acquire",
        "commands to release",
    ];
    let work = ["acquire script µs", "release script µs", "acquire server CPU µs", "release server CPU µs"];
    [
        of("footprint/redis", DlockInLine, locks, &[both.as_slice(), &work].concat()),
        of("footprint/zookeeper", DlockZooKeeperInLine, locks / 10, &both),
    ]
}

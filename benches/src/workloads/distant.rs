//! ZooKeeper two milliseconds away: there a lock costs what it takes in ways forth and back.

use super::Bound::AtMost;
use super::{Goal, Spans, Workload, cycles};
use crate::contenders::Contender::{DlockZooKeeper, RawZooKeeper, ZooKeeperRecipe};
use std::time::Duration;

const EACH_WAY: Duration = Duration::from_millis(1);

pub(super) fn zookeeper(spans: Spans) -> [Workload; 3] {
    let free = [ZooKeeperRecipe, RawZooKeeper, DlockZooKeeper];
    let contended = [ZooKeeperRecipe, DlockZooKeeper];
    [
        Workload::new(
            "zookeeper-2ms/free",
            "1 task, 1 key, round trips of 2 ms",
            &free,
            cycles(1, 1, spans.short),
        )
        .at_a_distance(EACH_WAY)
        .goal(Goal::value(DlockZooKeeper, "round trips").beside(RawZooKeeper).must(AtMost(2.05)))
        .goal(Goal::ratio(DlockZooKeeper, "cycle p50 µs", RawZooKeeper))
        .goal(Goal::ratio(DlockZooKeeper, "cycle p50 µs", ZooKeeperRecipe)),
        Workload::new(
            "zookeeper-2ms/tasks",
            "8 tasks, 8 keys, round trips of 2 ms",
            &free,
            cycles(8, 8, spans.short),
        )
        .at_a_distance(EACH_WAY)
        .goal(Goal::ratio(DlockZooKeeper, "cycle p50 µs", RawZooKeeper))
        .goal(Goal::ratio(DlockZooKeeper, "cycle p50 µs", ZooKeeperRecipe)),
        Workload::new(
            "zookeeper-2ms/hand-off",
            "2 processes × 1 task, 1 key, round trips of 2 ms",
            &contended,
            cycles(1, 1, spans.long),
        )
        .processes(2)
        .at_a_distance(EACH_WAY)
        .goal(Goal::ratio(DlockZooKeeper, "hand-off p50 µs", ZooKeeperRecipe))
        .goal(Goal::value(DlockZooKeeper, "round trips").beside(ZooKeeperRecipe)),
    ]
}

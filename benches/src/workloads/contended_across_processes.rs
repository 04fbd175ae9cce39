//! W4: 8 tasks in each of 4 processes want one key.

use super::Bound::{AtLeast, AtMost};
use super::{Goal, Spans, Workload, cycles};
use crate::contenders::Contender::{Baton, DistributedLock, Dlock, DlockZooKeeper, Rslock, ZooKeeperRecipe};

pub(super) fn redis(spans: Spans) -> Workload {
    let contenders = [DistributedLock, Rslock, Dlock, Baton];
    Workload::new("redis-w4", "4 processes × 8 tasks, 1 key", &contenders, cycles(8, 1, spans.long))
        .processes(4)
        .goal(Goal::ratio(Dlock, "operations/s", Rslock).must(AtLeast(4.0)).aim(AtLeast(6.0)).prototype(6.8))
        .goal(Goal::ratio(Dlock, "operations/s", Baton))
        .goal(Goal::value(Dlock, "Jain").beside(Rslock).must(AtLeast(0.98)))
        .goal(Goal::value(Dlock, "longest wait ms").beside(Rslock).must(AtMost(30.0)))
        .goal(Goal::value(Dlock, "wake-ups").beside(Rslock))
        .goal(Goal::value(Dlock, "commands").beside(Rslock).must(AtMost(0.5)))
        .goal(Goal::value(Dlock, "hand-off p50 µs").beside(Baton))
}

pub(super) fn zookeeper(spans: Spans) -> Workload {
    let contenders = [ZooKeeperRecipe, DlockZooKeeper];
    Workload::new("zookeeper-w4", "4 processes × 8 tasks, 1 key", &contenders, cycles(8, 1, spans.long))
        .processes(4)
        .goal(
            Goal::ratio(DlockZooKeeper, "operations/s", ZooKeeperRecipe)
                .must(AtLeast(5.0))
                .aim(AtLeast(8.0))
                .prototype(8.4),
        )
        .goal(Goal::ratio(DlockZooKeeper, "hand-off p50 µs", ZooKeeperRecipe))
        .goal(Goal::value(DlockZooKeeper, "wake-ups").beside(ZooKeeperRecipe))
        .goal(Goal::value(DlockZooKeeper, "longest wait ms").beside(ZooKeeperRecipe))
}

//! W3: 64 tasks of one process want one key.

use super::Bound::{AtLeast, AtMost};
use super::{Goal, Spans, Workload, cycles};
use crate::contenders::Contender::{Baton, DistributedLock, Dlock, DlockZooKeeper, Rslock, ZooKeeperRecipe};

pub(super) fn redis(spans: Spans) -> Workload {
    let contenders = [DistributedLock, Rslock, Dlock, Baton];
    Workload::new("redis-w3", "64 tasks, 1 key, 1 process", &contenders, cycles(64, 1, spans.long))
        .goal(
            Goal::ratio(Dlock, "operations/s", Rslock).must(AtLeast(20.0)).aim(AtLeast(35.0)).prototype(45.0),
        )
        .goal(Goal::ratio(Dlock, "operations/s", Baton))
        .goal(Goal::value(Dlock, "Jain").beside(Rslock).must(AtLeast(0.99)))
        .goal(Goal::value(Dlock, "longest wait ms").beside(Rslock).must(AtMost(50.0)))
        .goal(Goal::value(Dlock, "wake-ups").beside(Rslock))
        .goal(Goal::value(Dlock, "commands").beside(Rslock).must(AtMost(0.1)))
}

pub(super) fn zookeeper(spans: Spans) -> Workload {
    let contenders = [ZooKeeperRecipe, DlockZooKeeper];
    Workload::new("zookeeper-w3", "64 tasks, 1 key, 1 process", &contenders, cycles(64, 1, spans.long))
        .goal(
            Goal::ratio(DlockZooKeeper, "operations/s", ZooKeeperRecipe)
                .must(AtLeast(25.0))
                .aim(AtLeast(50.0))
                .prototype(61.0),
        )
        .goal(Goal::value(DlockZooKeeper, "wake-ups").beside(ZooKeeperRecipe))
        .goal(Goal::value(DlockZooKeeper, "longest wait ms").beside(ZooKeeperRecipe))
}

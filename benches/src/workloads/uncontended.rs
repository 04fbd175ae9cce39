//! W1: one task, one key. What an uncontended acquisition costs.

use super::Bound::{AtLeast, Exactly};
use super::{Goal, Spans, Workload, cycles};
use crate::contenders::Contender::{
    DistributedLock, Dlock, DlockOneThread, DlockPlain, DlockZooKeeper, RawRedis, RawRedisOneThread,
    RawZooKeeper, Redlock, Rslock, ZooKeeperRecipe,
};

pub(super) fn redis(spans: Spans) -> Workload {
    let contenders =
        [Redlock, DistributedLock, Rslock, RawRedis, Dlock, DlockPlain, DlockOneThread, RawRedisOneThread];
    Workload::new("redis-w1", "1 task, 1 key, pinned", &contenders, cycles(1, 1, spans.short))
        .pinned()
        .goal(
            Goal::ratio(Dlock, "operations/s", RawRedis)
                .must(AtLeast(0.95))
                .aim(AtLeast(1.1))
                .prototype(1.36),
        )
        .goal(Goal::value(Dlock, "commands").beside(RawRedis).must(Exactly(2.0)))
        .goal(Goal::ratio(DlockPlain, "operations/s", RawRedis).must(AtLeast(0.95)).aim(AtLeast(1.0)))
        .goal(Goal::ratio(DlockOneThread, "operations/s", RawRedisOneThread))
        .goal(Goal::ratio(Dlock, "client CPU µs", RawRedis))
        .goal(Goal::ratio(Dlock, "server CPU µs", RawRedis))
}

pub(super) fn zookeeper(spans: Spans) -> Workload {
    let contenders = [ZooKeeperRecipe, RawZooKeeper, DlockZooKeeper];
    Workload::new("zookeeper-w1", "1 task, 1 key, pinned", &contenders, cycles(1, 1, spans.short))
        .pinned()
        .goal(
            Goal::ratio(DlockZooKeeper, "operations/s", RawZooKeeper)
                .must(AtLeast(1.0))
                .aim(AtLeast(1.15))
                .prototype(1.4),
        )
        .goal(Goal::value(DlockZooKeeper, "commands").beside(RawZooKeeper))
}

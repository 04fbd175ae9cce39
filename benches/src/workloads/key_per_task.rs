//! W2: 64 tasks, 64 keys, one process. What one connection carries.

use super::Bound::AtLeast;
use super::{Goal, Spans, Workload, cycles};
use crate::contenders::Contender::{
    DistributedLock, Dlock, DlockOneThread, DlockPlain, DlockZooKeeper, RawRedis, RawRedisOneThread,
    RawZooKeeper, Redlock, Rslock, ZooKeeperRecipe,
};

pub(super) fn redis(spans: Spans) -> Workload {
    let contenders =
        [Redlock, DistributedLock, Rslock, RawRedis, Dlock, DlockPlain, DlockOneThread, RawRedisOneThread];
    Workload::new("redis-w2", "64 tasks, 64 keys", &contenders, cycles(64, 64, spans.short))
        .goal(
            Goal::ratio(Dlock, "operations/s", RawRedis).must(AtLeast(1.2)).aim(AtLeast(1.6)).prototype(1.8),
        )
        .goal(Goal::ratio(DlockPlain, "operations/s", RawRedis).must(AtLeast(0.95)).aim(AtLeast(1.0)))
        .goal(Goal::ratio(DlockOneThread, "operations/s", RawRedisOneThread))
        .goal(Goal::ratio(Dlock, "client CPU µs", RawRedis))
        .goal(Goal::ratio(Dlock, "server CPU µs", RawRedis))
}

pub(super) fn zookeeper(spans: Spans) -> Workload {
    let contenders = [ZooKeeperRecipe, RawZooKeeper, DlockZooKeeper];
    Workload::new("zookeeper-w2", "64 tasks, 64 keys", &contenders, cycles(64, 64, spans.short)).goal(
        Goal::ratio(DlockZooKeeper, "operations/s", RawZooKeeper)
            .must(AtLeast(1.0))
            .aim(AtLeast(1.15))
            .prototype(1.4),
    )
}

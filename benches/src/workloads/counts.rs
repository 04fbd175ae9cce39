//! What one acquire and release takes, whatever the machine: commands, bytes, allocations.

use super::{Goal, Workload};
use crate::contenders::Contender::{
    self, DistributedLock, Dlock, DlockEmbedded, DlockZooKeeper, RawRedis, RawZooKeeper, Rslock,
    ShardedMutex, ZooKeeperRecipe,
};
use crate::order::Load;

const CYCLES: u64 = 5_000;

pub(super) fn counts() -> [Workload; 3] {
    let of = |name: &str, contenders: &[Contender], ours, against, quantities: &[&'static str]| {
        let about = "per acquire and release, counted";
        let workload = Workload::new(name, about, contenders, Load::Counted { cycles: CYCLES }).rounds(1);
        quantities
            .iter()
            .fold(workload, |workload, quantity| workload.goal(Goal::ratio(ours, quantity, against)))
    };
    let allocated = ["allocations", "bytes allocated"];
    let sent = ["commands", "bytes in", "bytes out", "allocations", "bytes allocated"];
    [
        of("counts/redis", &[DistributedLock, Rslock, RawRedis, Dlock], Dlock, RawRedis, &sent),
        of(
            "counts/zookeeper",
            &[ZooKeeperRecipe, RawZooKeeper, DlockZooKeeper],
            DlockZooKeeper,
            RawZooKeeper,
            &["commands", "allocations", "bytes allocated"],
        ),
        of("counts/embedded", &[DlockEmbedded, ShardedMutex], DlockEmbedded, ShardedMutex, &allocated),
    ]
}

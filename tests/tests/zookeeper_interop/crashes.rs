//! A holder that is killed (SIGKILL) while others wait.

use crate::{Directory, TTL, dlock, dlock_as_kazoo, start};
use dlock_tests::ZooKeeperKind::{
    self, Curator, CuratorByNumber, Kazoo, KazooKnowingCurator, KazooNamedAsCurator,
};
use dlock_tests::{ForeignClient, shared_zookeeper};
use std::time::Duration;
use tokio::task::{JoinSet, LocalSet};

/// Long enough for a busy machine not to end it before its time.
const BRIEF: Duration = Duration::from_secs(4);

async fn a_crashed_holder_costs_its_session(holder: ZooKeeperKind, rival: ZooKeeperKind) {
    let directory = Directory::new();
    let key = directory.key();
    let mut rival = start(rival).await;
    let mut holder = ForeignClient::in_zookeeper(holder, shared_zookeeper(), BRIEF).await;
    assert!(holder.try_acquire(&key, TTL).await);
    let held = directory.nodes();
    rival.wait_for(&key, TTL).await;
    directory.has(2).await;
    holder.kill().await;
    rival.granted().await;
    let left = directory.nodes();
    assert!(left.len() == 1 && left != held, "the rival's alone: {left:?}");
    assert!(rival.release().await);
}

/// All the kinds in each order, at the same time: most of it is waiting for sessions to end.
async fn crash_each_before_each(kinds: &[ZooKeeperKind]) {
    let (mut crashes, here) = (JoinSet::new(), LocalSet::new());
    for holder in kinds {
        for rival in kinds.iter().filter(|rival| *rival != holder) {
            let crash = a_crashed_holder_costs_its_session(holder.clone(), rival.clone());
            crashes.spawn_local_on(crash, &here);
        }
    }
    here.run_until(crashes.join_all()).await;
}

#[tokio::test]
async fn with_the_names_of_curator() {
    crash_each_before_each(&[dlock(), Curator, KazooNamedAsCurator]).await;
}

#[tokio::test]
async fn with_names_of_their_own() {
    crash_each_before_each(&[dlock_as_kazoo(), CuratorByNumber, KazooKnowingCurator]).await;
}

#[tokio::test]
async fn with_the_names_of_kazoo() {
    crash_each_before_each(&[dlock_as_kazoo(), Kazoo]).await;
}

#[tokio::test]
async fn of_a_kazoo_that_knows_the_names_of_curator() {
    crash_each_before_each(&[dlock(), KazooKnowingCurator]).await;
}

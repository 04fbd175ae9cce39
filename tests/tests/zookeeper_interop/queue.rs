//! Many that wait at once: first come, first served, for clients of every library.

use crate::{Directory, Files, PATIENCE, TTL, dlock, dlock_as_kazoo, start};
use dlock_tests::Counting;
use dlock_tests::ZooKeeperKind::{self, Curator, CuratorByNumber, KazooKnowingCurator, KazooNamedAsCurator};
use tokio::task::JoinSet;

/// Lets clients of these kinds wait one after the other, and says in which order they had the lock.
async fn order_of_turns(waiting: Vec<ZooKeeperKind>) -> Vec<String> {
    let (directory, files) = (Directory::new(), Files::new());
    let key = directory.key();
    let mut holder = start(dlock()).await;
    assert!(holder.try_acquire(&key, TTL).await);
    let mut turns = JoinSet::new();
    for (ahead, kind) in (1..).zip(waiting) {
        let counting = Counting {
            lock: key.clone(),
            ttl: TTL,
            counter: files.counter(),
            journal: files.journal(),
            times: 1,
        };
        let mut client = start(kind).await;
        turns.spawn(async move { client.count(&counting).await });
        directory.has(ahead + 1).await;
    }
    assert!(files.names().is_empty(), "it is the holder's");
    assert!(holder.release().await);
    tokio::time::timeout(PATIENCE, turns.join_all()).await.unwrap();
    files.names()
}

/// Each kind comes before and after each other.
const ORDER: [&str; 7] = ["dlock", "curator", "kazoo", "dlock", "kazoo", "curator", "dlock"];

async fn turns_come_in_order(of_name: impl Fn(&str) -> ZooKeeperKind) {
    let turns = order_of_turns(ORDER.map(of_name).into()).await;
    assert_eq!(turns, ORDER);
}

#[tokio::test]
async fn turns_come_in_order_with_the_names_of_curator() {
    turns_come_in_order(|name| match name {
        "curator" => Curator,
        "kazoo" => KazooNamedAsCurator,
        _ => dlock(),
    })
    .await;
}

#[tokio::test]
async fn turns_come_in_order_with_names_of_their_own() {
    turns_come_in_order(|name| match name {
        "curator" => CuratorByNumber,
        "kazoo" => KazooKnowingCurator,
        _ => dlock_as_kazoo(),
    })
    .await;
}

//! Many of each kind count together, reading and then writing: exact under one lock, and only then.

use crate::{Directory, Files, PATIENCE, TTL, dlock, dlock_as_kazoo, start};
use dlock_tests::ZooKeeperKind::{
    self, Curator, CuratorByNumber, Kazoo, KazooKnowingCurator, KazooNamedAsCurator,
};
use dlock_tests::{Counting, ForeignClient, wait_until_async};
use tokio::task::JoinSet;

const TIMES: usize = 40;

/// Lets all count at once, each under the lock that is next, and returns what came of it when the last is done.
async fn count(kinds: Vec<ZooKeeperKind>, locks: impl Iterator<Item = &Directory>) -> Files {
    let files = Files::new();
    let counting = |lock: &Directory| Counting {
        lock: lock.key(),
        ttl: TTL,
        counter: files.counter(),
        journal: files.journal(),
        times: TIMES,
    };
    let mut clients: Vec<ForeignClient> = Vec::new();
    for kind in kinds {
        clients.push(start(kind).await);
    }
    let parts = clients.into_iter().zip(locks.map(counting));
    let turns = parts.map(|(mut client, part)| async move { client.count(&part).await });
    turns.collect::<JoinSet<()>>().join_all().await;
    files
}

async fn no_count_is_lost(kinds: [ZooKeeperKind; 6]) {
    let directory = Directory::lasting();
    let files = count(kinds.into(), std::iter::repeat(&directory)).await;
    for name in ["dlock", "curator", "kazoo"] {
        let turns = files.names().iter().filter(|counted| *counted == name).count();
        assert_eq!(turns, 2 * TIMES, "{name}");
    }
    assert_eq!(files.count(), files.names().len());
    assert_eq!(directory.nodes().len(), 0);
}

#[tokio::test]
async fn under_one_lock_with_the_names_of_curator_no_count_is_lost() {
    no_count_is_lost([dlock(), Curator, KazooNamedAsCurator, dlock(), Curator, KazooNamedAsCurator]).await;
}

/// Both dialects of ours among them.
#[tokio::test]
async fn under_one_lock_with_names_of_their_own_no_count_is_lost() {
    no_count_is_lost([
        dlock_as_kazoo(),
        CuratorByNumber,
        KazooKnowingCurator,
        dlock(),
        CuratorByNumber,
        KazooKnowingCurator,
    ])
    .await;
}

/// The same without a common lock, so that the tests above are known to be able to fail.
#[tokio::test]
async fn under_locks_apart_counts_are_lost() {
    wait_until_async("a count is lost", PATIENCE, async || {
        let locks = [(); 6].map(|()| Directory::lasting());
        let kinds = vec![dlock(), Curator, Kazoo, dlock(), Curator, Kazoo];
        let files = count(kinds, locks.iter()).await;
        files.count() < files.names().len()
    })
    .await;
}

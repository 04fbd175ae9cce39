//! A holder and a rival of another kind, in each order.

use crate::{Directory, TTL, dlock, dlock_as_kazoo, start};
use dlock_tests::ForeignClient;
use dlock_tests::ZooKeeperKind::{
    self, Curator, CuratorByNumber, Kazoo, KazooKnowingCurator, KazooNamedAsCurator, KazooReading,
    KazooWriting,
};

struct Pair {
    directory: Directory,
    key: String,
    holder: ForeignClient,
    rival: ForeignClient,
}

impl Pair {
    async fn start(holder: ZooKeeperKind, rival: ZooKeeperKind) -> Self {
        let directory = Directory::lasting();
        let (holder, rival) = tokio::join!(start(holder), start(rival));
        Self { key: directory.key(), directory, holder, rival }
    }
}

async fn a_rival_is_refused_until_the_release(holder: ZooKeeperKind, rival: ZooKeeperKind) {
    let Pair { directory, key, mut holder, mut rival } = Pair::start(holder, rival).await;
    assert!(holder.try_acquire(&key, TTL).await);
    let held = directory.nodes();
    assert!(!rival.try_acquire(&key, TTL).await, "it is the holder's");
    assert!(!rival.try_acquire(&key, TTL).await, "it is still the holder's");
    assert_eq!(directory.nodes(), held, "a refused try leaves nothing");
    assert!(holder.release().await);
    assert!(rival.try_acquire(&key, TTL).await, "it is free");
    assert!(!holder.try_acquire(&key, TTL).await, "it is the rival's");
    assert!(rival.release().await);
    assert_eq!(directory.nodes().len(), 0);
}

async fn a_waiting_rival_gets_it_after_the_release(holder: ZooKeeperKind, rival: ZooKeeperKind) {
    let Pair { directory, key, mut holder, mut rival } = Pair::start(holder, rival).await;
    assert!(holder.try_acquire(&key, TTL).await);
    rival.wait_for(&key, TTL).await;
    directory.has(2).await;
    assert!(holder.release().await);
    rival.granted().await;
    assert!(!holder.try_acquire(&key, TTL).await, "it is the rival's");
    assert!(rival.release().await);
    assert!(holder.try_acquire(&key, TTL).await, "it is free");
}

async fn a_late_release_frees_no_other_lock(holder: ZooKeeperKind, rival: ZooKeeperKind) {
    let knows_when_it_lost = matches!(holder, ZooKeeperKind::Dlock(..));
    let Pair { directory, key, mut holder, mut rival } = Pair::start(holder, rival).await;
    assert!(holder.try_acquire(&key, TTL).await);
    let held = format!("{}/{}", directory.path(), directory.nodes().remove(0));
    rival.wait_for(&key, TTL).await;
    directory.has(2).await;
    directory.operator.delete(&held);
    rival.granted().await;
    let was_held = holder.release().await;
    assert!(!(was_held && knows_when_it_lost), "it was the rival's by then");
    assert_eq!(directory.nodes().len(), 1, "the rival's node is there");
    assert!(!holder.try_acquire(&key, TTL).await, "it is still the rival's");
    assert!(rival.release().await);
}

macro_rules! pairs {
    ($($module:ident: $holder:expr, $rival:expr;)*) => {$(
        mod $module {
            use super::*;

            pairs!(@tests ($holder, $rival)
                a_rival_is_refused_until_the_release
                a_waiting_rival_gets_it_after_the_release
                a_late_release_frees_no_other_lock);
        }
    )*};
    (@tests $kinds:tt $($case:ident)*) => {
        pairs!(@each $($case $kinds)*);
    };
    (@each $($case:ident $kinds:tt)*) => {$(
        #[tokio::test]
        async fn $case() {
            super::$case$kinds.await;
        }
    )*};
}

// All with Curator's names.
pairs! {
    dlock_then_curator: dlock(), Curator;
    curator_then_dlock: Curator, dlock();
    dlock_then_kazoo_named_as_curator: dlock(), KazooNamedAsCurator;
    kazoo_named_as_curator_then_dlock: KazooNamedAsCurator, dlock();
    curator_then_kazoo_named_as_curator: Curator, KazooNamedAsCurator;
    kazoo_named_as_curator_then_curator: KazooNamedAsCurator, Curator;
}

// Each with its own names, and knowing the others'.
pairs! {
    dlock_then_kazoo_knowing_curator: dlock(), KazooKnowingCurator;
    kazoo_knowing_curator_then_dlock: KazooKnowingCurator, dlock();
    dlock_as_kazoo_then_kazoo_knowing_curator: dlock_as_kazoo(), KazooKnowingCurator;
    kazoo_knowing_curator_then_dlock_as_kazoo: KazooKnowingCurator, dlock_as_kazoo();
    dlock_as_kazoo_then_curator_by_number: dlock_as_kazoo(), CuratorByNumber;
    curator_by_number_then_dlock_as_kazoo: CuratorByNumber, dlock_as_kazoo();
    curator_by_number_then_kazoo_knowing_curator: CuratorByNumber, KazooKnowingCurator;
    kazoo_knowing_curator_then_curator_by_number: KazooKnowingCurator, CuratorByNumber;
}

// All with kazoo's names.
pairs! {
    dlock_as_kazoo_then_kazoo: dlock_as_kazoo(), Kazoo;
    kazoo_then_dlock_as_kazoo: Kazoo, dlock_as_kazoo();
    dlock_as_kazoo_then_kazoo_reading: dlock_as_kazoo(), KazooReading;
    kazoo_reading_then_dlock_as_kazoo: KazooReading, dlock_as_kazoo();
    dlock_as_kazoo_then_kazoo_writing: dlock_as_kazoo(), KazooWriting;
    kazoo_writing_then_dlock_as_kazoo: KazooWriting, dlock_as_kazoo();
}

// Our two dialects.
pairs! {
    dlock_then_dlock_as_kazoo: dlock(), dlock_as_kazoo();
    dlock_as_kazoo_then_dlock: dlock_as_kazoo(), dlock();
}

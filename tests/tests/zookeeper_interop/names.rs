//! Which nodes of others each client waits for. What is said of [`Dialect`](dlock_core::backend::zookeeper::Dialect)
//! is found out here.

use crate::{Directory, TTL, dlock, dlock_as_kazoo, start};
use dlock_tests::ZooKeeperKind::{
    self, Curator, CuratorByNumber, Kazoo, KazooKnowingCurator, KazooNamedAsCurator,
};

/// Names up to the number, of some client each.
const CURATOR: &str = "_c_01234567-89ab-cdef-0123-456789abcdef-lock-";
const GO_ZOOKEEPER: &str = "_c_0123456789abcdef0123456789abcdef-lock-";
const KAZOO_NAMED_AS_CURATOR: &str = "0123456789abcdef0123456789abcdeflock-";
const RECIPE: &str = "lock-";
const NUMBER_ALONE: &str = "";
const KAZOO: &str = "0123456789abcdef0123456789abcdef__lock__";
const KAZOO_READING: &str = "0123456789abcdef0123456789abcdef__rlock__";
const CURATOR_WRITING: &str = "_c_01234567-89ab-cdef-0123-456789abcdef-__WRIT__";
const ANY: &str = "x-";

const ALL: [&str; 9] = [
    CURATOR,
    GO_ZOOKEEPER,
    KAZOO_NAMED_AS_CURATOR,
    RECIPE,
    NUMBER_ALONE,
    KAZOO,
    KAZOO_READING,
    CURATOR_WRITING,
    ANY,
];

/// The names of those nodes for which a client waits when they came before it.
async fn waited_for(kind: ZooKeeperKind) -> Vec<&'static str> {
    let directory = Directory::lasting();
    let mut client = start(kind).await;
    let mut names = Vec::new();
    for name in ALL {
        let other = directory.operator.make_sequential(&format!("{}/{name}", directory.path()));
        match client.try_acquire(&directory.key(), TTL).await {
            true => assert!(client.release().await),
            false => names.push(name),
        }
        directory.operator.delete(&other);
    }
    names
}

#[tokio::test]
async fn dlock_waits_for_all_that_curator_or_kazoo_wait_for_in_either_dialect() {
    let all = [CURATOR, GO_ZOOKEEPER, KAZOO_NAMED_AS_CURATOR, RECIPE, NUMBER_ALONE, KAZOO, KAZOO_READING];
    assert_eq!(waited_for(dlock()).await, all);
    assert_eq!(waited_for(dlock_as_kazoo()).await, all);
}

#[tokio::test]
async fn curator_does_not_wait_for_kazoo() {
    let with_lock_and_a_dash = [CURATOR, GO_ZOOKEEPER, KAZOO_NAMED_AS_CURATOR, RECIPE, NUMBER_ALONE];
    assert_eq!(waited_for(Curator).await, with_lock_and_a_dash);
}

#[tokio::test]
async fn curator_by_number_waits_for_everything() {
    assert_eq!(waited_for(CuratorByNumber).await, ALL);
}

#[tokio::test]
async fn kazoo_does_not_wait_for_curator() {
    assert_eq!(waited_for(Kazoo).await, [KAZOO]);
}

#[tokio::test]
async fn kazoo_can_know_the_names_of_curator() {
    let known = [CURATOR, GO_ZOOKEEPER, KAZOO_NAMED_AS_CURATOR, RECIPE, KAZOO];
    assert_eq!(waited_for(KazooKnowingCurator).await, known);
}

#[tokio::test]
async fn kazoo_can_take_the_names_of_curator() {
    let known = [CURATOR, GO_ZOOKEEPER, KAZOO_NAMED_AS_CURATOR, RECIPE];
    assert_eq!(waited_for(KazooNamedAsCurator).await, known);
}

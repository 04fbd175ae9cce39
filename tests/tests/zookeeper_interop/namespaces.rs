//! A namespace of ours, and clients of other libraries that lock the whole path.

use crate::{Directory, PATIENCE, TTL, start};
use dlock_core::backend::zookeeper::Dialect;
use dlock_core::{LockManager, ZooKeeperBackend};
use dlock_tests::ZooKeeperKind::{Curator, Kazoo};
use dlock_tests::{ForeignClient, fresh_key, shared_zookeeper};

/// Our side in a namespace below a root, as the servers' other tenants have roots of their own.
async fn ours(root: &str, namespace: &str, dialect: Dialect) -> LockManager {
    let builder = ZooKeeperBackend::builder().hosts(shared_zookeeper().hosts()).dialect(dialect);
    let backend = builder.root(format!("/locks/{root}")).build().await.unwrap();
    LockManager::builder(backend).wait(PATIENCE).namespace(namespace).build().unwrap()
}

async fn the_whole_path_is_the_same_lock(dialect: Dialect, mut theirs: ForeignClient) {
    let (root, namespace) = (fresh_key("tenant"), "shop:");
    let (ours, whole) = (ours(&root, namespace, dialect).await, format!("{root}/{namespace}/order:42"));
    // A kazoo that makes its node just when the servers remove the directory fails.
    Directory::new().operator.make(&format!("/locks/{whole}"));
    let guard = ours.lock("order:42").await.unwrap();
    assert!(!theirs.try_acquire(&whole, TTL).await, "it is ours");
    theirs.wait_for(&whole, TTL).await;
    guard.release().await.unwrap();
    theirs.granted().await;
    assert!(ours.lock("order:42").try_acquire().await.unwrap().is_none(), "it is theirs");
    let waiter = tokio::spawn(ours.lock("order:42").acquire());
    assert!(theirs.release().await);
    waiter.await.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test]
async fn curator_shares_a_namespace() {
    the_whole_path_is_the_same_lock(Dialect::Curator, start(Curator).await).await;
}

#[tokio::test]
async fn kazoo_shares_a_namespace() {
    the_whole_path_is_the_same_lock(Dialect::Kazoo, start(Kazoo).await).await;
}

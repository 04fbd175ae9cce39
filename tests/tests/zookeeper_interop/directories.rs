//! Directories that the servers remove when they are empty, and a client that does not expect that.

use crate::{Directory, PATIENCE, TTL, dlock, dlock_as_kazoo, start};
use dlock_tests::ZooKeeperKind::Kazoo;
use dlock_tests::wait_until_async;

/// Returns when the servers have removed the empty directories that they remove.
async fn clean_up() {
    let directory = Directory::new();
    let mut client = start(dlock()).await;
    assert!(client.try_acquire(&directory.key(), TTL).await);
    assert!(client.release().await);
    wait_until_async("the servers clean up", PATIENCE, async || {
        directory.operator.czxid(&directory.path()).is_none()
    })
    .await;
}

/// A `Lock` of kazoo makes its directory once, and fails without it.
#[tokio::test]
async fn a_lock_of_kazoo_can_be_used_again_in_a_directory_of_ours() {
    let directory = Directory::new();
    let key = directory.key();
    let (mut ours, mut kazoo) = (start(dlock_as_kazoo()).await, start(Kazoo).await);
    assert!(ours.try_acquire(&key, TTL).await);
    assert!(!kazoo.try_acquire(&key, TTL).await, "it is ours");
    assert!(ours.release().await);
    clean_up().await;
    assert!(kazoo.try_acquire(&key, TTL).await);
    assert!(kazoo.release().await);
}

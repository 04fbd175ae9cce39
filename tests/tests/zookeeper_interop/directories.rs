//! Directories that the servers remove when they are empty, and a client that does not expect that.

use crate::{Directory, PATIENCE, TTL, dlock, dlock_as_kazoo, start};
use dlock_tests::ZooKeeperKind::Kazoo;
use dlock_tests::{ZooKeeperKind, wait_until_async};

/// Locks and releases, so that the directory is there, and empty.
async fn use_once(directory: &Directory, kind: ZooKeeperKind) {
    let mut client = start(kind).await;
    assert!(client.try_acquire(&directory.key(), TTL).await);
    assert!(client.release().await);
}

/// Returns when the servers have removed the empty directories that they remove.
async fn clean_up() {
    let directory = Directory::new();
    use_once(&directory, dlock()).await;
    wait_until_async("the servers clean up", PATIENCE, async || {
        directory.operator.czxid(&directory.path()).is_none()
    })
    .await;
}

/// A `Lock` of kazoo makes its directory once, and fails without it.
#[tokio::test]
async fn a_lock_of_kazoo_can_be_used_again_in_a_directory_of_ours() {
    let directory = Directory::new();
    use_once(&directory, dlock_as_kazoo()).await;
    let mut kazoo = start(Kazoo).await;
    for _ in 0..2 {
        assert!(kazoo.try_acquire(&directory.key(), TTL).await);
        assert!(kazoo.release().await);
        clean_up().await;
    }
}

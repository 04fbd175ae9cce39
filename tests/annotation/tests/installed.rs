//! The manager of annotations that name none. One process-wide state, so one test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_core::{EmbeddedBackend, ErrorKind, LockError, LockManager, distributed_lock};

#[distributed_lock("order", wait = "0s", guard = lock)]
async fn settle() -> Result<u64, LockError> {
    Ok(lock.token().as_u64())
}

#[tokio::test]
async fn annotations_use_the_installed_manager() {
    let refused = settle().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotConfigured);
    assert!(refused.to_string().contains("LockManager::install"), "{refused}");

    let store = EmbeddedBackend::new();
    let locks = LockManager::builder(store.clone()).build().unwrap();
    assert!(LockManager::install(locks.clone()).is_none());
    let first = settle().await.unwrap();
    let guard = locks.lock("order").await.unwrap();
    assert_eq!(settle().await.unwrap_err().kind(), ErrorKind::Busy, "the same store");
    assert!(guard.token().as_u64() > first, "its grants are numbered together");

    let before = LockManager::install(LockManager::connect("memory:").await.unwrap());
    assert!(before.is_some_and(|before| before.is_same(&locks)));
    assert!(settle().await.is_ok(), "another store, where it is free");
    drop(guard);
}

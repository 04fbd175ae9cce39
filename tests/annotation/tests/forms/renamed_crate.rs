//! dlock-core under another name.

mod vendored {
    pub use dlock_core as locks;
}

use vendored::locks::{LockError, LockManager, distributed_lock};

#[distributed_lock("k", locks = locks, crate = crate::renamed_crate::vendored::locks)]
async fn locked(locks: &LockManager) -> Result<u8, LockError> {
    Ok(7)
}

#[tokio::test]
async fn a_function_that_knows_the_crate_by_another_name_runs() {
    let locks = LockManager::connect("memory:").await.unwrap();
    assert_eq!(locked(&locks).await.unwrap(), 7);
}

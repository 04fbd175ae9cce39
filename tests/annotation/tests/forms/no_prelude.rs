//! A module without the prelude.

mod bare {
    #![no_implicit_prelude]

    use ::dlock_core::{LockError, LockManager, distributed_lock};
    use ::std::result::Result::{self, Ok};

    #[distributed_lock("k:{id}", locks = locks, ttl = "30s", wait = "2s", guard = lock)]
    pub async fn locked(locks: &LockManager, id: u8) -> Result<u8, LockError> {
        ::std::assert!(lock.is_valid());
        Ok(id)
    }
}

#[tokio::test]
async fn a_function_in_a_module_without_prelude_runs() {
    let locks = dlock_core::LockManager::connect("memory:").await.unwrap();
    assert_eq!(bare::locked(&locks, 7).await.unwrap(), 7);
}

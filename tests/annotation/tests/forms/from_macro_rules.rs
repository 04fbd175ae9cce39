//! Functions that a `macro_rules` macro writes, whose names and values come from it and from its caller.
#![deny(warnings)]

use dlock_core::{LockError, LockManager, distributed_lock};

macro_rules! locked {
    ($name:ident, $id:ident, $key:literal, $wait:literal, $ttl:expr, $locks:expr, $output:ty) => {
        #[distributed_lock($key, wait = $wait, ttl = $ttl, locks = $locks, guard = lock)]
        async fn $name($id: u64, _: u8) -> $output {
            Ok(format!("{} {}", lock.key(), $id))
        }
    };
}

locked!(
    settle,
    id,
    "order:{id}",
    "2s",
    std::time::Duration::from_secs(30),
    manager().await,
    Result<String, LockError>
);

struct Shop(LockManager);

macro_rules! method {
    ($name:ident) => {
        #[distributed_lock("shop:{id}:{self.number()}", locks = self.0)]
        async fn $name(&self, id: u64) -> Result<u64, LockError> {
            Ok(self.number() + id)
        }
    };
}

impl Shop {
    method!(sell);

    fn number(&self) -> u64 {
        7
    }
}

async fn manager() -> LockManager {
    LockManager::connect("memory:").await.unwrap()
}

#[tokio::test]
async fn functions_that_a_macro_writes_run() {
    assert_eq!(settle(42, 0).await.unwrap(), "order:42 42");
    assert_eq!(Shop(manager().await).sell(1).await.unwrap(), 8);
}

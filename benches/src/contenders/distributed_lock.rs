//! The crate distributed-lock-redis. It does not wait for a lock that is held, whatever timeout it is given (0.2.0). So
//! a waiter tries again after a millisecond.

use super::Locks;
use anyhow::Result;
use distributed_lock_core::traits::{DistributedLock as _, LockHandle as _, LockProvider as _};
use distributed_lock_redis::{RedisLockHandle, RedisLockProvider};
use std::time::Duration;

pub(crate) struct Provider(RedisLockProvider);

const PAUSE: Duration = Duration::from_millis(1);

impl Provider {
    pub(crate) async fn connect(address: &str, lease: Duration) -> Result<Self> {
        // With its own least validity, which is for 30 seconds, a shorter lease is never granted.
        let builder = RedisLockProvider::builder().url(address).expiry(lease);
        let builder = builder.extension_cadence(lease / 3).min_validity(lease * 9 / 10);
        Ok(Self(builder.build().await?))
    }
}

impl Locks for Provider {
    type Held = RedisLockHandle;

    async fn acquire(&self, key: &str) -> Result<RedisLockHandle> {
        let lock = self.0.create_lock(key);
        loop {
            if let Some(handle) = lock.try_acquire().await? {
                return Ok(handle);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn release(&self, held: RedisLockHandle) -> Result<()> {
        Ok(held.release().await?)
    }

    fn is_held(&self, held: &RedisLockHandle) -> bool {
        !*held.lost_token().borrow()
    }
}

//! The crate redlock. It blocks the thread, so each call goes to a thread where that is allowed, and it makes a
//! connection for each command.

use super::Locks;
use ::redlock::{Lock, RedLock};
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Redlock {
    manager: Arc<RedLock>,
    lease_ms: usize,
}

/// A lock of the crate borrows its manager; this is what it is made of.
pub(crate) struct Held {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Redlock {
    pub(crate) fn connect(address: &str, lease: Duration) -> Self {
        let lease_ms = usize::try_from(lease.as_millis()).unwrap_or(usize::MAX);
        Self { manager: Arc::new(RedLock::new(vec![address])), lease_ms }
    }
}

impl Locks for Redlock {
    type Held = Held;

    async fn acquire(&self, key: &str) -> Result<Held> {
        let (manager, key, lease_ms) = (Arc::clone(&self.manager), key.as_bytes().to_vec(), self.lease_ms);
        let acquired = tokio::task::spawn_blocking(move || {
            loop {
                if let Some(lock) = manager.lock(&key, lease_ms)? {
                    return Ok::<_, anyhow::Error>(Held { key: lock.resource, value: lock.val });
                }
            }
        });
        acquired.await?
    }

    async fn release(&self, Held { key, value }: Held) -> Result<()> {
        let manager = Arc::clone(&self.manager);
        let released = tokio::task::spawn_blocking(move || {
            manager.unlock(&Lock { resource: key, val: value, validity_time: 0, lock_manager: &manager });
        });
        Ok(released.await?)
    }
}

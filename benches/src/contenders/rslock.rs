//! The crate rslock, with its own pause of up to 200 ms between two tries.

use super::Locks;
use anyhow::Result;
use rslock::{LockGuard, LockManager};
use std::time::Duration;

pub(crate) struct Rslock {
    manager: LockManager,
    lease: Duration,
}

impl Rslock {
    pub(crate) fn connect(address: &str, lease: Duration) -> Self {
        Self { manager: LockManager::new(vec![address]), lease }
    }
}

impl Locks for Rslock {
    type Held = LockGuard;

    async fn acquire(&self, key: &str) -> Result<LockGuard> {
        Ok(self.manager.acquire(key, self.lease).await?)
    }

    async fn release(&self, held: LockGuard) -> Result<()> {
        held.release().await;
        Ok(())
    }

    /// Renewed as the crate does it: half a second before the lease ends. A lock that is lost is an error there.
    async fn hold(
        &self,
        key: &str,
        has: impl FnOnce() + Send,
        done: impl Future<Output = ()> + Send,
    ) -> Result<bool> {
        let work = async || {
            has();
            done.await;
        };
        Ok(self.manager.using(key.as_bytes(), self.lease, work).await.is_ok())
    }
}

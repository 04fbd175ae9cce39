//! Ours.

use super::{Cycle, LEASE, Locks};
use anyhow::Result;
use dlock_core::backend::redis::Recipe;
use dlock_core::{
    EmbeddedBackend, HandOver, LockError, LockGuard, LockManager, RedisBackend, ZooKeeperBackend,
};
use dlock_core::{backend::Backend, distributed_lock};
use std::time::Duration;

pub(crate) async fn over_redis(
    address: &str,
    lease: Duration,
    recipe: Recipe,
    hand_over: HandOver,
) -> Result<LockManager> {
    let backend = RedisBackend::builder().url(address).recipe(recipe).build().await?;
    manager(backend, lease, hand_over)
}

pub(crate) async fn over_zookeeper(
    address: &str,
    lease: Duration,
    hand_over: HandOver,
) -> Result<LockManager> {
    let backend = ZooKeeperBackend::builder().hosts(address).build().await?;
    manager(backend, lease, hand_over)
}

pub(crate) fn embedded(lease: Duration) -> Result<LockManager> {
    manager(EmbeddedBackend::new(), lease, HandOver::default())
}

/// A waiter waits without end: a benchmark has no use for one that gives up.
fn manager(backend: impl Backend, lease: Duration, hand_over: HandOver) -> Result<LockManager> {
    Ok(LockManager::builder(backend).ttl(lease).wait(PATIENCE).hand_over(hand_over).build()?)
}

const PATIENCE: Duration = Duration::from_secs(600);

impl Locks for LockManager {
    type Held = LockGuard;

    async fn acquire(&self, key: &str) -> Result<LockGuard> {
        Ok(self.lock(key).await?)
    }

    async fn release(&self, held: LockGuard) -> Result<()> {
        Ok(held.release().await?)
    }

    fn is_held(&self, held: &LockGuard) -> bool {
        held.is_valid()
    }
}

/// What the annotation makes.
pub(crate) struct Annotated(LockManager);

/// The same, written by hand.
pub(crate) struct HandWritten(LockManager);

const ORDER: u64 = 42;

impl Annotated {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(embedded(LEASE)?))
    }
}

impl HandWritten {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(embedded(LEASE)?))
    }
}

#[distributed_lock("order:{order}", locks = locks)]
async fn settle(locks: &LockManager, order: u64) -> Result<u64, LockError> {
    Ok(std::hint::black_box(order))
}

impl Cycle for Annotated {
    async fn cycle(&self) -> Result<()> {
        settle(&self.0, ORDER).await?;
        Ok(())
    }
}

impl Cycle for HandWritten {
    async fn cycle(&self) -> Result<()> {
        let guard = self.0.lock(format!("order:{ORDER}")).await?;
        guard.run(async { std::hint::black_box(ORDER) }).await?;
        Ok(guard.release().await?)
    }
}

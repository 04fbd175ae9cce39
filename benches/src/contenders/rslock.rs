//! The crate rslock, with its own pause of up to 200 ms between two tries.

use super::Locks;
use anyhow::Result;
use rslock::{LockGuard, LockManager};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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
}

/// The same, renewed as the crate does it: by a call that takes the work to be done under the lock, half a second
/// before the lease ends. So each lock that is held takes a task.
pub(crate) struct Renewed(Arc<Rslock>);

/// Ends the work, whose task says whether the lock was held to its end.
pub(crate) struct AtWork {
    task: JoinHandle<bool>,
    done: oneshot::Sender<()>,
}

impl Renewed {
    pub(crate) fn connect(address: &str, lease: Duration) -> Self {
        Self(Arc::new(Rslock::connect(address, lease)))
    }
}

impl Locks for Renewed {
    type Held = AtWork;

    async fn acquire(&self, key: &str) -> Result<AtWork> {
        let (rslock, key) = (Arc::clone(&self.0), key.as_bytes().to_vec());
        let ((has, acquired), (done, end)) = (oneshot::channel(), oneshot::channel());
        let task = tokio::spawn(async move {
            let work = async || {
                // The receiver is gone if the worker is about to end.
                _ = has.send(());
                _ = end.await;
            };
            rslock.manager.using(&key, rslock.lease, work).await.is_ok()
        });
        acquired.await?;
        Ok(AtWork { task, done })
    }

    async fn release(&self, held: AtWork) -> Result<()> {
        drop(held.done);
        held.task.await?;
        Ok(())
    }

    /// A lock that is lost ends the call.
    fn is_held(&self, held: &AtWork) -> bool {
        !held.task.is_finished()
    }
}

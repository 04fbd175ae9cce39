//! The background work of one manager.

use super::Keeper;
use crate::error::LockError;
use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Dispatch;
use tracing::dispatcher::get_default;
use tracing::instrument::WithSubscriber as _;

/// Tasks on the keeper that belong together: they can be counted and waited for.
///
/// Their events go to the subscriber that was current when this was made.
#[derive(Debug, Clone)]
pub(crate) struct Background {
    keeper: &'static Keeper,
    tasks: TaskTracker,
    subscriber: Dispatch,
}

impl Background {
    /// # Errors
    /// As [`Keeper::start`].
    pub(crate) fn new() -> Result<Self, LockError> {
        let tasks = TaskTracker::new();
        // It says when it is empty; more may come all the same.
        tasks.close();
        Ok(Self { keeper: Keeper::start()?, tasks, subscriber: get_default(Clone::clone) })
    }

    /// Runs `work` on the keeper. It counts until it is done.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.keeper.spawn(self.tasks.track_future(work.with_subscriber(self.subscriber.clone())));
    }

    /// Runs `work` on the keeper for as long as the handle lives. It does not count.
    pub(crate) fn attend(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(self.keeper.spawn(work.with_subscriber(self.subscriber.clone())))
    }

    /// Runs `work` on the keeper. It does not count.
    pub(crate) fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.keeper.spawn(work.with_subscriber(self.subscriber.clone()));
    }

    /// How many tasks that count are not done.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until all are done.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub(crate) async fn settled(&self) {
        self.tasks.wait().await;
    }

    /// Whether all are done.
    pub(crate) fn is_settled(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Blocks the thread until all are done, for `limit` at most, and says how long. The keeper's own thread does not
    /// wait for itself.
    pub(crate) fn block_until_settled(&self, limit: Duration) -> Duration {
        if self.is_settled() || Keeper::is_forked() || self.keeper.is_this_thread() {
            return Duration::ZERO;
        }
        let (begun, (done, told)) = (Instant::now(), mpsc::channel());
        let tasks = self.tasks.clone();
        self.keeper.spawn(async move {
            tasks.wait().await;
            // A caller that gave up does not listen.
            let _ = done.send(());
        });
        let _ = told.recv_timeout(limit);
        begun.elapsed()
    }
}

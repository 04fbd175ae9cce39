//! The keeper as the check has it: its tasks are shuttle's.

use shuttle::future::{JoinError, JoinHandle, spawn};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// What one process has done in the background, as dlock-core's.
#[derive(Debug, Clone, Default)]
pub struct Background(Arc<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    counted: AtomicUsize,
    one_is_done: Notify,
}

impl Background {
    /// Runs `work` in a task of its own. It counts until it is done.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let tasks = Arc::clone(&self.0);
        tasks.counted.fetch_add(1, Ordering::SeqCst);
        self.detach(async move {
            work.await;
            tasks.counted.fetch_sub(1, Ordering::SeqCst);
            tasks.one_is_done.notify_one();
        });
    }

    /// Runs `work` for as long as the handle lives.
    pub fn attend(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
        AbortOnDropHandle(spawn(work))
    }

    /// Runs `work`.
    pub fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(spawn(work));
    }

    /// Waits until all that count are done. For one task.
    pub async fn settled(&self) {
        while self.0.counted.load(Ordering::SeqCst) > 0 {
            self.0.one_is_done.notified().await;
        }
    }
}

/// As that of `tokio_util`.
#[derive(Debug)]
pub struct AbortOnDropHandle<T>(JoinHandle<T>);

impl<T> AbortOnDropHandle<T> {
    /// Has the task end at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }
}

impl<T> Drop for AbortOnDropHandle<T> {
    fn drop(&mut self) {
        self.abort();
    }
}

impl<T> Future for AbortOnDropHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

//! Runtimes as callers have them, and futures that are polled as the test likes.

use crate::LIMIT;
use dlock_core::{LockError, LockGuard};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// A runtime of one thread. It does something only while the test blocks on it.
pub(crate) fn kept() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A runtime with this many workers of its own.
pub(crate) fn threaded(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

/// The runtime of the tests' own helpers. It is always driven and never ends.
pub(crate) fn home() -> &'static Runtime {
    static HOME: LazyLock<Runtime> = LazyLock::new(|| threaded(2));
    &HOME
}

/// A runtime of one thread that another thread drives until this is dropped.
#[derive(Debug)]
pub(crate) struct Driven {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    driver: Option<thread::JoinHandle<()>>,
}

pub(crate) fn driven() -> Driven {
    let runtime = kept();
    let handle = runtime.handle().clone();
    let (end, ended) = oneshot::channel::<()>();
    // The sender is only ever dropped.
    let driver = thread::spawn(move || drop(runtime.block_on(ended)));
    Driven { handle, end: Some(end), driver: Some(driver) }
}

impl Driven {
    /// Runs `work` there, and waits for it here.
    #[track_caller]
    pub(crate) fn run<F>(&self, work: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        soon("a runtime has done its work", self.handle.spawn(work)).unwrap()
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.driver.take().map(thread::JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || thread::panicking(), "the runtime panicked");
    }
}

/// What `future` gives, if that is soon enough.
#[track_caller]
pub(crate) fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let outcome = home().block_on(async { tokio::time::timeout(LIMIT, future).await });
    outcome.unwrap_or_else(|_| panic!("waited {LIMIT:?} in vain until {what}"))
}

/// What `waiter` is granted, if that is soon enough.
#[track_caller]
pub(crate) fn granted(waiter: impl Future<Output = Result<LockGuard, LockError>>) -> LockGuard {
    soon("a waiter is granted the lock", waiter).unwrap()
}

/// Polls once, in a runtime that is driven. Nothing polls again when the future wants it.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let _entered = home().enter();
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// What `work` gives on a plain thread, if that is soon enough.
#[track_caller]
pub(crate) fn on_a_thread<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = oneshot::channel();
    let worker = thread::spawn(move || {
        // A test that failed meanwhile does not wait for it.
        let _ = sender.send(work());
    });
    soon(what, done).unwrap_or_else(|_| std::panic::resume_unwind(worker.join().unwrap_err()))
}

/// Blocks the thread for longer than `lease`. It is the passing of time that is tested.
#[allow(clippy::disallowed_methods, reason = "callers block their runtimes like this")]
pub(crate) fn outlast(lease: Duration) {
    thread::sleep(2 * lease);
}

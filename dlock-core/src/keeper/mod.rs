//! The library's own thread: what must happen even if no caller polls happens here.
//!
//! There is one for each process. It has a runtime of its own, in real time, and knows nothing of locks. Code from
//! outside the library, such as a waker or a backend, runs here in a task of its own, so a panic ends only that task.

mod background;
mod process;
#[cfg(any(feature = "zookeeper", test))]
mod shield;

pub(crate) use background::Background;
#[cfg(feature = "zookeeper")]
pub(crate) use shield::shielded;

use crate::error::{ErrorKind, LockError};
use parking_lot::Mutex;
use process::ProcessId;
use std::future::Future;
use std::io;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use tokio::runtime::{Builder, Handle};
#[cfg(feature = "redis")]
use tokio::task::JoinError;
use tokio::task::JoinHandle;
#[cfg(feature = "redis")]
use tracing::instrument::WithSubscriber as _;

/// The keeper of this process.
#[derive(Debug)]
pub(crate) struct Keeper {
    runtime: Handle,
    thread: ThreadId,
    /// The process that has the thread: a fork takes the memory along, and no thread.
    process: ProcessId,
}

static KEEPER: OnceLock<Keeper> = OnceLock::new();

/// The thread's name.
const NAME: &str = "dlock-keeper";

impl Keeper {
    /// The keeper, started if there is none yet.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the system gives no thread, and [`ErrorKind::NotConfigured`] in a process that was
    /// forked from the one that has the keeper.
    pub(crate) fn start() -> Result<&'static Self, LockError> {
        static STARTING: Mutex<()> = Mutex::new(());
        if KEEPER.get().is_none() {
            let _one_at_a_time = STARTING.lock();
            if KEEPER.get().is_none() {
                let _ = KEEPER.set(Self::spawn_thread().map_err(no_thread)?);
            }
        }
        Self::here()
    }

    /// The keeper that was started before, in this very process.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] if there is none.
    pub(crate) fn here() -> Result<&'static Self, LockError> {
        let keeper = KEEPER.get().ok_or_else(not_started)?;
        if keeper.process.is_this() { Ok(keeper) } else { Err(forked()) }
    }

    /// The keeper that was started before, in this process or in the one that it was forked from. For a caller that knows which.
    pub(crate) fn started() -> Option<&'static Self> {
        KEEPER.get()
    }

    /// Whether this process was forked from the one that has the keeper. Takes no lock.
    pub(crate) fn is_forked() -> bool {
        KEEPER.get().is_some_and(|keeper| !keeper.process.is_this())
    }

    fn spawn_thread() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new()
            .name(NAME.to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(Self { runtime: handle, thread: thread.thread().id(), process: ProcessId::of_this() })
    }

    /// Runs `work` on the keeper, in a task of its own.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Has the keeper do `work` to its end, whatever becomes of the caller. Its events go where the caller's go.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it panics.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the work under way.
    #[cfg(feature = "redis")]
    pub(crate) async fn complete<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, LockError> {
        self.spawn(work.with_current_subscriber()).await.map_err(not_completed)
    }

    /// Has a thread beside the keeper's do `work`, which may block it. What the work awaits is served by the keeper.
    #[cfg(feature = "redis")]
    pub(crate) fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let runtime = self.runtime.clone();
        self.runtime.spawn_blocking(move || runtime.block_on(work))
    }

    /// Has the keeper do `work`, to which no caller listens. Where there is no keeper it is not done.
    #[cfg(feature = "redis")]
    pub(crate) fn detach(work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(keeper) = Self::here() {
            keeper.spawn(work.with_current_subscriber());
        }
    }

    /// Whether this runtime is the keeper's.
    #[cfg(feature = "redis")]
    pub(crate) fn has(&self, runtime: &Handle) -> bool {
        self.runtime.id() == runtime.id()
    }

    /// Whether the caller runs on the keeper's own thread.
    pub(crate) fn is_this_thread(&self) -> bool {
        thread::current().id() == self.thread
    }
}

fn no_thread(cause: io::Error) -> LockError {
    let detail =
        "the system gives no thread to the keeper, which renews and releases; raise the limit of threads";
    LockError::new(ErrorKind::Unavailable, detail).with_source(cause)
}

#[cfg(feature = "redis")]
fn not_completed(cause: JoinError) -> LockError {
    LockError::new(ErrorKind::Unavailable, "the request panicked; the panic's own message says where")
        .with_source(cause)
}

fn not_started() -> LockError {
    LockError::new(ErrorKind::NotConfigured, "no lock manager was built in this process; build one first")
}

fn forked() -> LockError {
    let detail = "this process was forked after a lock manager was built; build managers after the fork";
    LockError::new(ErrorKind::NotConfigured, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn there_is_one_keeper_and_it_runs_on_a_thread_of_its_own() {
        let keeper = Keeper::start().unwrap();
        assert!(std::ptr::eq(keeper, Keeper::start().unwrap()));
        let (name, told) = mpsc::channel();
        keeper.spawn(async move { name.send(thread::current().name().map(str::to_owned)) });
        assert_eq!(told.recv().unwrap().as_deref(), Some(NAME));
        assert!(!keeper.is_this_thread());
    }

    #[test]
    fn a_panic_ends_its_task_and_not_the_keeper() {
        let keeper = Keeper::start().unwrap();
        keeper.spawn(async { panic!("on purpose") });
        let (done, told) = mpsc::channel();
        keeper.spawn(async move { done.send(()) });
        told.recv().unwrap();
    }
}

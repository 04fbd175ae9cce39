//! The packet store of one server, on a thread of its own: SQLite blocks, and a server must not.

use crate::store::PacketStore;
use anyhow::Context as _;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut PacketStore) + Send>;

/// Runs calls of a [`PacketStore`] one after the other. Clones share the thread; the last one ends it.
#[derive(Debug, Clone)]
pub(crate) struct StoreThread(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl StoreThread {
    /// Opens the file at `path`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let mut store = PacketStore::open(path).context("cannot open the packet store")?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new().name("packet-store".to_owned()).spawn(move || {
            for job in queue {
                job(&mut store);
            }
        })?;
        Ok(Self(Arc::new(Inner { jobs: Some(jobs), thread: Some(thread) })))
    }

    /// The result of `call`. Dropping the future does not take the call back.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut PacketStore) -> rusqlite::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |store| drop(answer.send(call(store))));
        self.0.jobs.as_ref().map(|jobs| jobs.send(job));
        Ok(answered.await.context("the packet store has ended")??)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was reported by the thread.
            let _ = thread.join();
        }
    }
}

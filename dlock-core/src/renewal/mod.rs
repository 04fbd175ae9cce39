//! Keeps the leases of one manager alive: one task for all of them.

mod schedule;
mod table;

use crate::acquisition::Acquisition;
use crate::backend::Backend;
use crate::error::{ErrorKind, LockError};
use crate::lease::{Doubt, LossReason};
use crate::time::{Moment, sleep_until};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use std::sync::Arc;
use table::Table;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Renews every entered lease until it is removed or lost.
///
/// The leases are in a table, the task only works on it: if the task ends with its runtime, the next entry
/// starts another one on the runtime it is made in.
#[derive(Debug)]
pub(crate) struct Renewal {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    table: Mutex<Table>,
    look_earlier: Notify,
}

impl Renewal {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let shared = Shared { backend, table: Mutex::default(), look_earlier: Notify::new() };
        Self { shared: Arc::new(shared), task: Mutex::default() }
    }

    /// Renews this lease from now on.
    pub(crate) fn enter(&self, held: Arc<Acquisition>, now: Moment) {
        let at = schedule::after_success(now, held.lease().valid_until());
        self.ensure_running(&held.runtime);
        if self.shared.table.lock().enter(held, at) {
            self.shared.look_earlier.notify_one();
        }
    }

    /// Does not renew this lease any more. A renewal under way has no effect on the lease's local state.
    pub(crate) fn remove(&self, held: &Acquisition) {
        self.shared.table.lock().remove(held);
    }

    /// Takes every lease out.
    pub(crate) fn clear(&self) -> Vec<Arc<Acquisition>> {
        self.shared.table.lock().clear()
    }

    fn ensure_running(&self, runtime: &Handle) {
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(runtime.spawn(Arc::clone(&self.shared).run()));
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut() {
            task.abort();
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut under_way = FuturesUnordered::new();
        self.table.lock().resume(Moment::now());
        loop {
            let (due, next) = self.table.lock().take_due(Moment::now());
            under_way.extend(due.into_iter().map(|held| self.renew(held)));
            tokio::select! {
                // With one that is done often come others, and the turns are the same for all of them.
                Some(()) = under_way.next() => while let Some(Some(())) = under_way.next().now_or_never() {},
                () = self.look_earlier.notified() => {}
                () = wait_for(next) => {}
            }
        }
    }

    /// One attempt, cut off at the lease's deadline: one slow key delays no other.
    async fn renew(&self, held: Arc<Acquisition>) {
        let outcome = tokio::select! {
            outcome = self.backend.renew(&held.claim) => Some(outcome),
            _ = held.lost() => None,
        };
        match outcome {
            Some(Ok(valid_until)) => self.renewed(held, valid_until),
            Some(Err(error)) => self.failed(held, &error),
            None => self.lose(&held, LossReason::Expired),
        }
    }

    fn renewed(&self, held: Arc<Acquisition>, valid_until: Moment) {
        let now = Moment::now();
        if !held.extend(valid_until, now) {
            return self.lose(&held, LossReason::Expired);
        }
        self.table.lock().enter_again(held, schedule::after_success(now, valid_until));
    }

    /// A failed attempt says nothing about the lease: only the deadline or the backend's word ends it.
    fn failed(&self, held: Arc<Acquisition>, error: &LockError) {
        if error.kind() == ErrorKind::Lost {
            return self.lose(&held, LossReason::NotOwner);
        }
        held.lease().doubt(Doubt::Renewal);
        let key = &held.claim.key;
        tracing::warn!(%key, backend = self.backend.name(), %error, "renewal failed");
        match schedule::after_failure(Moment::now(), held.lease().valid_until()) {
            Some(next) => self.table.lock().enter_again(held, next),
            None => self.lose_at_deadline(held),
        }
    }

    /// No attempt fits in any more; the next turn finds the deadline passed.
    fn lose_at_deadline(&self, held: Arc<Acquisition>) {
        let deadline = held.lease().valid_until();
        self.table.lock().enter_again(held, deadline);
    }

    fn lose(&self, held: &Acquisition, reason: LossReason) {
        self.table.lock().remove(held);
        held.end(reason);
    }
}

async fn wait_for(next: Option<Moment>) {
    match next {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

//! Keeps the leases of one manager alive: one task for all of them.

mod schedule;
mod table;

use crate::acquisition::Acquisition;
use crate::backend::Backend;
use crate::error::{ErrorKind, LockError};
use crate::lease::{Doubt, LossReason};
use crate::time::{Moment, sleep_until_any};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use std::sync::Arc;
use table::{Due, Table};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Renews every entered lease until it is removed or lost.
///
/// The leases are in a table, the task only works on it: if the task ends with its runtime, the next entry
/// starts another one on the runtime it is made in.
#[derive(Debug)]
pub(crate) struct Renewal {
    state: Arc<RenewalState>,
}

#[derive(Debug)]
struct RenewalState {
    backend: Arc<dyn Backend>,
    work: Mutex<RenewalWork>,
    look_earlier: Notify,
}

#[derive(Debug, Default)]
struct RenewalWork {
    table: Table,
    task: Option<JoinHandle<()>>,
}

impl Renewal {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let state = RenewalState { backend, work: Mutex::default(), look_earlier: Notify::new() };
        Self { state: Arc::new(state) }
    }

    /// Renews this lease from now on.
    pub(crate) fn enter(&self, held: Arc<Acquisition>, now: Moment) {
        let at = schedule::after_success(now, held.lease().valid_until());
        let mut work = self.state.work.lock();
        if work.task.as_ref().is_none_or(JoinHandle::is_finished) {
            work.task = Some(held.runtime.spawn(Arc::clone(&self.state).run()));
        }
        let earlier = work.table.enter(held, at);
        drop(work);
        if earlier {
            self.state.look_earlier.notify_one();
        }
    }

    /// Does not renew this lease any more. A renewal under way has no effect on the lease's local state.
    pub(crate) fn remove(&self, held: &Acquisition) {
        self.state.work.lock().table.remove(held);
    }

    /// Takes every lease out.
    pub(crate) fn clear(&self) -> Vec<Arc<Acquisition>> {
        self.state.work.lock().table.clear()
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        let task = self.state.work.lock().task.take();
        task.iter().for_each(JoinHandle::abort);
    }
}

impl RenewalState {
    async fn run(self: Arc<Self>) {
        let mut under_way = FuturesUnordered::new();
        self.work.lock().table.resume(Moment::now());
        loop {
            let Due { to_renew, lost, next_look } = self.work.lock().table.take_due(Moment::now());
            lost.iter().for_each(|held| held.end(LossReason::Expired));
            under_way.extend(to_renew.into_iter().map(|held| self.renew(held)));
            tokio::select! {
                // With one that is done often come others, and the turns are the same for all of them.
                Some(()) = under_way.next() => while let Some(Some(())) = under_way.next().now_or_never() {},
                () = self.look_earlier.notified() => {}
                () = sleep_until_any(next_look) => {}
            }
        }
    }

    /// One attempt. The lease is not waited for meanwhile: at its deadline it is lost, by the table, and what comes
    /// later is of no interest.
    async fn renew(&self, held: Arc<Acquisition>) {
        let outcome = self.backend.renew(&held.claim).await;
        let now = Moment::now();
        match outcome {
            Ok(valid_until) => self.renewed(held, valid_until, now),
            Err(_) if held.lease().loss(now).is_some() => self.lose(&held, LossReason::Expired),
            Err(error) => self.failed(held, &error, now),
        }
    }

    fn renewed(&self, held: Arc<Acquisition>, valid_until: Moment, now: Moment) {
        if !held.extend(valid_until, now) {
            return self.lose(&held, LossReason::Expired);
        }
        self.work.lock().table.enter_again(held, schedule::after_success(now, valid_until));
    }

    /// A failed attempt says nothing about the lease: only the deadline or the backend's word ends it.
    fn failed(&self, held: Arc<Acquisition>, error: &LockError, now: Moment) {
        if error.kind() == ErrorKind::Lost {
            return self.lose(&held, LossReason::NotOwner);
        }
        held.lease().doubt(Doubt::Renewal);
        let key = &held.claim.key;
        tracing::warn!(%key, backend = self.backend.name(), %error, "renewal failed");
        match schedule::after_failure(now, held.lease().valid_until()) {
            Some(next) => self.work.lock().table.enter_again(held, next),
            None => self.lose_at_deadline(held),
        }
    }

    /// No attempt fits in any more; the next turn finds the deadline passed.
    fn lose_at_deadline(&self, held: Arc<Acquisition>) {
        let deadline = held.lease().valid_until();
        self.work.lock().table.enter_again(held, deadline);
    }

    fn lose(&self, held: &Acquisition, reason: LossReason) {
        self.work.lock().table.remove(held);
        held.end(reason);
    }
}

//! Keeps the leases of one manager alive: one task on the keeper looks when each is due.

mod schedule;
mod table;

use crate::acquisition::Acquisition;
use crate::backend::Backend;
use crate::backend::answers::panicked;
use crate::error::{ErrorKind, LockError};
use crate::keeper::Background;
use crate::key::LockKey;
use crate::lease::{Doubt, LossReason};
use crate::release;
use crate::time::{Clock, Moment};
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use table::{Due, Table};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tracing::field::display;

/// Renews every entered lease until it is removed or lost, whatever becomes of its holder's runtime.
#[derive(Debug)]
pub(crate) struct Renewal {
    state: Arc<RenewalState>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct RenewalState {
    backend: Arc<dyn Backend>,
    clock: Clock,
    background: Background,
    table: Mutex<Table>,
    look_earlier: Notify,
}

impl Renewal {
    pub(crate) fn new(backend: Arc<dyn Backend>, background: Background) -> Self {
        let (clock, look_earlier) = (backend.clock(), Notify::new());
        let state =
            Arc::new(RenewalState { backend, clock, background, table: Mutex::default(), look_earlier });
        let _task = state.background.attend(Arc::clone(&state).run());
        Self { state, _task }
    }

    /// Renews this lease from now on. The task is woken only if it is due before the task would look anyway.
    pub(crate) fn enter(&self, held: Arc<Acquisition>, now: Moment) {
        let (lease_until, hold_until) = (held.lease().lease_until(), held.lease().hold_until());
        let at = schedule::after_success(now, lease_until, hold_until);
        let earlier = self.state.table.lock().enter(held, at);
        self.state.look_if(earlier);
    }

    /// Renews this lease no longer. A renewal under way has no effect on the lease's local state.
    pub(crate) fn remove(&self, held: &Acquisition) {
        self.state.table.lock().remove(held);
    }

    /// For how long a guard of this manager has held `key`, as far as that is found out at little cost.
    pub(crate) fn held_for(&self, key: &LockKey) -> Option<Duration> {
        let held = self.state.table.lock().find(key);
        held.map(|held| held.age())
    }

    /// Takes every lease out.
    pub(crate) fn clear(&self) -> Vec<Arc<Acquisition>> {
        self.state.table.lock().clear()
    }
}

impl RenewalState {
    async fn run(self: Arc<Self>) {
        loop {
            let Due { to_renew, lost, next_look } = self.table.lock().take_due(self.clock.now());
            // Each in a task of its own, as it may run what others wrote.
            lost.into_iter().for_each(|held| self.background.detach(Arc::clone(&self).lose_overdue(held)));
            for held in to_renew {
                self.background.detach(Arc::clone(&self).renew(held));
            }
            tokio::select! {
                () = self.look_earlier.notified() => {}
                () = self.clock.sleep_until_any(next_look) => {}
            }
        }
    }

    fn look_if(&self, earlier: bool) {
        if earlier {
            self.look_earlier.notify_one();
        }
    }

    /// One attempt. The lease is not waited for meanwhile: at its deadline it is lost, by the table, and what comes
    /// later is of no interest.
    async fn renew(self: Arc<Self>, held: Arc<Acquisition>) {
        held.lease().asked();
        let outcome = AssertUnwindSafe(self.backend.renew(&held.claim)).catch_unwind().await;
        let (outcome, now) = (outcome.unwrap_or_else(|_| Err(panicked())), self.clock.now());
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
        let at = schedule::after_success(now, valid_until, held.lease().hold_until());
        self.enter_again(held, at);
    }

    /// A failed attempt says nothing about the lease: only the deadline or the backend's word ends it.
    fn failed(&self, held: Arc<Acquisition>, error: &LockError, now: Moment) {
        if error.kind() == ErrorKind::Lost {
            return self.lose(&held, LossReason::NotOwner);
        }
        held.lease().doubt(Doubt::Renewal);
        let (key, namespace) = (&held.claim.key, self.backend.namespace().map(display));
        tracing::warn!(%key, namespace, backend = self.backend.name(), %error, "renewal failed");
        // Where no further attempt fits in, the next look finds the deadline passed.
        let deadline = held.lease().valid_until();
        self.enter_again(held, schedule::after_failure(now, deadline).unwrap_or(deadline));
    }

    fn enter_again(&self, held: Arc<Acquisition>, at: Moment) {
        let earlier = self.table.lock().enter_again(held, at);
        self.look_if(earlier);
    }

    fn lose(&self, held: &Acquisition, reason: LossReason) {
        self.table.lock().remove(held);
        held.end(reason);
    }

    async fn lose_overdue(self: Arc<Self>, held: Arc<Acquisition>) {
        held.end(LossReason::Expired);
        if held.lease().loss(self.clock.now()) == Some(LossReason::MaxHold) {
            self.free_after_lease(&held);
        }
    }

    /// Work that is held too long may go on, so the key stays closed for the rest of the lease. A lease that is a
    /// session's does not end by itself: then the owner leaves here, unless its guard was dropped before.
    fn free_after_lease(self: &Arc<Self>, held: &Arc<Acquisition>) {
        let (clock, over) = (self.clock.clone(), held.lease().lease_until());
        let (state, held) = (Arc::downgrade(self), Arc::downgrade(held));
        self.background.detach(async move {
            clock.sleep_until(over).await;
            if let (Some(state), Some(held)) = (state.upgrade(), held.upgrade()) {
                let backend = Arc::clone(&state.backend);
                state.background.spawn(release::until_gone(backend, held.claim.clone()));
            }
        });
    }
}

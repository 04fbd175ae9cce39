//! Waiting inside the process: one competitor per key at the backend, and behind it a queue that a grant is handed
//! over in without a request.
//!
//! It is a backend over a backend. Every acquisition has a claim of its own here; the backend below sees that of
//! the one which competes for all (I1: while it holds, exactly one of those behind it has the lock).

mod loss_relay;
mod pending_releases;
mod queue;
mod queue_map;

use crate::backend::RevokedFuture;
use crate::backend::answers::busy;
use crate::backend::wakeups::{Waiter, Wakeups};
use crate::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant, Mode};
use crate::error::{ErrorKind, LockError, Operation};
use crate::lease::{LossReason, OwnerId};
use crate::time::{Clock, Moment};
use loss_relay::{BackendObserver, LossRelay, ObservedQueues};
use pending_releases::PendingReleases;
use queue::{EnterOutcome, LeaveOutcome};
use queue_map::{QueueEntry, QueueMap};
use std::fmt;
use std::sync::Arc;

pub use queue::HandOver;

/// Queues the acquisitions of this process before `backend`.
#[derive(Clone)]
pub(crate) struct HandOverBackend(Arc<HandOverState>);

struct HandOverState {
    backend: Arc<dyn Backend>,
    hand_over: HandOver,
    queues: QueueMap,
    wakeups: Wakeups<WaiterNews>,
}

/// What a waiter is told.
#[derive(Debug)]
enum WaiterNews {
    /// Ask the backend for this acquisition.
    Ask(Claim),
    /// The lock is yours.
    Has(Grant),
}

/// A grant that is gone: whom that concerns, and who is to ask next.
struct Lost {
    relay: Option<LossRelay>,
    next: Option<(OwnerId, Claim)>,
}

impl HandOverBackend {
    pub(crate) fn new(backend: Arc<dyn Backend>, hand_over: HandOver) -> Self {
        let (queues, wakeups) = Default::default();
        Self(Arc::new(HandOverState { backend, hand_over, queues, wakeups }))
    }
}

impl QueueEntry {
    /// Ends what the competitor was granted. The holder, who may leave at any moment, finds it noted.
    fn lose(&mut self, competitor: &Claim, pending: &mut PendingReleases, now: Moment) -> Option<Lost> {
        let (holder, next) = self.queue.lost(competitor.owner)?;
        pending.note(holder, competitor, now);
        Some(Lost { relay: self.relay.take(), next })
    }

    /// A holder that is gone with its runtime tells nobody; its lease is over some time.
    fn end_overdue(&mut self, pending: &mut PendingReleases, now: Moment) -> Option<Lost> {
        let competitor = self.queue.overdue(now)?;
        self.lose(&competitor, pending, now)
    }

    /// A try does not wait here either, and passes nobody.
    fn enter(&mut self, request: &AcquireRequest) -> Result<EnterOutcome, LockError> {
        let is_free = self.queue.is_empty() || self.queue.held_by(request.claim.owner).is_some();
        if request.mode == Mode::Try && !is_free {
            return Err(busy());
        }
        request.progress.follow(&self.progress);
        Ok(self.queue.enter(&request.claim))
    }
}

impl HandOverState {
    async fn acquire(self: &Arc<Self>, request: &AcquireRequest) -> Result<Grant, LockError> {
        let mut waiter = None;
        let mut turn = self.enter(request, &mut waiter)?;
        let place = InLine { shared: self, claim: &request.claim };
        loop {
            match (turn, &waiter) {
                (Some(WaiterNews::Ask(competitor)), _) => {
                    return place.settle(self.ask(request, competitor).await);
                }
                (Some(WaiterNews::Has(grant)), _) if self.take(request) => return place.settle(Ok(grant)),
                (None, Some(waiter)) => turn = self.told(waiter, &request.claim).await,
                // Lost on the way here.
                _ => turn = self.enter(request, &mut waiter)?,
            }
        }
    }

    /// Who has to wait can be woken before anybody else looks at the queue.
    fn enter<'a>(
        &'a self,
        request: &AcquireRequest,
        waiter: &mut Option<Waiter<'a, WaiterNews>>,
    ) -> Result<Option<WaiterNews>, LockError> {
        let (lost, turn) = self.queues.with(&request.claim, |entry, pending| {
            let lost = entry.end_overdue(pending, Moment::now());
            let turn = entry.enter(request).map(|entered| match entered {
                EnterOutcome::Ask(competitor) => Some(WaiterNews::Ask(competitor)),
                EnterOutcome::Has(grant) => Some(WaiterNews::Has(grant)),
                EnterOutcome::Wait => {
                    waiter.get_or_insert_with(|| self.wakeups.enter(request.claim.owner));
                    None
                }
            });
            (lost, turn)
        });
        self.tell(lost, LossReason::Expired);
        turn
    }

    /// Waits to be told, or for the end of the lease that is waited for.
    async fn told(&self, waiter: &Waiter<'_, WaiterNews>, claim: &Claim) -> Option<WaiterNews> {
        let ends = self.queues.with(claim, |entry, _| entry.queue.valid_until());
        let clock = Clock::default();
        tokio::select! {
            biased;
            turn = waiter.woken() => turn,
            () = clock.sleep_until_any(ends) => {
                let lost = self.queues.with(claim, |entry, pending| entry.end_overdue(pending, Moment::now()));
                self.tell(lost, LossReason::Expired);
                None
            }
        }
    }

    /// Asks the backend for the whole queue.
    async fn ask(self: &Arc<Self>, request: &AcquireRequest, competitor: Claim) -> Result<Grant, LockError> {
        let owner = request.claim.owner;
        let observer = Arc::new(self.observer(&competitor));
        let progress = self.queues.with(&request.claim, |entry, _| {
            entry.relay = Some(LossRelay::unsaid(Arc::clone(&observer), request.loss()));
            Arc::clone(&entry.progress)
        });
        let asked = AcquireRequest::of(competitor.clone(), request.mode, progress, observer);
        let outcome = self.backend.acquire(&asked).await;
        let left_nothing =
            outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy || error.leaves_nothing());
        if request.mode == Mode::Try && left_nothing {
            let next = self.queues.with(&request.claim, |entry, _| entry.queue.refused(owner));
            self.have_ask(next);
        }
        let grant = outcome?;
        let loss = self.queues.with(&request.claim, |entry, _| {
            entry.progress.queued();
            entry.queue.granted(owner, &grant, Moment::now());
            entry.relay.as_ref().and_then(|relay| relay.loss)
        });
        if let Some(reason) = loss {
            self.lose(&competitor, reason);
        }
        Ok(Grant::new(grant.token, grant.valid_until))
    }

    fn observer(self: &Arc<Self>, competitor: &Claim) -> BackendObserver {
        let queues: Arc<dyn ObservedQueues> = Arc::clone(self) as _;
        BackendObserver { queues: Arc::downgrade(&queues), competitor: competitor.clone() }
    }

    /// Takes what was handed over: from here on what the backend says of it concerns this request.
    fn take(&self, request: &AcquireRequest) -> bool {
        self.queues.with(&request.claim, |entry, _| {
            let has_it = entry.queue.held_by(request.claim.owner).is_some();
            if let Some(relay) = entry.relay.as_mut().filter(|_| has_it) {
                relay.pass_to(request.loss());
            }
            has_it
        })
    }

    async fn renew(self: &Arc<Self>, claim: &Claim) -> Result<Moment, LockError> {
        let Some(competitor) = self.held_by(claim) else { return Err(not_owner()) };
        let outcome = self.backend.renew(&competitor).await;
        match &outcome {
            Ok(valid_until) => {
                self.queues.with(claim, |entry, _| entry.queue.renewed(competitor.owner, *valid_until));
            }
            // It may be another's by now.
            Err(error) if error.kind() == ErrorKind::Lost => self.lose(&competitor, LossReason::NotOwner),
            Err(_) => {}
        }
        outcome
    }

    /// What was granted for this claim's queue, if this claim has it.
    fn held_by(&self, claim: &Claim) -> Option<Claim> {
        self.queues.with(claim, |entry, _| entry.queue.held_by(claim.owner).cloned())
    }

    fn tell(&self, lost: Option<Lost>, reason: LossReason) {
        let Some(Lost { relay, next }) = lost else { return };
        if let Some(relay) = relay {
            relay.end(reason);
        }
        self.have_ask(next);
    }

    async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let (is_handed_over, mut left_over) = self.leave(claim);
        let mut outcome = is_handed_over.then_some(Ok(()));
        while let Some(competitor) = left_over {
            let released = self.backend.release(&competitor).await;
            if released.as_ref().is_err_and(|error| error.kind() != ErrorKind::Lost) {
                // The caller will ask again.
                let now = Moment::now();
                self.queues.pending(claim, |pending| pending.keep(claim.owner, &competitor, now));
                return released;
            }
            outcome = Some(released);
            left_over = self.queues.pending(claim, |pending| {
                pending.is_gone(claim.owner, competitor.owner);
                pending.of(claim.owner)
            });
        }
        outcome.unwrap_or_else(|| Err(not_owner()))
    }

    /// Makes the owner leave its queue, and tells whom that concerns. Does not wait. Returns whether another one has its
    /// grant now, and what the backend is to release first.
    fn leave(&self, claim: &Claim) -> (bool, Option<Claim>) {
        let (left, left_over) = self.queues.with(claim, |entry, pending| {
            let now = Moment::now();
            let left = entry.queue.leave(claim.owner, self.hand_over, now);
            if let LeaveOutcome::Over(competitor, _) = &left {
                entry.relay = None;
                pending.note(claim.owner, competitor, now);
            }
            (left, pending.of(claim.owner))
        });
        let is_handed_over = matches!(left, LeaveOutcome::HandedOver(..));
        match left {
            LeaveOutcome::Unknown | LeaveOutcome::Quietly => {}
            LeaveOutcome::Passed(next, competitor) => self.wakeups.wake(next, WaiterNews::Ask(competitor)),
            LeaveOutcome::HandedOver(next, grant) => self.wakeups.wake(next, WaiterNews::Has(grant)),
            LeaveOutcome::Over(_, next) => self.have_ask(next),
        }
        (is_handed_over, left_over)
    }

    fn have_ask(&self, next: Option<(OwnerId, Claim)>) {
        if let Some((owner, competitor)) = next {
            self.wakeups.wake(owner, WaiterNews::Ask(competitor));
        }
    }
}

impl ObservedQueues for HandOverState {
    fn note(&self, competitor: &Claim, said: &dyn Fn(&mut LossRelay)) {
        self.queues.with(competitor, |entry, _| {
            entry.relay.as_mut().filter(|relay| relay.is_about(competitor)).map(said)
        });
    }

    fn lose(&self, competitor: &Claim, reason: LossReason) {
        let now = Moment::now();
        let lost = self.queues.with(competitor, |entry, pending| entry.lose(competitor, pending, now));
        self.tell(lost, reason);
    }
}

/// A place in a queue. Dropped before it is settled, its owner leaves at once, so that the others go on; what the
/// backend may have of it is for the release that follows (I4).
struct InLine<'a> {
    shared: &'a HandOverState,
    claim: &'a Claim,
}

impl InLine<'_> {
    fn settle(self, outcome: Result<Grant, LockError>) -> Result<Grant, LockError> {
        if outcome.is_ok() {
            std::mem::forget(self);
        }
        outcome
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.shared.leave(self.claim);
    }
}

fn not_owner() -> LockError {
    LockError::new(ErrorKind::Lost, "the owner does not have the lock any more; acquire it again")
}

impl Backend for HandOverBackend {
    fn name(&self) -> &'static str {
        self.0.backend.name()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.0.acquire(request))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move { self.0.renew(claim).await.map_err(claim.named(Operation::Renew)) })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move { self.0.release(claim).await.map_err(claim.named(Operation::Release)) })
    }

    /// Whoever asks the competitor to let go means the holder, and not the one after it in this process.
    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        Box::pin(async move {
            match self.0.held_by(claim) {
                Some(competitor) => {
                    self.0.backend.revoked(&competitor).await;
                    self.0.queues.with(claim, |entry, _| entry.queue.revoked(competitor.owner));
                }
                None => std::future::pending().await,
            }
        })
    }
}

/// As the backend itself: that there is a queue before it is no business of who looks.
impl fmt::Debug for HandOverBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.backend.fmt(f)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;

//! Asking the backend for a queue: by the caller's own future first, and by the keeper once there is something to wait for.

use super::HandOverState;
use super::queue_map::{Lane, QueueEntry};
use crate::backend::answers::busy;
use crate::backend::{AcquireRequest, Claim, Grant, LossSignal, Mode, Progress};
use crate::error::{ErrorKind, LockError};
use crate::lease::OwnerId;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;

/// A request for a grant that is under way. It can go on elsewhere.
type Asking = BoxFuture<'static, Result<Grant, LockError>>;

/// What the keeper is to ask for.
pub(super) struct AskErrand {
    lane: Lane,
    request: AcquireRequest,
}

/// How a request goes on that a caller made in its own future.
enum AskedInPlace {
    Answered(Result<Grant, LockError>),
    /// The backend has it wait.
    Queued,
    /// The keeper asks by now, since this caller was not polled.
    Displaced,
}

impl HandOverState {
    /// Asks in the caller's own future. `None` if the caller waits for the keeper from here on.
    pub(super) async fn ask_in_place(
        &self,
        lane: &Lane,
        request: &AcquireRequest,
    ) -> Result<Option<Grant>, LockError> {
        let (claim, progress) = (&request.claim, Arc::new(Progress::default()));
        let observer = self.observer(lane, claim);
        self.queues.with(lane, |entry, _| {
            // The keeper may ask by now, and hears what concerns its own request.
            if entry.queue.asks_in_place(claim.owner) {
                entry.observe(observer.clone(), request.loss(), &progress);
            }
        });
        let asked = AcquireRequest::of(claim.clone(), request.mode, Arc::clone(&progress), observer);
        let mut asking = self.asked(asked);
        let moves = |mode, progress: &Progress| mode == Mode::Wait && progress.is_queued();
        let turn = poll_fn(|context| {
            if !self.queues.with(lane, |entry, _| entry.queue.asks_in_place(claim.owner)) {
                return Poll::Ready(AskedInPlace::Displaced);
            }
            match asking.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(AskedInPlace::Answered(outcome)),
                Poll::Pending if moves(request.mode, &progress) => Poll::Ready(AskedInPlace::Queued),
                Poll::Pending => Poll::Pending,
            }
        });
        match turn.await {
            AskedInPlace::Answered(outcome) => self.answered_in_place(lane, request, outcome),
            // What it asked while it was being displaced is over before it is undone.
            AskedInPlace::Queued => match self.hand_to_keeper(lane, claim, asking) {
                true => Ok(None),
                false => self.displaced(lane, request),
            },
            AskedInPlace::Displaced => {
                drop(asking);
                self.displaced(lane, request)
            }
        }
    }

    /// A request that owns what it asks with.
    fn asked(&self, request: AcquireRequest) -> Asking {
        let backend = Arc::clone(&self.backend);
        Box::pin(async move { backend.acquire(&request).await })
    }

    fn answered_in_place(
        &self,
        lane: &Lane,
        request: &AcquireRequest,
        outcome: Result<Grant, LockError>,
    ) -> Result<Option<Grant>, LockError> {
        let owner = request.claim.owner;
        if request.mode == Mode::Try && outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy) {
            self.step(lane, |entry, pending, _| {
                entry.queue.refused_in_place(owner);
                // Its owner will not release, if the keeper asks by now, either.
                pending.is_gone(owner, owner);
            });
        }
        let granted = outcome?;
        let (grant, loss) = self.step(lane, |entry, _, now| {
            entry.progress.queued();
            let grant = entry.queue.granted_in_place(owner, &granted, now);
            (grant, entry.relay.as_ref().and_then(|relay| relay.loss))
        });
        match grant {
            Some(grant) => {
                if let Some(reason) = loss {
                    super::ObservedQueues::lose(self, lane, owner, reason);
                }
                Ok(Some(grant))
            }
            None => self.displaced(lane, request),
        }
    }

    /// The keeper asks by now. What this caller may have got is undone, after its own request is over.
    fn displaced(&self, lane: &Lane, request: &AcquireRequest) -> Result<Option<Grant>, LockError> {
        let claim = &request.claim;
        self.queues.pending(lane, |pending| pending.is_gone(claim.owner, claim.owner));
        self.undo(claim.clone(), None);
        match request.mode {
            Mode::Wait => Ok(None),
            Mode::Try => Err(busy()),
        }
    }

    /// What the caller asked goes on as a task of the keeper, unless the keeper asks by now.
    fn hand_to_keeper(&self, lane: &Lane, claim: &Claim, asking: Asking) -> bool {
        // Dropped while nothing is locked, for it is of the backend.
        let mut asking = Some(asking);
        self.step(lane, |entry, _, _| {
            let is_handed = entry.queue.hand_to_keeper(claim.owner);
            if is_handed && let Some(asking) = asking.take() {
                if let Some(relay) = entry.relay.as_mut() {
                    relay.pass_to(LossSignal::idle());
                }
                entry.asking = self.keep_asking(lane.clone(), claim.clone(), asking);
            }
            is_handed
        })
    }

    /// Decides what the keeper asks for, under a new owner: requests of an earlier one may still be under way.
    pub(super) fn begin_asking(&self, lane: &Lane, entry: &mut QueueEntry) -> Option<AskErrand> {
        let competitor = Claim::new(lane.key.clone(), lane.ttl)
            .inspect_err(|error| tracing::warn!(%error, "cannot ask for a lock; it is tried again"))
            .ok()?;
        let (progress, observer) = (Arc::new(Progress::default()), self.observer(lane, &competitor));
        entry.observe(observer.clone(), LossSignal::idle(), &progress);
        entry.queue.asking(competitor.clone());
        let request = AcquireRequest::of(competitor, Mode::Wait, progress, observer);
        Some(AskErrand { lane: lane.clone(), request })
    }

    /// Asks, unless that was given up meanwhile.
    pub(super) fn have_asked(&self, errand: AskErrand) {
        let AskErrand { lane, request } = errand;
        let competitor = request.claim.clone();
        let asking = self.asked(request);
        self.queues.with(&lane, |entry, _| {
            if entry.queue.is_asking(competitor.owner) {
                entry.asking = self.keep_asking(lane.clone(), competitor, asking);
            }
        });
    }

    /// A task of the keeper, which asks until the answer is there.
    fn keep_asking(
        &self,
        lane: Lane,
        competitor: Claim,
        asking: Asking,
    ) -> Option<tokio_util::task::AbortOnDropHandle<()>> {
        let queues = self.this.upgrade()?;
        Some(self.background.attend(async move {
            let outcome = AssertUnwindSafe(asking).catch_unwind().await;
            match outcome.unwrap_or_else(|_| Err(panicked())) {
                Ok(grant) => queues.granted(&lane, competitor, &grant),
                Err(error) => queues.failed(&lane, competitor, &error),
            }
        }))
    }

    fn granted(&self, lane: &Lane, competitor: Claim, grant: &Grant) {
        let is_offered = self.step(lane, |entry, _, now| {
            entry.progress.queued();
            let is_offered = entry.queue.offer(competitor.owner, grant, now);
            entry.withdraw_if_lost();
            is_offered
        });
        if !is_offered {
            self.undo(competitor, None);
        }
    }

    /// Waiting cannot help: all who wait learn why.
    fn failed(&self, lane: &Lane, competitor: Claim, error: &LockError) {
        let told: Vec<OwnerId> = self.step(lane, |entry, _, _| entry.queue.failed(competitor.owner));
        self.undo(competitor, None);
        told.into_iter().for_each(|owner| self.wakeups.wake(owner, error.clone()));
    }
}

fn panicked() -> LockError {
    LockError::new(ErrorKind::Unavailable, "the backend panicked; what it says before is its own report")
}

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
use crate::backend::wakeups::{Waiter, Wakeups};
use crate::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant, Mode};
use crate::error::{ErrorKind, LockError, Operation};
use crate::lease::{LossReason, OwnerId};
use crate::time::{Moment, sleep_until};
use loss_relay::{Losses, Word};
use pending_releases::Leaving;
use queue::{Entered, Left};
use queue_map::{Shards, Standing};
use std::fmt;
use std::sync::Arc;

pub use queue::HandOver;

/// Queues the acquisitions of this process before `backend`.
#[derive(Clone)]
pub(crate) struct Local(Arc<Shared>);

struct Shared {
    backend: Arc<dyn Backend>,
    hand_over: HandOver,
    lanes: Shards,
    wakeups: Wakeups<Turn>,
}

/// What a waiter is told.
#[derive(Debug)]
enum Turn {
    /// Ask the backend for this acquisition.
    Ask(Claim),
    /// The lock is yours.
    Has(Grant),
}

/// A grant that is gone: whom that concerns, and who is to ask next.
struct Lost {
    word: Option<Word>,
    next: Option<(OwnerId, Claim)>,
}

impl Local {
    pub(crate) fn new(backend: Arc<dyn Backend>, hand_over: HandOver) -> Self {
        let (lanes, wakeups) = Default::default();
        Self(Arc::new(Shared { backend, hand_over, lanes, wakeups }))
    }
}

impl Standing {
    /// Ends what the competitor was granted. The holder, who may leave at any moment, finds it noted.
    fn lose(&mut self, competitor: &Claim, leaving: &mut Leaving, now: Moment) -> Option<Lost> {
        let (holder, next) = self.lane.lost(competitor.owner)?;
        leaving.note(holder, competitor, now);
        Some(Lost { word: self.word.take(), next })
    }

    /// A holder that is gone with its runtime tells nobody; its lease is over some time.
    fn end_overdue(&mut self, leaving: &mut Leaving, now: Moment) -> Option<Lost> {
        let competitor = self.lane.overdue(now)?;
        self.lose(&competitor, leaving, now)
    }

    /// A try does not wait here either, and passes nobody.
    fn enter(&mut self, request: &AcquireRequest) -> Result<Entered, LockError> {
        let is_free = self.lane.is_empty() || self.lane.held_by(request.claim.owner).is_some();
        if request.mode == Mode::Try && !is_free {
            return Err(busy());
        }
        request.progress.follow(&self.progress);
        Ok(self.lane.enter(&request.claim))
    }
}

impl Shared {
    async fn acquire(self: &Arc<Self>, request: &AcquireRequest) -> Result<Grant, LockError> {
        let mut waiter = None;
        let mut turn = self.enter(request, &mut waiter)?;
        let place = InLine { shared: self, claim: &request.claim };
        loop {
            match (turn, &waiter) {
                (Some(Turn::Ask(competitor)), _) => {
                    return place.settle(self.ask(request, competitor).await);
                }
                (Some(Turn::Has(grant)), _) if self.take(request) => return place.settle(Ok(grant)),
                (None, Some(waiter)) => turn = self.told(waiter, &request.claim).await,
                // Lost on the way here.
                _ => turn = self.enter(request, &mut waiter)?,
            }
        }
    }

    /// Who has to wait can be woken before anybody else looks at the lane.
    fn enter<'a>(
        &'a self,
        request: &AcquireRequest,
        waiter: &mut Option<Waiter<'a, Turn>>,
    ) -> Result<Option<Turn>, LockError> {
        let (lost, turn) = self.lanes.with(&request.claim, |standing, leaving| {
            let lost = standing.end_overdue(leaving, Moment::now());
            let turn = standing.enter(request).map(|entered| match entered {
                Entered::Ask(competitor) => Some(Turn::Ask(competitor)),
                Entered::Has(grant) => Some(Turn::Has(grant)),
                Entered::Wait => {
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
    async fn told(&self, waiter: &Waiter<'_, Turn>, claim: &Claim) -> Option<Turn> {
        let ends = self.lanes.with(claim, |standing, _| standing.lane.valid_until());
        tokio::select! {
            biased;
            turn = waiter.woken() => turn,
            () = until(ends) => {
                let lost = self.lanes.with(claim, |standing, leaving| standing.end_overdue(leaving, Moment::now()));
                self.tell(lost, LossReason::Expired);
                None
            }
        }
    }

    /// Asks the backend for the whole lane.
    async fn ask(self: &Arc<Self>, request: &AcquireRequest, competitor: Claim) -> Result<Grant, LockError> {
        let owner = request.claim.owner;
        let losses = Arc::new(Losses { shared: Arc::downgrade(self), competitor: competitor.clone() });
        let progress = self.lanes.with(&request.claim, |standing, _| {
            standing.word = Some(Word::unsaid(Arc::clone(&losses), request.loss()));
            Arc::clone(&standing.progress)
        });
        let asked = AcquireRequest::of(competitor.clone(), request.mode, progress, losses);
        let outcome = self.backend.acquire(&asked).await;
        if request.mode == Mode::Try && outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy) {
            let next = self.lanes.with(&request.claim, |standing, _| standing.lane.refused(owner));
            self.have_ask(next);
        }
        let grant = outcome?;
        let loss = self.lanes.with(&request.claim, |standing, _| {
            standing.progress.queued();
            standing.lane.granted(owner, &grant, Moment::now());
            standing.word.as_ref().and_then(|word| word.loss)
        });
        if let Some(reason) = loss {
            self.lose(&competitor, reason);
        }
        Ok(Grant::new(grant.token, grant.valid_until))
    }

    /// Takes what was handed over: from here on what the backend says of it concerns this request.
    fn take(&self, request: &AcquireRequest) -> bool {
        self.lanes.with(&request.claim, |standing, _| {
            let has_it = standing.lane.held_by(request.claim.owner).is_some();
            if let Some(word) = standing.word.as_mut().filter(|_| has_it) {
                word.pass_to(request.loss());
            }
            has_it
        })
    }

    async fn renew(self: &Arc<Self>, claim: &Claim) -> Result<Moment, LockError> {
        let Some(competitor) = self.held_by(claim) else { return Err(not_owner()) };
        let outcome = self.backend.renew(&competitor).await;
        match &outcome {
            Ok(valid_until) => {
                self.lanes.with(claim, |standing, _| standing.lane.renewed(competitor.owner, *valid_until));
            }
            // It may be another's by now.
            Err(error) if error.kind() == ErrorKind::Lost => self.lose(&competitor, LossReason::NotOwner),
            Err(_) => {}
        }
        outcome
    }

    /// What was granted for this claim's lane, if this claim has it.
    fn held_by(&self, claim: &Claim) -> Option<Claim> {
        self.lanes.with(claim, |standing, _| standing.lane.held_by(claim.owner).cloned())
    }

    /// What the competitor was granted is gone. Tells whom that concerns, if anybody.
    fn lose(&self, competitor: &Claim, reason: LossReason) {
        let lost = self
            .lanes
            .with(competitor, |standing, leaving| standing.lose(competitor, leaving, Moment::now()));
        self.tell(lost, reason);
    }

    fn tell(&self, lost: Option<Lost>, reason: LossReason) {
        let Some(Lost { word, next }) = lost else { return };
        if let Some(word) = word {
            word.end(reason);
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
                return released;
            }
            outcome = Some(released);
            left_over = self.lanes.leaving(claim, |leaving| {
                leaving.is_gone(claim.owner, competitor.owner);
                leaving.of(claim.owner)
            });
        }
        outcome.unwrap_or_else(|| Err(not_owner()))
    }

    /// Makes the owner leave its lane, and tells whom that concerns. Does not wait. Returns whether another one has its
    /// grant now, and what the backend is to release first.
    fn leave(&self, claim: &Claim) -> (bool, Option<Claim>) {
        let (left, left_over) = self.lanes.with(claim, |standing, leaving| {
            let now = Moment::now();
            let left = standing.lane.leave(claim.owner, self.hand_over, now);
            if let Left::Over(competitor, _) = &left {
                standing.word = None;
                leaving.note(claim.owner, competitor, now);
            }
            (left, leaving.of(claim.owner))
        });
        let is_handed_over = matches!(left, Left::HandedOver(..));
        match left {
            Left::Unknown | Left::Quietly => {}
            Left::Passed(next, competitor) => self.wakeups.wake(next, Turn::Ask(competitor)),
            Left::HandedOver(next, grant) => self.wakeups.wake(next, Turn::Has(grant)),
            Left::Over(_, next) => self.have_ask(next),
        }
        (is_handed_over, left_over)
    }

    fn have_ask(&self, next: Option<(OwnerId, Claim)>) {
        if let Some((owner, competitor)) = next {
            self.wakeups.wake(owner, Turn::Ask(competitor));
        }
    }
}

/// A place in a lane. Dropped before it is settled, its owner leaves at once, so that the others go on; what the
/// backend may have of it is for the release that follows (I4).
struct InLine<'a> {
    shared: &'a Shared,
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

async fn until(moment: Option<Moment>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn busy() -> LockError {
    LockError::new(ErrorKind::Busy, "another owner has it or waits for it; try again later or wait")
}

fn not_owner() -> LockError {
    LockError::new(ErrorKind::Lost, "the owner does not have the lock any more; acquire it again")
}

impl Backend for Local {
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
                    self.0.lanes.with(claim, |standing, _| standing.lane.revoked(competitor.owner));
                }
                None => std::future::pending().await,
            }
        })
    }
}

/// As the backend itself: that there is a queue before it is no business of who looks.
impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.backend.fmt(f)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;

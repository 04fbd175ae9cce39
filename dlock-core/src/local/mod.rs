//! Waiting inside the process: one competitor per key at the backend, and behind it a queue that a grant is handed
//! over in without a request.
//!
//! It is a backend over a backend. Every acquisition has a claim of its own here; the backend below sees that of
//! the one which competes for all (I1: while it holds, exactly one of those behind it has the lock).

mod lane;

use crate::backend::RevokedFuture;
use crate::backend::wakeups::{Waiter, Wakeups};
use crate::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant, LossSignal, Mode, Progress};
use crate::error::{ErrorKind, LockError, Operation};
use crate::key::LockKey;
use crate::lease::{Interest, LossReason, OwnerId, Ttl};
use crate::time::{Moment, sleep_until};
use lane::{Entered, Lane, Left};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub use lane::HandOver;

/// Queues the acquisitions of this process before `backend`.
#[derive(Clone)]
pub(crate) struct Local(Arc<Shared>);

struct Shared {
    backend: Arc<dyn Backend>,
    hand_over: HandOver,
    lanes: Mutex<HashMap<Place, Standing>>,
    wakeups: Wakeups<Turn>,
    /// Owners whose lane does not know them any more, with the acquisition that the backend is still to release.
    leaving: Mutex<HashMap<OwnerId, Leaving>>,
}

/// Acquisitions of different lengths compete by themselves: one lease cannot have two.
type Place = (LockKey, Ttl);

/// A lane, and whom it tells what.
#[derive(Default)]
struct Standing {
    lane: Lane,
    /// What the competitor waits for, and so everybody here.
    progress: Arc<Progress>,
    /// What the backend says of the competitor's grant, from before it is asked for it.
    word: Option<Word>,
}

/// What the backend says of a grant, and to whom.
struct Word {
    /// Who hears it, for as long as this is kept.
    heard_by: Arc<Losses>,
    /// Whom it concerns: who asked, or was handed the lock over.
    concerns: LossSignal,
    is_doubt: bool,
    /// It came before the lane held.
    loss: Option<LossReason>,
}

struct Leaving {
    competitors: Vec<Claim>,
    since: Moment,
}

/// What a waiter is told.
#[derive(Debug)]
enum Turn {
    /// Ask the backend for this acquisition.
    Ask(Claim),
    /// The lock is yours.
    Has(Grant),
}

impl Local {
    pub(crate) fn new(backend: Arc<dyn Backend>, hand_over: HandOver) -> Self {
        Self(Arc::new(Shared {
            backend,
            hand_over,
            lanes: Mutex::default(),
            wakeups: Wakeups::default(),
            leaving: Mutex::default(),
        }))
    }
}

impl Shared {
    /// Looks at the lane of this claim. A lane that nobody uses is not kept.
    fn with<T>(&self, claim: &Claim, look: impl FnOnce(&mut Standing) -> T) -> T {
        let place = (claim.key.clone(), claim.ttl);
        let mut lanes = self.lanes.lock();
        let standing = lanes.entry(place.clone()).or_default();
        let seen = look(standing);
        if standing.lane.is_empty() {
            lanes.remove(&place);
        }
        seen
    }

    async fn acquire(self: &Arc<Self>, request: &AcquireRequest) -> Result<Grant, LockError> {
        let waiter = self.wakeups.enter(request.claim.owner);
        let mut turn = self.enter(request)?;
        let place = InLine { shared: self, claim: &request.claim };
        loop {
            match turn {
                Some(Turn::Ask(competitor)) => return place.settle(self.ask(request, competitor).await),
                Some(Turn::Has(grant)) if self.take(request) => return place.settle(Ok(grant)),
                // Lost on the way here.
                Some(Turn::Has(_)) => turn = self.enter(request)?,
                None => turn = self.told(&waiter, &request.claim).await,
            }
        }
    }

    /// Waits to be told. A holder that is gone with its runtime tells nobody; its lease is over some time.
    async fn told(&self, waiter: &Waiter<'_, Turn>, claim: &Claim) -> Option<Turn> {
        let ends = self.with(claim, |standing| standing.lane.valid_until());
        tokio::select! {
            biased;
            turn = waiter.woken() => turn,
            () = until(ends) => {
                self.end_overdue(claim);
                None
            }
        }
    }

    fn end_overdue(&self, claim: &Claim) {
        if let Some(competitor) = self.with(claim, |standing| standing.lane.overdue(Moment::now())) {
            self.lose(&competitor, LossReason::Expired);
        }
    }

    /// A try does not wait here either, and passes nobody.
    fn enter(&self, request: &AcquireRequest) -> Result<Option<Turn>, LockError> {
        let claim = &request.claim;
        self.end_overdue(claim);
        self.with(claim, |standing| {
            let is_free = standing.lane.is_empty() || standing.lane.held_by(claim.owner).is_some();
            if request.mode == Mode::Try && !is_free {
                return Err(busy());
            }
            request.progress.follow(&standing.progress);
            Ok(match standing.lane.enter(claim) {
                Entered::Ask(competitor) => Some(Turn::Ask(competitor)),
                Entered::Has(grant) => Some(Turn::Has(grant)),
                Entered::Wait => None,
            })
        })
    }

    /// Asks the backend for the whole lane.
    async fn ask(self: &Arc<Self>, request: &AcquireRequest, competitor: Claim) -> Result<Grant, LockError> {
        let owner = request.claim.owner;
        let losses = Arc::new(Losses { shared: Arc::downgrade(self), competitor: competitor.clone() });
        let progress = self.with(&request.claim, |standing| {
            standing.word = Some(Word::unsaid(Arc::clone(&losses), request.loss()));
            Arc::clone(&standing.progress)
        });
        let asked = AcquireRequest::of(competitor.clone(), request.mode, progress, losses);
        let outcome = self.backend.acquire(&asked).await;
        if request.mode == Mode::Try && outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy) {
            let next = self.with(&request.claim, |standing| standing.lane.refused(owner));
            self.have_ask(next);
        }
        let grant = outcome?;
        let loss = self.with(&request.claim, |standing| {
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
        self.with(&request.claim, |standing| {
            let has_it = standing.lane.held_by(request.claim.owner).is_some();
            if let Some(word) = standing.word.as_mut().filter(|_| has_it) {
                word.pass_to(request.loss());
            }
            has_it
        })
    }

    async fn renew(self: &Arc<Self>, claim: &Claim) -> Result<Moment, LockError> {
        let held = self.with(claim, |standing| standing.lane.held_by(claim.owner).cloned());
        let Some(competitor) = held else { return Err(not_owner()) };
        let outcome = self.backend.renew(&competitor).await;
        match &outcome {
            Ok(valid_until) => {
                self.with(claim, |standing| standing.lane.renewed(competitor.owner, *valid_until));
            }
            // It may be another's by now.
            Err(error) if error.kind() == ErrorKind::Lost => self.lose(&competitor, LossReason::NotOwner),
            Err(_) => {}
        }
        outcome
    }

    /// What the competitor was granted is gone. Tells whom that concerns, if anybody.
    fn lose(&self, competitor: &Claim, reason: LossReason) {
        let lost = self.with(competitor, |standing| {
            let (holder, next) = standing.lane.lost(competitor.owner)?;
            // With the lane in hand: the holder, who may leave at any moment, is to find it.
            self.is_leaving(holder, competitor);
            Some((next, standing.word.take()))
        });
        let Some((next, word)) = lost else { return };
        if let Some(word) = word {
            word.concerns.lose(reason);
        }
        self.have_ask(next);
    }

    async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let handed_over = self.leave(claim) == Gone::HandedOver;
        let mut outcome = if handed_over { Ok(()) } else { Err(not_owner()) };
        while let Some(competitor) = self.left_over(claim.owner) {
            outcome = self.backend.release(&competitor).await;
            if outcome.as_ref().is_err_and(|error| error.kind() != ErrorKind::Lost) {
                // The caller will ask again.
                return outcome;
            }
            self.is_gone(claim.owner, &competitor);
        }
        outcome
    }

    /// Makes the owner leave its lane, and tells whom that concerns. Does not wait.
    fn leave(&self, claim: &Claim) -> Gone {
        let left = self.with(claim, |standing| {
            let left = standing.lane.leave(claim.owner, self.hand_over, Moment::now());
            if matches!(left, Left::Over(..)) {
                standing.word = None;
            }
            left
        });
        match left {
            Left::Unknown | Left::Quietly => Gone::WithoutGrant,
            Left::Passed(next, competitor) => {
                self.wakeups.wake(next, Turn::Ask(competitor));
                Gone::WithoutGrant
            }
            Left::HandedOver(next, grant) => {
                self.wakeups.wake(next, Turn::Has(grant));
                Gone::HandedOver
            }
            Left::Over(competitor, next) => {
                self.is_leaving(claim.owner, &competitor);
                self.have_ask(next);
                Gone::WithoutGrant
            }
        }
    }

    fn have_ask(&self, next: Option<(OwnerId, Claim)>) {
        if let Some((owner, competitor)) = next {
            self.wakeups.wake(owner, Turn::Ask(competitor));
        }
    }

    /// The release of `owner` has to reach the backend.
    fn is_leaving(&self, owner: OwnerId, competitor: &Claim) {
        let (mut leaving, now) = (self.leaving.lock(), Moment::now());
        if leaving.len() >= MANY {
            leaving.retain(|_, left| now.since(left.since) < LONGEST);
        }
        let left = leaving.entry(owner).or_insert(Leaving { competitors: Vec::new(), since: now });
        left.competitors.push(competitor.clone());
    }

    fn left_over(&self, owner: OwnerId) -> Option<Claim> {
        self.leaving.lock().get(&owner)?.competitors.last().cloned()
    }

    fn is_gone(&self, owner: OwnerId, competitor: &Claim) {
        let mut leaving = self.leaving.lock();
        if let Some(left) = leaving.get_mut(&owner) {
            left.competitors.retain(|claim| claim.owner != competitor.owner);
            if left.competitors.is_empty() {
                leaving.remove(&owner);
            }
        }
    }
}

/// How an owner left its lane.
#[derive(PartialEq, Eq)]
enum Gone {
    /// Another one has its grant.
    HandedOver,
    /// What its grant was, if it had one, is for the backend to say.
    WithoutGrant,
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

/// Releases that were never confirmed are looked for when there are so many, and forgotten when the longest lease
/// is over.
const MANY: usize = 16_384;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Hears from the backend that a grant is gone.
struct Losses {
    shared: Weak<Shared>,
    competitor: Claim,
}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Losses").finish_non_exhaustive()
    }
}

impl Losses {
    /// Notes what the backend says, unless it is about an earlier grant.
    fn note(&self, said: impl FnOnce(&mut Word)) {
        if let Some(shared) = self.shared.upgrade() {
            shared.with(&self.competitor, |standing| {
                let is_this = |word: &&mut Word| word.heard_by.competitor.owner == self.competitor.owner;
                standing.word.as_mut().filter(is_this).map(said)
            });
        }
    }
}

impl Interest for Losses {
    fn lose(&self, reason: LossReason) {
        self.note(|word| word.loss = Some(reason));
        if let Some(shared) = self.shared.upgrade() {
            shared.lose(&self.competitor, reason);
        }
    }

    fn doubt(&self) {
        self.note(|word| {
            word.is_doubt = true;
            word.concerns.doubt();
        });
    }

    fn trust(&self) {
        self.note(|word| {
            word.is_doubt = false;
            word.concerns.trust();
        });
    }
}

impl Word {
    fn unsaid(heard_by: Arc<Losses>, concerns: LossSignal) -> Self {
        Self { heard_by, concerns, is_doubt: false, loss: None }
    }

    /// From here on it concerns somebody else, who learns what was said before.
    fn pass_to(&mut self, next: LossSignal) {
        if self.is_doubt {
            next.doubt();
        }
        self.concerns = next;
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
            match self.0.with(claim, |standing| standing.lane.held_by(claim.owner).cloned()) {
                Some(competitor) => {
                    self.0.backend.revoked(&competitor).await;
                    self.0.with(claim, |standing| standing.lane.revoked(competitor.owner));
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

//! Waiting inside the process: one competitor per key at the backend, and behind it a queue that a grant is handed
//! over in without a request.
//!
//! It is a backend over a backend. Every acquisition has a claim of its own here; the backend below sees that of
//! the one which competes for all (I1: while it holds, at most one of those behind it has the lock).
//!
//! The first question of a queue that nobody waits in is asked by the caller's own future, which costs no detour. Once
//! there is something to wait for, the keeper asks: so no waiter hangs on the future of another one.

mod asking;
mod loss_relay;
mod pending_releases;
mod queue;
mod queue_map;
mod share;
mod watch;

use crate::backend::wakeups::{Waiter, Wakeups};
use crate::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant, LossSignal, Progress};
use crate::backend::{RevokedFuture, answers::busy};
use crate::error::{ErrorKind, LockError, Operation};
use crate::keeper::Background;
use crate::lease::{LossReason, OwnerId};
use crate::release;
use crate::time::{Clock, Moment};
use asking::AskErrand;
use loss_relay::{BackendObserver, LossRelay, ObservedQueues, Word};
use pending_releases::PendingReleases;
use queue::{EnterOutcome, LeaveOutcome};
use queue_map::{Lane, QueueEntry, QueueMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use watch::Watch;

pub use share::HandOver;

/// Queues the acquisitions of this process before `backend`.
#[derive(Clone)]
pub(crate) struct HandOverBackend(Arc<HandOverState>);

struct HandOverState {
    backend: Arc<dyn Backend>,
    hand_over: HandOver,
    queues: QueueMap,
    /// What a waiter is told is that waiting cannot help; otherwise it looks by itself.
    wakeups: Wakeups<LockError>,
    background: Background,
    watch: Arc<Watch>,
    _watching: AbortOnDropHandle<()>,
    this: Weak<Self>,
}

/// What there is to do once a queue is not locked any more.
#[derive(Default)]
struct Errands {
    /// These may take what is offered, or let it pass.
    to_wake: Vec<OwnerId>,
    ask: Option<AskErrand>,
    /// To be undone once nothing asks for it any more.
    undo: Option<(Claim, Option<AbortOnDropHandle<()>>)>,
    /// A grant that is gone, and whom that concerns.
    lost: Option<LossRelay>,
    look_by: Option<Moment>,
}

impl HandOverBackend {
    pub(crate) fn new(backend: Arc<dyn Backend>, hand_over: HandOver, background: Background) -> Self {
        let state = |this: &Weak<HandOverState>| {
            let watch = Arc::new(Watch::new());
            let _watching = background.attend(look_after(Arc::clone(&watch), Weak::clone(this)));
            let (queues, wakeups, this) = (QueueMap::default(), Wakeups::default(), Weak::clone(this));
            HandOverState { backend, hand_over, queues, wakeups, background, watch, _watching, this }
        };
        Self(Arc::new_cyclic(state))
    }
}

/// Looks at the queues whenever time may have brought something to do. Of that, whatever runs what others wrote is done in
/// tasks of its own.
async fn look_after(watch: Arc<Watch>, queues: Weak<HandOverState>) {
    loop {
        watch.due().await;
        let Some(state) = queues.upgrade() else { return };
        state.look_after_all();
    }
}

impl Errands {
    /// Whether nothing of it runs what others wrote.
    fn is_quiet(&self) -> bool {
        self.to_wake.is_empty() && self.lost.is_none()
    }
}

impl QueueEntry {
    /// From here on `observer` hears what the backend says of the competitor's grant.
    fn observe(&mut self, observer: Arc<BackendObserver>, concerns: LossSignal, progress: &Arc<Progress>) {
        self.relay = Some(LossRelay::unsaid(observer, concerns));
        self.progress.follow(progress);
    }

    /// What is gone already is not offered: who takes it would hear of that too late.
    fn withdraw_if_lost(&mut self) {
        let is_lost = self.relay.as_ref().is_some_and(|relay| relay.loss.is_some());
        if is_lost && self.queue.withdraw() {
            self.relay = None;
        }
    }
}

impl HandOverState {
    fn look_after_all(self: &Arc<Self>) {
        let now = Moment::now();
        let look = |lane: &Lane, entry: &mut QueueEntry, pending: &mut PendingReleases| {
            self.tend(lane, entry, pending, now)
        };
        let run = |errands: Errands| {
            let state = Arc::clone(self);
            match errands.is_quiet() {
                true => state.run(errands),
                false => self.background.detach(async move { state.run(errands) }),
            }
        };
        if let Some(forget_at) = self.queues.each(look, run, now) {
            self.watch.look_by(forget_at);
        }
    }

    /// Each acquisition stands in a queue of its own where nothing is handed over.
    fn lane(&self, claim: &Claim) -> Lane {
        let alone = (self.hand_over.max <= 1).then_some(claim.owner);
        Lane { key: claim.key.clone(), ttl: claim.ttl, alone }
    }

    /// Changes a queue, and does what follows from it.
    fn step<T>(
        &self,
        lane: &Lane,
        change: impl FnOnce(&mut QueueEntry, &mut PendingReleases, Moment) -> T,
    ) -> T {
        let now = Moment::now();
        let (changed, errands) = self.queues.with(lane, |entry, pending| {
            let changed = change(entry, pending, now);
            (changed, self.tend(lane, entry, pending, now))
        });
        self.run(errands);
        changed
    }

    /// What there is to do in a queue at `now`.
    fn tend(
        &self,
        lane: &Lane,
        entry: &mut QueueEntry,
        pending: &mut PendingReleases,
        now: Moment,
    ) -> Errands {
        let mut errands = self.pass_time(entry, pending, now);
        if entry.queue.needs_asking() {
            errands.ask = self.begin_asking(lane, entry);
        }
        errands.to_wake = entry.queue.to_wake(now);
        // Without an owner id to ask under it is tried again later.
        let again = entry.queue.needs_asking().then(|| now.after(queue::PATIENCE));
        errands.look_by = entry.queue.next_look(now).or(again);
        errands
    }

    fn pass_time(&self, entry: &mut QueueEntry, pending: &mut PendingReleases, now: Moment) -> Errands {
        let mut errands = Errands::default();
        let passed = entry.queue.pass_time(now);
        if let Some(displaced) = passed.displaced {
            // Its caller's request may still be under way: what that brings is undone when the caller goes on, or goes.
            self.note_pending(pending, displaced.owner, &displaced, now);
            errands.undo = Some((displaced, None));
        }
        if let Some(returned) = passed.returned {
            errands.undo = Some((returned, None));
        }
        if let Some((holder, competitor)) = passed.lost {
            self.note_pending(pending, holder, &competitor, now);
            errands.lost = entry.relay.take();
        }
        errands
    }

    /// The release of `owner` has to reach the backend for this acquisition, for as long as anything of it may be there.
    fn note_pending(&self, pending: &mut PendingReleases, owner: OwnerId, competitor: &Claim, now: Moment) {
        let until = now.after(release::effort(&*self.backend, competitor)).after(Duration::from_secs(1));
        pending.note(owner, competitor, until, now);
        self.watch.look_by(until);
    }

    fn run(&self, errands: Errands) {
        let Errands { to_wake, ask, undo, lost, look_by } = errands;
        if let Some(ask) = ask {
            self.have_asked(ask);
        }
        if let Some((claim, asking)) = undo {
            self.undo(claim, asking);
        }
        if let Some(at) = look_by {
            self.watch.look_by(at);
        }
        if let Some(relay) = lost {
            relay.end(LossReason::Expired);
        }
        to_wake.into_iter().for_each(|owner| self.wakeups.wake_one(owner));
    }

    /// Has the backend undo an acquisition of its own, after nothing asks for it any more.
    fn undo(&self, claim: Claim, asking: Option<AbortOnDropHandle<()>>) {
        let backend = Arc::clone(&self.backend);
        self.background.spawn(async move {
            if let Some(asking) = asking {
                asking.abort();
                let _ = asking.await;
            }
            release::until_gone(backend, claim).await;
        });
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let lane = self.lane(&request.claim);
        let mut waiter = None;
        let entered = self.enter(&lane, request, &mut waiter);
        let place = InLine { queues: self, lane: &lane, owner: request.claim.owner };
        let outcome = match entered {
            EnterOutcome::Has(grant) => Ok(Some(grant)),
            EnterOutcome::Busy => Err(busy()),
            EnterOutcome::Wait => Ok(None),
            EnterOutcome::AskInPlace => self.ask_in_place(&lane, request).await,
        };
        let grant = match outcome {
            Ok(Some(grant)) => grant,
            Ok(None) => self.wait(&lane, request, waiter).await?,
            Err(error) => return Err(error),
        };
        std::mem::forget(place);
        Ok(grant)
    }

    /// Who has to wait can be woken before anybody else looks at the queue.
    fn enter<'a>(
        &'a self,
        lane: &Lane,
        request: &AcquireRequest,
        waiter: &mut Option<Waiter<'a, LockError>>,
    ) -> EnterOutcome {
        let (entered, passed) = self.step(lane, |entry, pending, now| {
            // Who comes finds what time has changed.
            let passed = self.pass_time(entry, pending, now);
            let entered = entry.queue.enter(&request.claim, request.mode, now);
            if matches!(entered, EnterOutcome::Wait) {
                *waiter = Some(self.wakeups.enter(request.claim.owner));
            }
            if !matches!(entered, EnterOutcome::Busy) {
                request.progress.follow(&entry.progress);
            }
            (entered, passed)
        });
        self.run(passed);
        entered
    }

    /// Waits until something is offered that this waiter can take.
    async fn wait(
        &self,
        lane: &Lane,
        request: &AcquireRequest,
        waiter: Option<Waiter<'_, LockError>>,
    ) -> Result<Grant, LockError> {
        let waiter = waiter.unwrap_or_else(|| self.stay_in_line(lane, request));
        loop {
            if let Some(grant) = self.take(lane, request) {
                return Ok(grant);
            }
            if let Some(error) = waiter.woken().await {
                return Err(error);
            }
        }
    }

    /// Who asked the backend itself can be woken from here on, and is in line from here on at the latest.
    fn stay_in_line(&self, lane: &Lane, request: &AcquireRequest) -> Waiter<'_, LockError> {
        let waiter = self.wakeups.enter(request.claim.owner);
        self.step(lane, |entry, _, _| {
            entry.queue.stay(request.claim.owner);
            request.progress.follow(&entry.progress);
        });
        waiter
    }

    /// Takes what is offered: from here on what the backend says of it concerns this request.
    fn take(&self, lane: &Lane, request: &AcquireRequest) -> Option<Grant> {
        self.step(lane, |entry, _, now| {
            entry.withdraw_if_lost();
            let taken = entry.queue.take(request.claim.owner, now)?;
            if let Some(relay) = entry.relay.as_mut() {
                relay.pass_to(request.loss());
            }
            Some(taken)
        })
    }

    fn observer(&self, lane: &Lane, competitor: &Claim) -> Arc<BackendObserver> {
        let queues: Weak<dyn ObservedQueues> = Weak::<Self>::clone(&self.this);
        Arc::new(BackendObserver { queues, lane: lane.clone(), competitor: competitor.owner })
    }

    async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let lane = self.lane(claim);
        let Some(competitor) = self.held_by(&lane, claim) else { return Err(not_owner()) };
        let outcome = self.backend.renew(&competitor).await;
        match &outcome {
            Ok(valid_until) => {
                self.step(&lane, |entry, _, _| entry.queue.renewed(competitor.owner, *valid_until));
            }
            // It may be another's by now.
            Err(error) if error.kind() == ErrorKind::Lost => {
                self.lose(&lane, competitor.owner, LossReason::NotOwner);
            }
            Err(_) => {}
        }
        outcome
    }

    /// What was granted for this claim's queue, if this claim has it.
    fn held_by(&self, lane: &Lane, claim: &Claim) -> Option<Claim> {
        self.queues.with(lane, |entry, _| entry.queue.held_by(claim.owner).cloned())
    }

    async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let lane = self.lane(claim);
        let (is_handed_over, mut left_over) = self.leave(&lane, claim.owner);
        let mut outcome = is_handed_over.then_some(Ok(()));
        while let Some(competitor) = left_over {
            let released = self.backend.release(&competitor).await;
            if released.as_ref().is_err_and(|error| error.kind() != ErrorKind::Lost) {
                // The caller will ask again.
                return released;
            }
            outcome = Some(released);
            left_over = self.queues.pending(&lane, |pending| {
                pending.is_gone(claim.owner, competitor.owner);
                pending.of(claim.owner)
            });
        }
        outcome.unwrap_or_else(|| Err(not_owner()))
    }

    /// Makes the owner leave its queue. Does not wait. Returns whether the lock is offered to others here, and what
    /// the backend is to release first.
    fn leave(&self, lane: &Lane, owner: OwnerId) -> (bool, Option<Claim>) {
        let (is_handed_over, left_over, undo) = self.step(lane, |entry, pending, now| {
            let left = entry.queue.leave(owner, self.hand_over, now);
            let is_handed_over = matches!(left, LeaveOutcome::HandedOver);
            if is_handed_over && let Some(relay) = entry.relay.as_mut() {
                relay.pass_to(LossSignal::idle());
            }
            let undo = match left {
                LeaveOutcome::Over(competitor) => {
                    entry.relay = None;
                    self.note_pending(pending, owner, &competitor, now);
                    None
                }
                LeaveOutcome::Abandoned(competitor) => {
                    entry.relay = None;
                    Some((competitor, entry.asking.take()))
                }
                LeaveOutcome::Unknown | LeaveOutcome::Quietly | LeaveOutcome::HandedOver => None,
            };
            (is_handed_over, pending.of(owner), undo)
        });
        if let Some((competitor, asking)) = undo {
            self.undo(competitor, asking);
        }
        (is_handed_over, left_over)
    }
}

impl ObservedQueues for HandOverState {
    fn note(&self, lane: &Lane, competitor: OwnerId, said: &dyn Fn(&mut LossRelay)) -> Option<Word> {
        self.queues.with(lane, |entry, _| {
            let relay = entry.relay.as_mut().filter(|relay| relay.is_about(competitor))?;
            said(relay);
            Some(relay.word())
        })
    }

    fn lose(&self, lane: &Lane, competitor: OwnerId, reason: LossReason) {
        let relay = self.step(lane, |entry, pending, now| {
            let (holder, claim) = entry.queue.lost(competitor)?;
            if let Some(holder) = holder {
                self.note_pending(pending, holder, &claim, now);
            }
            entry.relay.take()
        });
        if let Some(relay) = relay {
            relay.end(reason);
        }
    }
}

/// A place in a queue. Dropped before it has the lock, its owner leaves at once, so that the others go on; what the
/// backend may have of it is for the release that follows (I4).
struct InLine<'a> {
    queues: &'a HandOverState,
    lane: &'a Lane,
    owner: OwnerId,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.queues.leave(self.lane, self.owner);
    }
}

fn not_owner() -> LockError {
    LockError::new(ErrorKind::Lost, "the owner does not have the lock any more; acquire it again")
}

#[deny(clippy::missing_trait_methods)]
impl Backend for HandOverBackend {
    fn name(&self) -> &'static str {
        self.0.backend.name()
    }

    fn is_local(&self) -> bool {
        self.0.backend.is_local()
    }

    fn clock(&self) -> Clock {
        self.0.backend.clock()
    }

    fn longest_lease(&self, claim: &Claim) -> Duration {
        self.0.backend.longest_lease(claim)
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

    /// What is asked at once would pass the queue.
    fn acquire_at_once(&self, _: &Claim, _: Moment) -> Option<Grant> {
        None
    }

    fn release_at_once(&self, _: &Claim, _: Moment) -> Option<Result<(), LockError>> {
        None
    }

    /// Whoever asks the competitor to let go means the holder, and not the one after it in this process.
    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        Box::pin(async move {
            let lane = self.0.lane(claim);
            match self.0.held_by(&lane, claim) {
                Some(competitor) => {
                    self.0.backend.revoked(&competitor).await;
                    self.0.queues.with(&lane, |entry, _| entry.queue.revoked(competitor.owner));
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

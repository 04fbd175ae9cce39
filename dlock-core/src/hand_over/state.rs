//! The queues of one manager, and what is done for them: the shell around the decisions.

use super::asking::{self, Asking, InPlace};
use super::lane::Lane;
use super::line::CalledWaiters;
use super::loss_relay::{BackendObserver, LossRelay, ObservedQueues, Word};
use super::pending_releases::PendingReleases;
use super::queue::{self, EnterOutcome, LeaveOutcome, TakeOutcome};
use super::queue_map::{QueueEntry, QueueMap};
use super::share::HandOver;
use super::watch::Watch;
use crate::backend::answers::busy;
use crate::backend::bell::Bell;
use crate::backend::{AcquireRequest, Backend, Claim, Grant, LossSignal, Mode};
use crate::error::{ErrorKind, LockError};
use crate::keeper::Background;
use crate::lease::{LossReason, OwnerId};
use crate::release;
use crate::time::Moment;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

pub(super) struct HandOverState {
    pub(super) backend: Arc<dyn Backend>,
    hand_over: HandOver,
    pub(super) queues: QueueMap,
    background: Background,
    pub(super) watch: Arc<Watch>,
    _watching: AbortOnDropHandle<()>,
    this: Weak<Self>,
}

/// What there is to do once the queue is unlocked.
#[derive(Default)]
struct Errands {
    /// These may take what is offered, or let it pass.
    to_wake: CalledWaiters,
    // In boxes, for there is seldom any of it.
    ask: Option<Box<AskErrand>>,
    /// To be undone once nothing asks for it.
    undo: Option<Box<(Claim, Asker)>>,
    /// A grant that is gone, and whom that concerns.
    lost: Option<Box<LossRelay>>,
    look_by: Option<Moment>,
}

/// What a caller that entered has to do.
enum Entered {
    Waits(Arc<Bell<LockError>>),
    Has(LineTurn),
}

/// What a caller has whose turn it is.
enum LineTurn {
    Granted(Grant),
    /// It asks the backend itself.
    Asks(InPlace),
}

/// What is left to do for an owner that left its queue.
struct Left {
    /// The lock is offered to others here.
    is_handed_over: bool,
    /// The backend is to release this.
    over: Option<Claim>,
    /// And then this, of earlier.
    left_over: Option<Claim>,
}

/// What asks for an acquisition that is to be undone.
pub(super) enum Asker {
    None,
    Keeper(AbortOnDropHandle<()>),
    Caller(InPlace),
}

/// What the keeper is to ask for.
struct AskErrand {
    lane: Lane,
    request: AcquireRequest,
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

impl HandOverState {
    pub(super) fn new(backend: Arc<dyn Backend>, hand_over: HandOver, background: Background) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let watch = Arc::new(Watch::new());
            let _watching = background.attend(look_after(Arc::clone(&watch), Weak::clone(this)));
            let (queues, this) = (QueueMap::default(), Weak::clone(this));
            Self { backend, hand_over, queues, background, watch, _watching, this }
        })
    }

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
    pub(super) fn lane(&self, claim: &Claim) -> Lane {
        Lane::of(claim, self.hand_over.max > 1)
    }

    /// Changes a queue, and does what follows from it.
    pub(super) fn step<T>(
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
        let mut errands = self.pass_time(lane, entry, pending, now);
        entry.queue.invite(now);
        if entry.queue.is_for_keeper() {
            errands.ask = self.begin_asking(lane, entry).map(Box::new);
        }
        errands.to_wake = entry.queue.take_to_wake(now);
        // Without an owner id to ask under it is tried again later.
        let again = entry.queue.is_for_keeper().then(|| now.after(queue::PATIENCE));
        errands.look_by = [errands.look_by, entry.queue.next_look(now), again].into_iter().flatten().min();
        errands
    }

    fn pass_time(
        &self,
        lane: &Lane,
        entry: &mut QueueEntry,
        pending: &mut PendingReleases,
        now: Moment,
    ) -> Errands {
        let look_by = self.follow_in_place(lane, entry, now);
        let mut errands = Errands { look_by, ..Errands::default() };
        let passed = entry.queue.pass_time(now);
        if let Some((displaced, competitor)) = passed.displaced {
            let claim = lane.claim(competitor);
            self.note_pending(pending, displaced, &claim, now);
            let asker = entry.in_place.take().map_or(Asker::None, Asker::Caller);
            errands.undo = Some(Box::new((claim, asker)));
        }
        if let Some(returned) = passed.returned {
            errands.undo = Some(Box::new((lane.claim(returned), Asker::None)));
        }
        if let Some((holder, competitor)) = passed.lost {
            self.note_pending(pending, holder, &lane.claim(competitor), now);
            errands.lost = entry.relay.take().map(Box::new);
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
            self.have_asked(*ask);
        }
        if let Some(undo) = undo {
            let (claim, asker) = *undo;
            self.undo(claim, asker);
        }
        if let Some(at) = look_by {
            self.watch.look_by(at);
        }
        if let Some(relay) = lost {
            relay.end(LossReason::Expired);
        }
        to_wake.into_iter().for_each(|called| called.bell.ring(None));
    }

    /// Has the backend undo an acquisition of its own, once nothing asks for it.
    pub(super) fn undo(&self, claim: Claim, asker: Asker) {
        let backend = Arc::clone(&self.backend);
        self.background.spawn(async move {
            match asker {
                Asker::None => {}
                Asker::Keeper(asking) => {
                    asking.abort();
                    let _ = asking.await;
                }
                Asker::Caller(in_place) => in_place.end().await,
            }
            release::until_gone(backend, claim).await;
        });
    }

    pub(super) async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let lane = self.lane(&request.claim);
        let entered = self.enter(&lane, request)?;
        let place = InLine { queues: self, lane: &lane, owner: request.claim.owner };
        let mut turn = match entered {
            Entered::Waits(bell) => self.wait(&lane, request, Some(bell)).await?,
            Entered::Has(turn) => turn,
        };
        let grant = loop {
            turn = match turn {
                LineTurn::Granted(grant) => break grant,
                LineTurn::Asks(in_place) => {
                    let outcome = in_place.ask().await;
                    match self.asked_in_place(&lane, request, in_place, outcome)? {
                        Some(grant) => break grant,
                        None => self.wait(&lane, request, None).await?,
                    }
                }
            };
        };
        std::mem::forget(place);
        Ok(grant)
    }

    /// Decides what the keeper asks for, under a new owner: requests of an earlier one may still be under way.
    fn begin_asking(&self, lane: &Lane, entry: &mut QueueEntry) -> Option<AskErrand> {
        let competitor = lane.claim(OwnerId::random().ok()?);
        let (progress, observer) =
            (Arc::new(entry.progress().asked_again()), self.observer(lane, &competitor));
        entry.progress().follow(&progress);
        entry.observe(observer.clone(), LossSignal::idle());
        entry.queue.asking(competitor.owner);
        let request = AcquireRequest::of(competitor, Mode::Wait, progress, observer);
        Some(AskErrand { lane: lane.clone(), request })
    }

    /// Asks, unless that was given up meanwhile.
    fn have_asked(&self, errand: AskErrand) {
        let AskErrand { lane, request } = errand;
        let competitor = request.claim.clone();
        let asking = asking::ask(Arc::clone(&self.backend), request);
        self.queues.with(&lane, |entry, _| {
            if entry.queue.is_asking(competitor.owner) {
                entry.asking = self.keep_asking(lane.clone(), competitor, asking);
            }
        });
    }

    /// A task of the keeper, which asks until the answer is there.
    pub(super) fn keep_asking(
        &self,
        lane: Lane,
        competitor: Claim,
        asking: Asking,
    ) -> Option<AbortOnDropHandle<()>> {
        let queues = self.this.upgrade()?;
        Some(self.background.attend(async move {
            match asking::outcome(asking).await {
                Ok(grant) => queues.granted(&lane, competitor, &grant),
                Err(error) => queues.failed(&lane, competitor, &error),
            }
        }))
    }

    fn granted(&self, lane: &Lane, competitor: Claim, grant: &Grant) {
        let is_offered = self.step(lane, |entry, _, now| {
            entry.progress().queued();
            let is_offered = entry.queue.offer(competitor.owner, grant, now);
            entry.withdraw_if_lost();
            is_offered
        });
        if !is_offered {
            self.undo(competitor, Asker::None);
        }
    }

    /// Waiting cannot help: all who wait learn why.
    fn failed(&self, lane: &Lane, competitor: Claim, error: &LockError) {
        let told = self.step(lane, |entry, _, _| entry.queue.failed(competitor.owner));
        self.undo(competitor, Asker::None);
        told.into_iter().for_each(|called| called.bell.ring(Some(error.clone())));
    }

    /// A caller that has to wait can be woken before anything else looks at the queue.
    fn enter(&self, lane: &Lane, request: &AcquireRequest) -> Result<Entered, LockError> {
        let (entered, passed) = self.step(lane, |entry, pending, now| {
            // A caller that comes finds what time has changed.
            let passed = self.pass_time(lane, entry, pending, now);
            (self.enter_line(lane, entry, request, now), passed)
        });
        self.run(passed);
        entered
    }

    fn enter_line(
        &self,
        lane: &Lane,
        entry: &mut QueueEntry,
        request: &AcquireRequest,
        now: Moment,
    ) -> Result<Entered, LockError> {
        let entered = match entry.queue.enter(request.claim.owner, request.mode) {
            EnterOutcome::Busy => return Err(busy()),
            EnterOutcome::AskInPlace => {
                Entered::Has(LineTurn::Asks(self.begin_in_place(lane, entry, request, now)?))
            }
            EnterOutcome::Wait(bell) => Entered::Waits(bell),
            EnterOutcome::Has(grant) => Entered::Has(LineTurn::Granted(grant)),
        };
        request.progress.follow(entry.progress());
        Ok(entered)
    }

    /// Waits until something is offered that this waiter can take, or until it is its turn to ask.
    async fn wait(
        &self,
        lane: &Lane,
        request: &AcquireRequest,
        entered: Option<Arc<Bell<LockError>>>,
    ) -> Result<LineTurn, LockError> {
        // A waiter that has just entered is woken if there is something for it already.
        let has_entered = entered.is_some();
        let bell = entered.unwrap_or_else(|| self.stay_in_line(lane, request));
        let mut turn = if has_entered { None } else { self.take(lane, request)? };
        loop {
            if let Some(turn) = turn {
                return Ok(turn);
            }
            if let Some(error) = bell.rung().await {
                return Err(error);
            }
            turn = self.take(lane, request)?;
        }
    }

    /// A caller that has asked for itself can be woken from here on, and is in line from here on at the latest.
    fn stay_in_line(&self, lane: &Lane, request: &AcquireRequest) -> Arc<Bell<LockError>> {
        self.step(lane, |entry, _, _| {
            request.progress.follow(entry.progress());
            entry.queue.stay(request.claim.owner)
        })
    }

    /// Takes what is offered: from here on what the backend says of it concerns this request.
    fn take(&self, lane: &Lane, request: &AcquireRequest) -> Result<Option<LineTurn>, LockError> {
        self.step(lane, |entry, _, now| {
            entry.withdraw_if_lost();
            Ok(match entry.queue.take(request.claim.owner, now) {
                TakeOutcome::Wait => None,
                TakeOutcome::AskInPlace => {
                    Some(LineTurn::Asks(self.begin_in_place(lane, entry, request, now)?))
                }
                TakeOutcome::Has(grant) => {
                    entry.relay.iter_mut().for_each(|relay| relay.pass_to(request.loss()));
                    Some(LineTurn::Granted(grant))
                }
            })
        })
    }

    pub(super) fn observer(&self, lane: &Lane, competitor: &Claim) -> Arc<BackendObserver> {
        let queues: Weak<dyn ObservedQueues> = Weak::<Self>::clone(&self.this);
        Arc::new(BackendObserver { queues, lane: lane.clone(), competitor: competitor.owner })
    }

    pub(super) async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
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
        let owner = self.queues.with(lane, |entry, _| entry.queue.held_by(claim.owner))?;
        Some(lane.claim(owner))
    }

    pub(super) async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let lane = self.lane(claim);
        let Left { is_handed_over, over, mut left_over } = self.leave(&lane, claim.owner);
        let mut outcome = is_handed_over.then_some(Ok(()));
        if let Some(competitor) = over {
            let unconfirmed =
                Unconfirmed { queues: self, lane: &lane, owner: claim.owner, competitor: &competitor };
            let released = self.backend.release(&competitor).await;
            if is_to_repeat(&released) {
                return released;
            }
            std::mem::forget(unconfirmed);
            outcome = Some(released);
        }
        while let Some(competitor) = left_over {
            let released = self.backend.release(&competitor).await;
            if is_to_repeat(&released) {
                self.note_unconfirmed(&lane, claim.owner, &competitor);
                return released;
            }
            // What came of the latest acquisition is what the caller asks about.
            outcome.get_or_insert(released);
            left_over = self.queues.pending(&lane, |pending| {
                pending.is_gone(claim.owner, competitor.owner);
                pending.of(claim.owner)
            });
        }
        outcome.unwrap_or_else(|| Err(not_owner()))
    }

    /// The release of `owner` is asked for again.
    fn note_unconfirmed(&self, lane: &Lane, owner: OwnerId, competitor: &Claim) {
        let now = Moment::now();
        self.queues.pending(lane, |pending| self.note_pending(pending, owner, competitor, now));
    }

    pub(super) async fn revoked(&self, claim: &Claim) {
        let lane = self.lane(claim);
        match self.held_by(&lane, claim) {
            Some(competitor) => {
                self.backend.revoked(&competitor).await;
                self.queues.with(&lane, |entry, _| entry.queue.revoked(competitor.owner));
            }
            None => std::future::pending().await,
        }
    }

    /// Makes the owner leave its queue. Does not wait.
    fn leave(&self, lane: &Lane, owner: OwnerId) -> Left {
        let (left, undo, ended) = self.step(lane, |entry, pending, now| {
            let (mut over, mut undo, mut ended) = (None, None, None);
            entry.note_in_place();
            let left = entry.queue.leave(owner, self.hand_over, now);
            let is_handed_over = matches!(left, LeaveOutcome::HandedOver);
            match left {
                LeaveOutcome::Over(competitor) => {
                    (entry.relay, ended) = (None, entry.in_place.take().and_then(|in_place| in_place.take()));
                    over = Some(lane.claim(competitor));
                }
                LeaveOutcome::Followed(competitor) => {
                    over = (!self.go_on_without_caller(lane, entry)).then(|| lane.claim(competitor));
                }
                LeaveOutcome::Abandoned(competitor) => {
                    entry.relay = None;
                    undo = Some((
                        lane.claim(competitor),
                        entry.asking.take().map_or(Asker::None, Asker::Keeper),
                    ));
                }
                LeaveOutcome::HandedOver => {
                    entry.relay.iter_mut().for_each(|relay| relay.pass_to(LossSignal::idle()));
                }
                LeaveOutcome::Unknown | LeaveOutcome::Quietly => {}
            }
            (Left { is_handed_over, over, left_over: pending.of(owner) }, undo, ended)
        });
        // Dropped while nothing is locked, for it is of the backend.
        drop(ended);
        if let Some((competitor, asking)) = undo {
            self.undo(competitor, asking);
        }
        left
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
            if let Some(holder) = entry.queue.lost(competitor)? {
                self.note_pending(pending, holder, &lane.claim(competitor), now);
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
pub(super) struct InLine<'a> {
    pub(super) queues: &'a HandOverState,
    pub(super) lane: &'a Lane,
    pub(super) owner: OwnerId,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let left = self.queues.leave(self.lane, self.owner);
        if let Some(competitor) = left.over {
            self.queues.note_unconfirmed(self.lane, self.owner, &competitor);
        }
    }
}

/// A release that is under way. Dropped before it is confirmed, it is for the release that follows (I4).
struct Unconfirmed<'a> {
    queues: &'a HandOverState,
    lane: &'a Lane,
    owner: OwnerId,
    competitor: &'a Claim,
}

impl Drop for Unconfirmed<'_> {
    fn drop(&mut self) {
        self.queues.note_unconfirmed(self.lane, self.owner, self.competitor);
    }
}

/// Whether the caller is to release again.
fn is_to_repeat(released: &Result<(), LockError>) -> bool {
    released.as_ref().is_err_and(|error| error.kind() != ErrorKind::Lost)
}

pub(super) fn not_owner() -> LockError {
    LockError::new(ErrorKind::Lost, "the owner no longer has the lock; acquire it again")
}

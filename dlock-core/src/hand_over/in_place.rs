//! Asking in the own future of a caller, and what the keeper does with a request that its caller does not come for.

use super::asking::{AskedInPlace, Asking, InPlace};
use super::lane::Lane;
use super::loss_relay::ObservedQueues as _;
use super::queue::{InPlaceStanding, PATIENCE};
use super::queue_map::QueueEntry;
use super::state::{Asker, HandOverState};
use crate::backend::answers::busy;
use crate::backend::{AcquireRequest, Claim, Grant, LossSignal, Mode};
use crate::error::{ErrorKind, LockError};
use crate::lease::OwnerId;
use crate::time::Moment;
use std::sync::Arc;

impl HandOverState {
    /// Has the caller ask, in its own future, for an acquisition of its own.
    pub(super) fn begin_in_place(
        &self,
        lane: &Lane,
        entry: &mut QueueEntry,
        request: &AcquireRequest,
        now: Moment,
    ) -> Result<InPlace, LockError> {
        let claim = lane.claim(OwnerId::random()?);
        let observer = self.observer(lane, &claim);
        entry.queue.ask_in_place(request.claim.owner, claim.owner, request.mode, now);
        let progress = entry.progress_of(&request.progress);
        entry.observe(observer.clone(), request.loss());
        let asked = AcquireRequest::of(claim, request.mode, progress, observer);
        let in_place = InPlace::new(Arc::clone(&self.backend), asked, Arc::clone(&self.watch));
        entry.in_place = Some(in_place.clone());
        Ok(in_place)
    }

    /// What comes of asking in the caller's own future. `None` if the caller waits for the keeper from here on.
    pub(super) fn asked_in_place(
        &self,
        lane: &Lane,
        request: &AcquireRequest,
        in_place: InPlace,
        outcome: AskedInPlace,
    ) -> Result<Option<Grant>, LockError> {
        // From here on nothing asks for it, so nothing keeps it.
        let competitor = lane.claim(in_place.competitor());
        drop(in_place);
        match outcome {
            AskedInPlace::Answered(outcome) => self.answered_in_place(lane, request, &competitor, outcome),
            AskedInPlace::Displaced => self.displaced(lane, request, &competitor),
        }
    }

    fn answered_in_place(
        &self,
        lane: &Lane,
        request: &AcquireRequest,
        competitor: &Claim,
        outcome: Result<Grant, LockError>,
    ) -> Result<Option<Grant>, LockError> {
        let owner = request.claim.owner;
        let granted = match outcome {
            Ok(granted) => granted,
            Err(error) => return self.failed_in_place(lane, request, competitor, error),
        };
        if granted.valid_until <= Moment::now() && request.mode == Mode::Wait {
            return Ok(self.came_too_late(lane, owner, competitor));
        }
        let (grant, loss) = self.step(lane, |entry, _, now| {
            let grant = entry.queue.granted_in_place(owner, &granted, now);
            if grant.is_some() {
                entry.note_grant();
                entry.in_place = None;
            }
            (grant, entry.relay.as_ref().and_then(|relay| relay.loss))
        });
        match (grant, loss) {
            (None, _) => self.displaced(lane, request, competitor),
            (grant, Some(reason)) => {
                self.lose(lane, competitor.owner, reason);
                Ok(grant)
            }
            (grant, None) => Ok(grant),
        }
    }

    /// The caller came for its grant when the lease was over. It waits on, and the keeper asks.
    fn came_too_late(&self, lane: &Lane, owner: OwnerId, competitor: &Claim) -> Option<Grant> {
        self.step(lane, |entry, _, _| {
            if entry.queue.refused_in_place(owner) {
                entry.in_place = None;
            }
        });
        self.undo(competitor.clone(), Asker::None);
        None
    }

    /// What a caller's own request ends with is no concern of a caller that the keeper asks for by now.
    fn failed_in_place(
        &self,
        lane: &Lane,
        request: &AcquireRequest,
        competitor: &Claim,
        error: LockError,
    ) -> Result<Option<Grant>, LockError> {
        let owner = request.claim.owner;
        let left_nothing = error.kind() == ErrorKind::Busy || error.leaves_nothing();
        let still_asked = self.step(lane, |entry, pending, _| {
            let still_asked = entry.queue.asks_in_place(owner);
            if request.mode == Mode::Try && left_nothing {
                if entry.queue.refused_in_place(owner) {
                    entry.in_place = None;
                }
                // Its owner will not release, if the keeper asks by now, either.
                pending.is_gone(owner, competitor.owner);
            }
            still_asked
        });
        match still_asked {
            true => Err(error),
            false => self.displaced(lane, request, competitor),
        }
    }

    /// The keeper asks by now, and undoes what this caller may have got.
    fn displaced(
        &self,
        lane: &Lane,
        request: &AcquireRequest,
        competitor: &Claim,
    ) -> Result<Option<Grant>, LockError> {
        self.queues.pending(lane, |pending| pending.is_gone(request.claim.owner, competitor.owner));
        match request.mode {
            Mode::Wait => Ok(None),
            Mode::Try => Err(busy()),
        }
    }

    /// Takes note of how it stands with the caller that asks for itself. The keeper goes on with what it does not come for.
    /// When to look again, if it was polled after all.
    pub(super) fn follow_in_place(&self, lane: &Lane, entry: &mut QueueEntry, now: Moment) -> Option<Moment> {
        let in_place = entry.in_place.as_ref()?;
        let standing = in_place.standing();
        entry.queue.note_in_place(standing);
        if !entry.queue.is_to_follow(now) {
            return None;
        }
        let Some(asking) = in_place.take_from_unpolled() else {
            entry.queue.note_in_place(InPlaceStanding { woken: None, ..standing });
            return Some(now.after(PATIENCE));
        };
        self.go_on(lane, entry, asking);
        entry.queue.follow();
        None
    }

    /// The keeper goes on with the request of a caller that leaves, unless that ended in a panic. Whether it does.
    pub(super) fn go_on_without_caller(&self, lane: &Lane, entry: &mut QueueEntry) -> bool {
        let asking = entry.in_place.as_ref().and_then(InPlace::take);
        let goes_on = asking.is_some();
        match asking {
            Some(asking) => self.go_on(lane, entry, asking),
            None => entry.queue.not_followed(),
        }
        goes_on
    }

    /// What a caller asked goes on as a task of the keeper.
    fn go_on(&self, lane: &Lane, entry: &mut QueueEntry, asking: Asking) {
        entry.in_place = None;
        let Some(relay) = entry.relay.as_mut() else { return };
        relay.pass_to(LossSignal::idle());
        entry.asking = self.keep_asking(lane.clone(), lane.claim(relay.competitor()), asking);
    }
}

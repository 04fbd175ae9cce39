//! Giving up what the competitor of one queue has for another share of the key, which has a queue of its own.

use super::lane::Lane;
use super::loss_relay::ObservedQueues as _;
use super::queue::{EnterOutcome, InPlaceStanding};
use super::queue_map::QueueEntry;
use super::state::{HandOverState, InLine, not_owner};
use crate::backend::answers::busy;
use crate::backend::{AcquireRequest, Claim, Grant, Mode};
use crate::error::{ErrorKind, LockError};
use crate::lease::OwnerId;
use std::sync::Arc;

impl HandOverState {
    /// The waiters behind the holder ask again, in their order, for the key is no longer this queue's.
    pub(super) async fn exchange(&self, held: &Claim, wanted: &AcquireRequest) -> Result<Grant, LockError> {
        let (from, to) = (self.lane(held), self.lane(&wanted.claim));
        if let Some(grant) = self.queues.with(&to, |entry, _| entry.queue.held(wanted.claim.owner)) {
            return Ok(grant);
        }
        let former = self.begin_exchange(&from, held)?;
        let request = self.enter_exchange(&to, wanted)?;
        let place = InLine { queues: self, lane: &to, owner: wanted.claim.owner };
        let grant = match self.backend.exchange(&former, &request).await {
            Ok(grant) => self.exchanged(&from, former.owner, &to, wanted, &grant),
            Err(error) => return Err(self.refused_exchange(&to, wanted, place, error)),
        };
        std::mem::forget(place);
        grant
    }

    /// From here on the grant is not handed over: whatever becomes of the exchange, it may be gone.
    fn begin_exchange(&self, from: &Lane, held: &Claim) -> Result<Claim, LockError> {
        let former = self.queues.with(from, |entry, _| {
            let competitor = entry.queue.held_by(held.owner)?;
            entry.queue.revoked(competitor);
            Some(competitor)
        });
        former.map(|competitor| from.claim(competitor)).ok_or_else(not_owner)
    }

    /// The owner asks in the queue of what it wants, as for a try. Another that holds there, or waits, is ahead.
    fn enter_exchange(&self, to: &Lane, wanted: &AcquireRequest) -> Result<AcquireRequest, LockError> {
        self.step(to, |entry, _, now| {
            let owner = wanted.claim.owner;
            match entry.queue.enter(owner, Mode::Try) {
                EnterOutcome::AskInPlace => {}
                _ => return Err(busy()),
            }
            let claim = to.claim(OwnerId::random()?);
            let observer = self.observer(to, &claim);
            entry.queue.ask_in_place(owner, claim.owner, Mode::Try, now);
            // The keeper asks for no other meanwhile.
            entry.queue.note_in_place(InPlaceStanding { woken: None, is_queued: true });
            entry.observe(observer.clone(), wanted.loss());
            Ok(AcquireRequest::of(claim, Mode::Try, Arc::clone(&wanted.progress), observer))
        })
    }

    fn exchanged(
        &self,
        from: &Lane,
        former: OwnerId,
        to: &Lane,
        wanted: &AcquireRequest,
        grant: &Grant,
    ) -> Result<Grant, LockError> {
        let (granted, loss) = self.step(to, |entry, _, now| {
            let granted = entry.queue.granted_in_place(wanted.claim.owner, grant, now);
            entry.note_grant();
            let loss = entry.relay.as_ref().and_then(|relay| Some((relay.competitor(), relay.loss?)));
            (granted, loss)
        });
        self.step(from, |entry, _, _| {
            if entry.queue.lost(former).is_some() {
                entry.relay = None;
            }
        });
        if let Some((competitor, reason)) = loss {
            self.lose(to, competitor, reason);
        }
        granted.ok_or_else(not_owner)
    }

    /// A refusal leaves nothing. After any other error the wanted owner is released, as one that leaves its place is.
    fn refused_exchange(
        &self,
        to: &Lane,
        wanted: &AcquireRequest,
        place: InLine<'_>,
        error: LockError,
    ) -> LockError {
        if error.kind() == ErrorKind::Busy {
            std::mem::forget(place);
            self.step(to, |entry: &mut QueueEntry, _, _| {
                if entry.queue.refused_in_place(wanted.claim.owner) {
                    entry.relay = None;
                }
            });
        }
        error
    }
}

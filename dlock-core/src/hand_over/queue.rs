//! Who of one process wants one key, and whose turn it is. Pure.
//!
//! However many wait here, one acquisition competes for all of them at the backend. What it was granted goes from
//! one to the next, each under a token of its own, until the queue has had its share; then the backend's queue
//! decides again.
//!
//! What has to be asked is asked by the first waiter, in its own future, which costs no detour: it is *invited*, and asks
//! when it is polled.
//!
//! Nothing here waits for a waiter that is not polled. If the one that is invited does not come within [`PATIENCE`], the
//! keeper asks. If the one that asks does not come for its answer, the keeper goes on with its request. What the keeper is
//! granted is *offered*, as is what a holder of this process releases: the first waiter takes it when it is polled. If it
//! does not within [`PATIENCE`], the offer widens to the next one as well. A waiter that let an offer or an invitation pass
//! is parked, and counts again once it is polled.

use super::line::{Called, CalledWaiters, Line, LineInUse, PlaceInLine};
use super::share::{GrantShare, HandOver};
use crate::backend::bell::Bell;
use crate::backend::{Grant, Mode};
use crate::error::LockError;
use crate::lease::OwnerId;
use crate::time::Moment;
use std::sync::Arc;
use std::time::Duration;

/// How long a waiter that is not polled can keep others waiting: an offer widens after this long, and a caller that asks
/// the backend itself is followed by the keeper.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// The waiters of one key, and what there is towards the backend.
#[derive(Debug, Default)]
pub(super) struct KeyQueue {
    /// First come, first served.
    waiters: Line,
    stage: Stage,
}

/// What there is towards the backend.
#[derive(Debug, Default)]
enum Stage {
    /// Nothing is asked for, and nothing held.
    #[default]
    Free,
    /// The keeper is to ask.
    ForKeeper,
    /// This waiter is to ask for itself.
    Invited {
        owner: OwnerId,
        since: Moment,
    },
    /// A caller asks for itself, in its own future.
    InPlace {
        owner: OwnerId,
        competitor: OwnerId,
        mode: Mode,
        since: Moment,
        stands: InPlaceStanding,
    },
    /// The keeper asks for all.
    Asking {
        competitor: OwnerId,
    },
    /// Who waits may take it.
    Offered {
        share: GrantShare,
        since: Moment,
    },
    Held {
        holder: OwnerId,
        share: GrantShare,
    },
}

/// How it stands with a caller that asks for itself.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct InPlaceStanding {
    /// When it was woken, if it was not polled since.
    pub(super) woken: Option<Moment>,
    /// Whether the backend has answered that it has to wait.
    pub(super) is_queued: bool,
}

/// What a waiter that is polled has to do.
#[derive(Debug)]
pub(super) enum TakeOutcome {
    /// Wait on.
    Wait,
    /// Ask the backend for itself.
    AskInPlace,
    Has(Grant),
}

/// What a request that enters has to do.
#[derive(Debug)]
pub(super) enum EnterOutcome {
    /// Ask the backend for itself.
    AskInPlace,
    /// Wait for this.
    Wait(Arc<Bell<LockError>>),
    /// Another owner has the lock, or is ahead.
    Busy,
    /// It has the lock already.
    Has(Grant),
}

/// What there is to do when an owner left.
#[derive(Debug)]
pub(super) enum LeaveOutcome {
    /// It was not here.
    Unknown,
    /// Nothing: it only waited.
    Quietly,
    /// The lock is offered to the next.
    HandedOver,
    /// The backend is to be told that this acquisition of its own is over.
    Over(OwnerId),
    /// The keeper goes on with its request for this acquisition, for the others.
    Followed(OwnerId),
    /// It was the last that the keeper asked for: that has to be undone.
    Abandoned(OwnerId),
}

/// What there is to do because time passed.
#[derive(Debug, Default)]
pub(super) struct TimePassed {
    /// A caller that asked for itself and is not polled, and for which acquisition: what it may have got has to be undone.
    pub(super) displaced: Option<(OwnerId, OwnerId)>,
    /// A grant that was not taken: it has to go back.
    pub(super) returned: Option<OwnerId>,
    /// This lease ended without a word: who had it, and for which acquisition.
    pub(super) lost: Option<(OwnerId, OwnerId)>,
}

impl KeyQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty() && matches!(self.stage, Stage::Free)
    }

    /// Whether this process has what was asked for.
    pub(super) fn is_granted(&self) -> bool {
        matches!(self.stage, Stage::Offered { .. } | Stage::Held { .. })
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Where this waiter stands. `None` if it does not wait here.
    pub(super) fn place_in_line(&self, owner: OwnerId) -> Option<PlaceInLine> {
        let in_line = || self.waiters.place_of(owner);
        let (ahead, competitor) = match &self.stage {
            Stage::InPlace { owner: asking, competitor, .. } if *asking == owner => {
                (Some(0), Some(*competitor))
            }
            Stage::InPlace { competitor, .. } => (in_line().map(|place| place + 1), Some(*competitor)),
            Stage::Asking { competitor } => (in_line(), Some(*competitor)),
            _ => (in_line(), None),
        };
        Some(PlaceInLine { ahead: ahead?, competitor })
    }

    /// An owner wants the lock.
    pub(super) fn enter(&mut self, owner: OwnerId, mode: Mode) -> EnterOutcome {
        if let Some(grant) = self.held(owner) {
            return EnterOutcome::Has(grant);
        }
        if matches!(self.stage, Stage::Free) && !self.waiters.has_candidates() {
            return EnterOutcome::AskInPlace;
        }
        if mode == Mode::Try {
            return EnterOutcome::Busy;
        }
        EnterOutcome::Wait(self.waiters.enter_last(owner))
    }

    /// This caller, which is to ask for itself, does so from here on, for this acquisition.
    pub(super) fn ask_in_place(&mut self, owner: OwnerId, competitor: OwnerId, mode: Mode, now: Moment) {
        if let Some(place) = self.waiters.place_of(owner) {
            self.waiters.remove(place);
        }
        let stands = InPlaceStanding::default();
        self.stage = Stage::InPlace { owner, competitor, mode, since: now, stands };
    }

    /// Whether this caller still asks for itself.
    pub(super) fn asks_in_place(&self, owner: OwnerId) -> bool {
        matches!(&self.stage, Stage::InPlace { owner: asking, .. } if *asking == owner)
    }

    /// Takes note of how it stands with the caller that asks for itself.
    pub(super) fn note_in_place(&mut self, how: InPlaceStanding) {
        if let Stage::InPlace { stands, .. } = &mut self.stage {
            *stands = how;
        }
    }

    /// When the keeper asks instead of a caller that asks for itself: when it is not answered for too long while others
    /// wait.
    fn displaced_at(&self) -> Option<Moment> {
        match &self.stage {
            Stage::InPlace { since, stands, .. } if !stands.is_queued && self.waiters.has_candidates() => {
                Some(since.after(PATIENCE))
            }
            _ => None,
        }
    }

    /// When the keeper goes on with the request of a caller that asks for itself: when there is something for it to come
    /// for, and it does not. What is only tried is not kept by the servers for a caller that does not come, so it is left to
    /// the caller.
    fn followed_at(&self) -> Option<Moment> {
        match &self.stage {
            Stage::InPlace { mode: Mode::Wait, stands, .. } => {
                stands.woken.map(|woken| woken.after(PATIENCE))
            }
            _ => None,
        }
    }

    /// Whether the keeper is to go on with the request of the caller that asks for itself.
    pub(super) fn is_to_follow(&self, now: Moment) -> bool {
        self.followed_at().is_some_and(|at| at <= now)
    }

    /// The keeper goes on with the request of the caller that asks for itself. The caller waits for it, and is parked.
    pub(super) fn follow(&mut self) {
        if let Stage::InPlace { owner, competitor, .. } = self.stage {
            self.waiters.enter_first(owner);
            self.waiters.change(LineInUse::park_first);
            self.stage = Stage::Asking { competitor };
        }
    }

    /// The backend granted the lock to a caller that asked for itself. `None` if it no longer does: the grant has to
    /// go back.
    pub(super) fn granted_in_place(&mut self, owner: OwnerId, grant: &Grant, now: Moment) -> Option<Grant> {
        match std::mem::take(&mut self.stage) {
            Stage::InPlace { owner: asking, competitor, .. } if asking == owner => {
                Some(self.hold(owner, GrantShare::new(competitor, grant, now)))
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// The backend refused a caller that asked for itself, and keeps nothing of it. `false` if it no longer asked.
    pub(super) fn refused_in_place(&mut self, owner: OwnerId) -> bool {
        let asked = self.asks_in_place(owner);
        if asked {
            self.stage = Stage::Free;
        }
        asked
    }

    /// This waiter has asked for itself. It may have been told meanwhile that waiting cannot help, and could not
    /// be reached: then it is the first in line. What it waits for.
    pub(super) fn stay(&mut self, owner: OwnerId) -> Arc<Bell<LockError>> {
        if self.waiters.place_of(owner).is_none() {
            self.waiters.enter_first(owner);
        }
        self.waiters.bell_of(owner).cloned().unwrap_or_default()
    }

    /// The first waiter is to ask, if there is one, and nothing is asked for, offered or held.
    pub(super) fn invite(&mut self, now: Moment) {
        if let (Stage::Free, Some(first)) = (&self.stage, self.waiters.candidates().next()) {
            self.stage = Stage::Invited { owner: first.owner, since: now };
        }
    }

    /// The keeper cannot go on with the request of the caller that left.
    pub(super) fn not_followed(&mut self) {
        self.stage = Stage::ForKeeper;
    }

    /// Whether the keeper has to ask.
    pub(super) fn is_for_keeper(&self) -> bool {
        matches!(self.stage, Stage::ForKeeper)
    }

    /// The keeper asks for this acquisition.
    pub(super) fn asking(&mut self, competitor: OwnerId) {
        self.stage = Stage::Asking { competitor };
    }

    /// Whether the keeper still asks for this acquisition.
    pub(super) fn is_asking(&self, competitor: OwnerId) -> bool {
        matches!(&self.stage, Stage::Asking { competitor: asked } if *asked == competitor)
    }

    /// The backend granted what the keeper asked for: it is offered. `false` if no waiter wants it.
    pub(super) fn offer(&mut self, competitor: OwnerId, grant: &Grant, now: Moment) -> bool {
        match std::mem::take(&mut self.stage) {
            Stage::Asking { competitor: asked } if asked == competitor => {
                self.offer_to_candidates(GrantShare::new(asked, grant, now), now).is_none()
            }
            other => {
                self.stage = other;
                false
            }
        }
    }

    /// Without a waiter to take it, the share comes back.
    fn offer_to_candidates(&mut self, share: GrantShare, now: Moment) -> Option<GrantShare> {
        if !self.waiters.has_candidates() {
            return Some(share);
        }
        self.stage = Stage::Offered { share, since: now };
        None
    }

    /// The backend will not grant what the keeper asked for. All who waited for it.
    pub(super) fn failed(&mut self, competitor: OwnerId) -> CalledWaiters {
        if !self.is_asking(competitor) {
            return CalledWaiters::new();
        }
        self.stage = Stage::Free;
        self.waiters.take_all()
    }

    /// What is offered is offered no more. `false` if nothing is.
    pub(super) fn withdraw(&mut self) -> bool {
        let is_offered = matches!(self.stage, Stage::Offered { .. });
        if is_offered {
            self.stage = Stage::Free;
        }
        is_offered
    }

    /// Those that may take the offer.
    pub(super) fn offered_to(&self, now: Moment) -> impl Iterator<Item = &Called> {
        let reach = match &self.stage {
            Stage::Offered { since, .. } => reach(*since, now),
            _ => 0,
        };
        self.waiters.candidates().take(reach)
    }

    /// Those that have to be woken: they may take the offer, are invited, or let something pass.
    pub(super) fn take_to_wake(&mut self, now: Moment) -> CalledWaiters {
        let mut to_wake: CalledWaiters = self.offered_to(now).cloned().collect();
        if let Stage::Invited { owner, .. } = self.stage {
            to_wake.extend(self.waiters.candidates().find(|first| first.owner == owner).cloned());
        }
        self.waiters.change(|line| line.take_to_wake(&mut to_wake));
        to_wake
    }

    /// This waiter was polled. What it gets, if it is offered something: those before it let that pass.
    pub(super) fn take(&mut self, owner: OwnerId, now: Moment) -> TakeOutcome {
        let Some(place) = self.waiters.place_of(owner) else { return TakeOutcome::Wait };
        self.waiters.change(|line| line.unpark(place));
        match std::mem::take(&mut self.stage) {
            Stage::Invited { owner: invited, since } if invited == owner => {
                self.stage = Stage::Invited { owner, since };
                TakeOutcome::AskInPlace
            }
            Stage::Offered { share, since }
                if share.valid_until > now && self.is_reached(owner, since, now) =>
            {
                self.waiters.remove(place);
                self.waiters.change(|line| line.park(place));
                TakeOutcome::Has(self.hold(owner, share))
            }
            other => {
                self.stage = other;
                TakeOutcome::Wait
            }
        }
    }

    /// Whether what is offered since then is offered to this one.
    fn is_reached(&self, owner: OwnerId, since: Moment, now: Moment) -> bool {
        self.waiters.candidates().take(reach(since, now)).any(|offered| offered.owner == owner)
    }

    fn hold(&mut self, holder: OwnerId, mut share: GrantShare) -> Grant {
        let grant = share.serve();
        self.stage = Stage::Held { holder, share };
        grant
    }

    /// What this owner has.
    pub(super) fn held(&self, owner: OwnerId) -> Option<Grant> {
        match &self.stage {
            Stage::Held { holder, share } if *holder == owner => Some(share.last()),
            _ => None,
        }
    }

    /// The acquisition that the holder's lease belongs to.
    pub(super) fn held_by(&self, owner: OwnerId) -> Option<OwnerId> {
        match &self.stage {
            Stage::Held { holder, share } if *holder == owner => Some(share.competitor),
            _ => None,
        }
    }

    fn share_of(&mut self, competitor: OwnerId) -> Option<&mut GrantShare> {
        match &mut self.stage {
            Stage::Offered { share, .. } | Stage::Held { share, .. } => {
                Some(share).filter(|share| share.competitor == competitor)
            }
            _ => None,
        }
    }

    /// The lease is valid until then.
    pub(super) fn renewed(&mut self, competitor: OwnerId, valid_until: Moment) {
        if let Some(share) = self.share_of(competitor) {
            share.valid_until = share.valid_until.max(valid_until);
        }
    }

    /// What the competitor was granted is gone. Who had it, if anybody had taken it.
    pub(super) fn lost(&mut self, competitor: OwnerId) -> Option<Option<OwnerId>> {
        self.share_of(competitor)?;
        match std::mem::take(&mut self.stage) {
            Stage::Held { holder, .. } => Some(Some(holder)),
            Stage::Offered { .. } => Some(None),
            _ => None,
        }
    }

    /// A client asks the competitor to let go: its grant is handed over no more.
    pub(super) fn revoked(&mut self, competitor: OwnerId) {
        if let Some(share) = self.share_of(competitor) {
            share.end();
        }
    }

    /// An owner leaves: the holder, a waiter, or a caller that asks for itself.
    pub(super) fn leave(&mut self, owner: OwnerId, share: HandOver, now: Moment) -> LeaveOutcome {
        match std::mem::take(&mut self.stage) {
            Stage::Held { holder, share: granted } if holder == owner => self.hand_over(granted, share, now),
            Stage::InPlace { owner: asking, competitor, stands, .. } if asking == owner => {
                self.leave_in_place(competitor, stands)
            }
            other => {
                self.stage = other;
                self.leave_line(owner)
            }
        }
    }

    /// A caller that asks for itself gives up. The place that the backend keeps for it is for those behind it.
    fn leave_in_place(&mut self, competitor: OwnerId, stands: InPlaceStanding) -> LeaveOutcome {
        if !stands.is_queued || !self.waiters.has_candidates() {
            return LeaveOutcome::Over(competitor);
        }
        self.stage = Stage::Asking { competitor };
        LeaveOutcome::Followed(competitor)
    }

    /// The holder is done. The next waiter is offered the lock, or the queue has had its share.
    fn hand_over(&mut self, granted: GrantShare, share: HandOver, now: Moment) -> LeaveOutcome {
        let over = match granted.has_more(share, now) {
            true => self.offer_to_candidates(granted, now),
            false => Some(granted),
        };
        over.map_or(LeaveOutcome::HandedOver, |granted| LeaveOutcome::Over(granted.competitor))
    }

    fn leave_line(&mut self, owner: OwnerId) -> LeaveOutcome {
        let Some(place) = self.waiters.place_of(owner) else {
            return LeaveOutcome::Unknown;
        };
        self.waiters.remove(place);
        match &self.stage {
            Stage::Invited { owner: invited, .. } if *invited == owner => self.stage = Stage::Free,
            Stage::ForKeeper if !self.waiters.has_candidates() => self.stage = Stage::Free,
            Stage::Asking { .. } if self.waiters.is_empty() => return self.abandon(),
            Stage::Offered { .. } if !self.waiters.has_candidates() => return self.abandon(),
            _ => {}
        }
        LeaveOutcome::Quietly
    }

    fn abandon(&mut self) -> LeaveOutcome {
        match std::mem::take(&mut self.stage) {
            Stage::Asking { competitor } => LeaveOutcome::Abandoned(competitor),
            Stage::Offered { share, .. } => LeaveOutcome::Abandoned(share.competitor),
            other => {
                self.stage = other;
                LeaveOutcome::Quietly
            }
        }
    }

    /// What there is to do at `now` because an owner did nothing.
    pub(super) fn pass_time(&mut self, now: Moment) -> TimePassed {
        let is_displaced = self.displaced_at().is_some_and(|at| at <= now);
        match std::mem::take(&mut self.stage) {
            Stage::InPlace { owner, competitor, mode, .. } if is_displaced => {
                if mode == Mode::Wait {
                    self.waiters.enter_first(owner);
                    self.waiters.change(LineInUse::park_first);
                }
                self.stage = Stage::ForKeeper;
                TimePassed { displaced: Some((owner, competitor)), ..TimePassed::default() }
            }
            Stage::Invited { owner, since } if since.after(PATIENCE) <= now => {
                self.pass_invitation(owner);
                TimePassed::default()
            }
            Stage::Offered { share, since } if ends_at(&share, since) <= now => {
                self.waiters.change(|line| line.park_candidates(reach(since, now)));
                TimePassed { returned: Some(share.competitor), ..TimePassed::default() }
            }
            Stage::Held { holder, share, .. } if share.valid_until <= now => {
                TimePassed { lost: Some((holder, share.competitor)), ..TimePassed::default() }
            }
            other => {
                self.stage = other;
                TimePassed::default()
            }
        }
    }

    /// Who was invited did not come: the keeper asks, if anybody else waits.
    fn pass_invitation(&mut self, owner: OwnerId) {
        if let Some(place) = self.waiters.place_of(owner) {
            self.waiters.change(|line| line.park(place + 1));
        }
        if self.waiters.has_candidates() {
            self.stage = Stage::ForKeeper;
        }
    }

    /// When time may have brought something to do, if nothing else happens until then.
    pub(super) fn next_look(&self, now: Moment) -> Option<Moment> {
        match &self.stage {
            Stage::InPlace { .. } => self.displaced_at().into_iter().chain(self.followed_at()).min(),
            Stage::Invited { since, .. } => Some(since.after(PATIENCE)),
            Stage::Offered { share, since } => {
                let reach = reach(*since, now);
                let widens = (reach < self.waiters.count_candidates()).then(|| widens_at(*since, reach));
                widens.into_iter().chain([ends_at(share, *since)]).min()
            }
            Stage::Held { share, .. } => (!self.waiters.is_empty()).then_some(share.valid_until),
            Stage::Free | Stage::ForKeeper | Stage::Asking { .. } => None,
        }
    }
}

/// How many may take at `now` what is offered since `since`.
fn reach(since: Moment, now: Moment) -> usize {
    let passed = now.since(since).as_nanos() / PATIENCE.as_nanos();
    usize::try_from(passed).unwrap_or(usize::MAX).saturating_add(1)
}

/// When an offer to this number of waiters widens to one more.
fn widens_at(since: Moment, reach: usize) -> Moment {
    since.after(PATIENCE.saturating_mul(u32::try_from(reach).unwrap_or(u32::MAX)))
}

/// When an offer that is not taken goes back.
fn ends_at(share: &GrantShare, since: Moment) -> Moment {
    since.after(share.longest_offer()).min(share.valid_until)
}

#[cfg(test)]
mod tests;

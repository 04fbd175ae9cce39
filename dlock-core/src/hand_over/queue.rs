//! Who of one process wants one key, and whose turn it is. Pure.
//!
//! However many wait here, one acquisition competes for all of them at the backend. What it was granted goes from
//! one to the next, each under a token of its own, until the queue has had its share; then the backend's queue
//! decides again.
//!
//! Nothing here waits for a waiter that is not polled. A grant is *offered*: the first waiter takes it when it is polled.
//! If it does not within [`PATIENCE`], the offer widens to the next one as well. A waiter that let an offer pass is parked,
//! and counts again once it is polled.

use super::share::{GrantShare, HandOver};
use crate::backend::{Grant, Mode};
use crate::lease::OwnerId;
use crate::time::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a waiter that is not polled can keep others waiting: an offer widens after this long, and a caller that asks
/// the backend itself is followed by the keeper.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// The waiters of one key, and what there is towards the backend.
#[derive(Debug, Default)]
pub(super) struct KeyQueue {
    /// First come, first served.
    waiters: VecDeque<Waiting>,
    stage: Stage,
}

#[derive(Debug)]
struct Waiting {
    owner: OwnerId,
    /// It let an offer pass, and was not polled since.
    is_parked: bool,
    /// It has not been woken since it was parked.
    is_to_wake: bool,
}

impl Waiting {
    fn new(owner: OwnerId) -> Self {
        Self { owner, is_parked: false, is_to_wake: false }
    }

    /// It lets an offer pass. It may be that it was never woken, since whatever wakes was late itself.
    fn park(&mut self) {
        (self.is_parked, self.is_to_wake) = (true, true);
    }
}

/// What there is towards the backend.
#[derive(Debug, Default)]
enum Stage {
    /// Nothing is asked for, and nothing held.
    #[default]
    Free,
    /// A caller asks for itself, in its own future. It may have been woken, and not been polled since.
    InPlace {
        owner: OwnerId,
        mode: Mode,
        since: Moment,
        woken: Option<Moment>,
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

/// What somebody who enters has to do.
#[derive(Debug)]
pub(super) enum EnterOutcome {
    /// Ask the backend for itself.
    AskInPlace,
    /// Wait to be told.
    Wait,
    /// Another one has the lock, or is before it.
    Busy,
    /// It has the lock already.
    Has(Grant),
}

/// What there is to do when somebody left.
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
    /// It was the last that the keeper asked for: that has to be undone.
    Abandoned(OwnerId),
}

/// What there is to do because time passed.
#[derive(Debug, Default)]
pub(super) struct TimePassed {
    /// A caller that asked for itself and is not polled: what it may have got has to be undone.
    pub(super) displaced: Option<OwnerId>,
    /// Whether that caller had an answer to come for: then it is to wait.
    pub(super) was_answered: bool,
    /// A grant that was not taken: it has to go back.
    pub(super) returned: Option<OwnerId>,
    /// This lease is over, and nobody said so: who had it, and for which acquisition.
    pub(super) lost: Option<(OwnerId, OwnerId)>,
}

impl KeyQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty() && matches!(self.stage, Stage::Free)
    }

    /// Somebody wants the lock.
    pub(super) fn enter(&mut self, owner: OwnerId, mode: Mode, now: Moment) -> EnterOutcome {
        if let Some(grant) = self.held(owner) {
            return EnterOutcome::Has(grant);
        }
        if matches!(self.stage, Stage::Free) && self.candidates().next().is_none() {
            self.stage = Stage::InPlace { owner, mode, since: now, woken: None };
            return EnterOutcome::AskInPlace;
        }
        if mode == Mode::Try {
            return EnterOutcome::Busy;
        }
        self.waiters.push_back(Waiting::new(owner));
        EnterOutcome::Wait
    }

    /// Those that may be served, in order.
    fn candidates(&self) -> impl Iterator<Item = OwnerId> {
        self.waiters.iter().filter(|waiting| !waiting.is_parked).map(|waiting| waiting.owner)
    }

    /// Whether this caller still asks for itself.
    pub(super) fn asks_in_place(&self, owner: OwnerId) -> bool {
        matches!(&self.stage, Stage::InPlace { owner: asking, .. } if *asking == owner)
    }

    /// When the caller that asks for itself was told that there is something for it, if it was not polled since.
    pub(super) fn woken_in_place(&mut self, at: Option<Moment>) {
        if let Stage::InPlace { woken, .. } = &mut self.stage {
            *woken = at;
        }
    }

    /// When the keeper follows a caller that asks for itself: when it is not answered for too long while others wait; or
    /// when it has something to wait for, and does not come for its answer. What is only tried is not kept by the servers
    /// for a caller that does not come, so it is left to the caller.
    fn displaced_at(&self) -> Option<Moment> {
        let Stage::InPlace { mode, since, woken, .. } = &self.stage else { return None };
        let has_candidates = self.candidates().next().is_some();
        let unanswered = has_candidates.then_some(*since);
        let uncollected = woken.filter(|_| *mode == Mode::Wait);
        unanswered.into_iter().chain(uncollected).map(|from| from.after(PATIENCE)).min()
    }

    /// The backend granted the lock to a caller that asked for itself. `None` if it does not any more: the grant has to
    /// go back.
    pub(super) fn granted_in_place(&mut self, owner: OwnerId, grant: &Grant, now: Moment) -> Option<Grant> {
        match std::mem::take(&mut self.stage) {
            Stage::InPlace { owner: asking, .. } if asking == owner => {
                Some(self.hold(owner, GrantShare::new(owner, grant, now)))
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// The backend refused a caller that asked for itself, and keeps nothing of it. `false` if it did not ask any more.
    pub(super) fn refused_in_place(&mut self, owner: OwnerId) -> bool {
        let asked = self.asks_in_place(owner);
        if asked {
            self.stage = Stage::Free;
        }
        asked
    }

    /// The caller's own request goes on with the keeper, and the caller is the first that waits for it. `false` if it does
    /// not ask any more.
    pub(super) fn hand_to_keeper(&mut self, owner: OwnerId) -> bool {
        match std::mem::take(&mut self.stage) {
            Stage::InPlace { owner: asking, .. } if asking == owner => {
                self.waiters.push_front(Waiting::new(owner));
                self.stage = Stage::Asking { competitor: owner };
                true
            }
            other => {
                self.stage = other;
                false
            }
        }
    }

    /// This waiter asked the backend itself before. It may have been told meanwhile that waiting cannot help, and could not
    /// be reached: then it is the first in line.
    pub(super) fn stay(&mut self, owner: OwnerId) {
        if !self.waiters.iter().any(|waiting| waiting.owner == owner) {
            self.waiters.push_front(Waiting::new(owner));
        }
    }

    /// Whether the keeper has to ask: somebody waits, and nothing is asked for, offered or held.
    pub(super) fn needs_asking(&self) -> bool {
        matches!(self.stage, Stage::Free) && self.candidates().next().is_some()
    }

    /// The keeper asks for this acquisition.
    pub(super) fn asking(&mut self, competitor: OwnerId) {
        self.stage = Stage::Asking { competitor };
    }

    /// Whether the keeper still asks for this acquisition.
    pub(super) fn is_asking(&self, competitor: OwnerId) -> bool {
        matches!(&self.stage, Stage::Asking { competitor: asked } if *asked == competitor)
    }

    /// The backend granted what the keeper asked for: it is offered. `false` if nobody wants it any more.
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

    /// What nobody is there to take comes back.
    fn offer_to_candidates(&mut self, share: GrantShare, now: Moment) -> Option<GrantShare> {
        if self.candidates().next().is_none() {
            return Some(share);
        }
        self.stage = Stage::Offered { share, since: now };
        None
    }

    /// The backend will not grant what the keeper asked for. All who waited for it.
    pub(super) fn failed(&mut self, competitor: OwnerId) -> Vec<OwnerId> {
        if !self.is_asking(competitor) {
            return Vec::new();
        }
        self.stage = Stage::Free;
        self.waiters.drain(..).map(|waiting| waiting.owner).collect()
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
    pub(super) fn offered_to(&self, now: Moment) -> impl Iterator<Item = OwnerId> {
        let reach = match &self.stage {
            Stage::Offered { since, .. } => reach(*since, now),
            _ => 0,
        };
        self.candidates().take(reach)
    }

    /// Those that have to be woken: they may take the offer, or let one pass.
    pub(super) fn take_to_wake(&mut self, now: Moment) -> Vec<OwnerId> {
        let mut to_wake: Vec<_> = self.offered_to(now).collect();
        for passed in self.waiters.iter_mut().filter(|waiting| waiting.is_to_wake) {
            passed.is_to_wake = false;
            to_wake.push(passed.owner);
        }
        to_wake
    }

    /// This waiter was polled. What it gets, if it is offered something: those before it let that pass.
    pub(super) fn take(&mut self, owner: OwnerId, now: Moment) -> Option<Grant> {
        let place = self.waiters.iter().position(|waiting| waiting.owner == owner)?;
        self.waiters.get_mut(place)?.is_parked = false;
        let Stage::Offered { share, .. } = &self.stage else { return None };
        if share.valid_until <= now || !self.offered_to(now).any(|offered| offered == owner) {
            return None;
        }
        let Stage::Offered { share, .. } = std::mem::take(&mut self.stage) else { return None };
        self.waiters.remove(place);
        self.waiters.iter_mut().take(place).for_each(Waiting::park);
        if self.waiters.is_empty() {
            // A lock that is held takes no room for waiters.
            self.waiters = VecDeque::new();
        }
        Some(self.hold(owner, share))
    }

    fn hold(&mut self, holder: OwnerId, mut share: GrantShare) -> Grant {
        let grant = share.serve();
        self.stage = Stage::Held { holder, share };
        grant
    }

    fn held(&self, owner: OwnerId) -> Option<Grant> {
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
            Stage::Free | Stage::InPlace { .. } | Stage::Asking { .. } => None,
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
            Stage::Free | Stage::InPlace { .. } | Stage::Asking { .. } => None,
        }
    }

    /// Somebody asks the competitor to let go: what it was granted is handed over to nobody.
    pub(super) fn revoked(&mut self, competitor: OwnerId) {
        if let Some(share) = self.share_of(competitor) {
            share.end();
        }
    }

    /// Somebody leaves: the holder, a waiter, or who asks for itself.
    pub(super) fn leave(&mut self, owner: OwnerId, share: HandOver, now: Moment) -> LeaveOutcome {
        match std::mem::take(&mut self.stage) {
            Stage::Held { holder, share: granted } if holder == owner => self.hand_over(granted, share, now),
            Stage::InPlace { owner: asking, .. } if asking == owner => LeaveOutcome::Over(owner),
            other => {
                self.stage = other;
                self.leave_line(owner)
            }
        }
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
        let Some(place) = self.waiters.iter().position(|waiting| waiting.owner == owner) else {
            return LeaveOutcome::Unknown;
        };
        self.waiters.remove(place);
        match &self.stage {
            Stage::Asking { .. } if self.waiters.is_empty() => self.abandon(),
            Stage::Offered { .. } if self.candidates().next().is_none() => self.abandon(),
            _ => LeaveOutcome::Quietly,
        }
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

    /// What there is to do at `now` because somebody did not do anything.
    pub(super) fn pass_time(&mut self, now: Moment) -> TimePassed {
        let is_displaced = self.displaced_at().is_some_and(|at| at <= now);
        match std::mem::take(&mut self.stage) {
            Stage::InPlace { owner, mode, woken, .. } if is_displaced => {
                if mode == Mode::Wait {
                    self.waiters.push_front(Waiting { is_parked: true, ..Waiting::new(owner) });
                }
                TimePassed { displaced: Some(owner), was_answered: woken.is_some(), ..TimePassed::default() }
            }
            Stage::Offered { share, since } if ends_at(&share, since) <= now => {
                self.park(reach(since, now));
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

    fn park(&mut self, reach: usize) {
        let candidates = self.waiters.iter_mut().filter(|waiting| !waiting.is_parked);
        candidates.take(reach).for_each(Waiting::park);
    }

    /// When time may have brought something to do, if nobody does anything until then.
    pub(super) fn next_look(&self, now: Moment) -> Option<Moment> {
        let candidates = self.candidates().count();
        match &self.stage {
            Stage::InPlace { .. } => self.displaced_at(),
            Stage::Offered { share, since } => {
                let reach = reach(*since, now);
                let widens = (reach < candidates).then(|| widens_at(*since, reach));
                widens.into_iter().chain([ends_at(share, *since)]).min()
            }
            Stage::Held { share, .. } => (!self.waiters.is_empty()).then_some(share.valid_until),
            Stage::Free | Stage::Asking { .. } => None,
        }
    }
}

/// How many may take at `now` what is offered since `since`.
fn reach(since: Moment, now: Moment) -> usize {
    let passed = now.since(since).as_nanos() / PATIENCE.as_nanos();
    usize::try_from(passed).unwrap_or(usize::MAX).saturating_add(1)
}

/// When an offer that so many may take widens to one more.
fn widens_at(since: Moment, reach: usize) -> Moment {
    since.after(PATIENCE.saturating_mul(u32::try_from(reach).unwrap_or(u32::MAX)))
}

/// When an offer that is not taken goes back.
fn ends_at(share: &GrantShare, since: Moment) -> Moment {
    since.after(share.longest_offer()).min(share.valid_until)
}

#[cfg(test)]
mod tests;

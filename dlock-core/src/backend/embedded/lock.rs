//! One lock: its holder, its waiters, and which of them it is offered to.
//!
//! A lock that becomes free is *offered* to its first waiter, which takes it when it asks. A waiter that does not ask in
//! time is *parked*: it keeps its place, and the lock is offered to the next one as well. Whichever of them asks first
//! takes it. So a waiter that is not polled costs the others one pause, once.

use crate::backend::{ClientKind, ForcedRelease, HolderView, Inspection, Reopening, WaiterView};
use crate::label::Label;
use crate::lease::{FencingToken, OwnerId, Ttl};
use crate::time::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// A waiter that a lock is offered to by a call of another owner, and that is to be woken. At most one (I6).
pub(super) type Woken = Option<OwnerId>;

#[derive(Debug)]
pub(super) struct Lock {
    tenure: Tenure,
    queue: VecDeque<QueuedOwner>,
    /// When the table means to look at this lock by itself.
    pub(super) look: Option<Moment>,
}

#[derive(Debug)]
enum Tenure {
    Held(Holder),
    /// Not held, and since then offered to the first waiter that is not parked.
    Free {
        since: Moment,
    },
}

#[derive(Debug)]
struct Holder {
    owner: OwnerId,
    token: FencingToken,
    since: Moment,
    expires: Moment,
    label: Option<Label>,
    /// It can neither renew nor be granted the lock again. Its guard may be valid until `expires`.
    is_taken_away: bool,
}

#[derive(Debug)]
struct QueuedOwner {
    owner: OwnerId,
    since: Moment,
    label: Option<Label>,
    /// It let an offer pass, and has not asked since.
    is_parked: bool,
}

/// Who asks, and for how long it would have the lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) owner: OwnerId,
    pub(super) ttl: Ttl,
    /// Whether it waits if it is not granted the lock.
    pub(super) waits: bool,
    pub(super) label: Option<&'a Label>,
}

impl Lock {
    /// A lock without waiters.
    pub(super) fn held(asker: Asker<'_>, last_token: &mut u64, now: Moment) -> (Self, FencingToken) {
        let holder = Holder::new(asker, last_token, now);
        let token = holder.token;
        (Self { tenure: Tenure::Held(holder), queue: VecDeque::new(), look: None }, token)
    }

    /// Moves the lock on to `now`. It is free once its holder's lease is over, and an offer that was not taken within
    /// `patience` is made to the next waiter as well.
    ///
    /// The time of an offer counts from the call that made it. So a waiter is parked only after it was woken.
    pub(super) fn settle(&mut self, patience: Duration, now: Moment) -> Woken {
        match &self.tenure {
            Tenure::Held(holder) if holder.expires <= now => self.offer(now),
            Tenure::Free { since } if since.after(patience) <= now => self.widen(now),
            Tenure::Held(_) | Tenure::Free { .. } => None,
        }
    }

    /// The lock's token, if the owner has it or may take it. If not, and if it waits, it has a place in the queue.
    pub(super) fn ask(
        &mut self,
        asker: Asker<'_>,
        last_token: &mut u64,
        now: Moment,
    ) -> Option<FencingToken> {
        if let Some(holder) = self.held_by(asker.owner) {
            holder.extend(asker.ttl, now);
            return Some(holder.token);
        }
        if self.is_free() && self.admits(asker.owner) {
            return Some(self.take(asker, last_token, now));
        }
        self.enter(asker, now);
        None
    }

    /// Moves the end of the owner's lease; false if the owner does not have the lock.
    pub(super) fn renew(&mut self, owner: OwnerId, ttl: Ttl, now: Moment) -> bool {
        let held = self.held_by(owner);
        held.map(|holder| holder.extend(ttl, now)).is_some()
    }

    /// Takes the owner out, as holder and as waiter. Says whether it had the lock, and which waiter the lock is offered
    /// to now.
    pub(super) fn leave(&mut self, owner: OwnerId, now: Moment) -> (bool, Woken) {
        if self.held_by(owner).is_some() {
            return (true, self.offer(now));
        }
        if self.is_taken_from(owner) {
            // It gives up its guard before it leaves.
            self.queue.retain(|waiter| waiter.owner != owner);
            return (false, self.offer(now));
        }
        (false, self.leave_queue(owner, now))
    }

    /// Takes the lock away from the holder with this token, under the next token. For how long it stays closed, and the waiter
    /// that it is offered to if that is not at all.
    pub(super) fn take_away(
        &mut self,
        token: FencingToken,
        reopening: Reopening,
        last_token: &mut u64,
        now: Moment,
    ) -> (Option<ForcedRelease>, Woken) {
        let Tenure::Held(holder) = &mut self.tenure else { return (None, None) };
        if holder.token != token {
            return (None, None);
        }
        *last_token += 1;
        holder.is_taken_away = true;
        let (fence, left) = (FencingToken::new(*last_token), holder.expires.since(now));
        match reopening {
            Reopening::Confirmed => (Some(ForcedRelease::new(fence, left)), None),
            Reopening::Now => (Some(ForcedRelease::new(fence, Duration::ZERO)), self.offer(now)),
        }
    }

    fn is_taken_from(&self, owner: OwnerId) -> bool {
        matches!(&self.tenure, Tenure::Held(holder) if holder.owner == owner && holder.is_taken_away)
    }

    /// Whether the lock is neither held nor waited for.
    pub(super) fn is_over(&self) -> bool {
        self.queue.is_empty() && self.is_free()
    }

    /// When a waiter is to be woken without a call: at the end of the holder's lease, or of an offer that is not
    /// taken.
    pub(super) fn due(&self, patience: Duration) -> Option<Moment> {
        let mut attentive = self.queue.iter().filter(|waiter| !waiter.is_parked);
        attentive.next()?;
        match &self.tenure {
            Tenure::Held(holder) => Some(holder.expires),
            Tenure::Free { since } => attentive.next().map(|_| since.after(patience)),
        }
    }

    /// Who has the lock at `now`, who waits for it, and where `asker` stands.
    pub(super) fn view(&self, asker: Option<OwnerId>, now: Moment) -> Inspection {
        let holders = match &self.tenure {
            Tenure::Held(holder) if holder.expires > now => vec![holder.view(now)],
            Tenure::Held(_) | Tenure::Free { .. } => Vec::new(),
        };
        let waiters = self.queue.iter().map(|waiter| waiter.view(now)).collect();
        let place = self.queue.iter().position(|waiter| Some(waiter.owner) == asker);
        Inspection { holders, waiters, place: place.map(|place| place + 1) }
    }

    fn is_free(&self) -> bool {
        matches!(self.tenure, Tenure::Free { .. })
    }

    fn held_by(&mut self, owner: OwnerId) -> Option<&mut Holder> {
        match &mut self.tenure {
            Tenure::Held(holder) => {
                Some(holder).filter(|holder| holder.owner == owner && !holder.is_taken_away)
            }
            Tenure::Free { .. } => None,
        }
    }

    fn offer(&mut self, now: Moment) -> Woken {
        self.tenure = Tenure::Free { since: now };
        self.offered().map(|waiter| waiter.owner)
    }

    fn widen(&mut self, now: Moment) -> Woken {
        self.offered()?.is_parked = true;
        self.offer(now)
    }

    /// The waiter that was offered the lock last. Those before it are parked.
    fn offered(&mut self) -> Option<&mut QueuedOwner> {
        self.queue.iter_mut().find(|waiter| !waiter.is_parked)
    }

    /// Whether the lock is offered to the owner. An owner that is not in the queue passes only parked waiters.
    fn admits(&self, owner: OwnerId) -> bool {
        let reach = self.queue.iter().take_while(|waiter| waiter.is_parked).count();
        self.queue.iter().take(reach + 1).any(|waiter| waiter.owner == owner) || reach == self.queue.len()
    }

    fn take(&mut self, asker: Asker<'_>, last_token: &mut u64, now: Moment) -> FencingToken {
        self.queue.retain(|waiter| waiter.owner != asker.owner);
        let holder = Holder::new(asker, last_token, now);
        let token = holder.token;
        self.tenure = Tenure::Held(holder);
        token
    }

    /// A waiter that asks is attentive again, in its place.
    fn enter(&mut self, asker: Asker<'_>, now: Moment) {
        match self.queue.iter_mut().find(|waiter| waiter.owner == asker.owner) {
            Some(waiter) => waiter.is_parked = false,
            None if asker.waits => {
                let (owner, label) = (asker.owner, asker.label.cloned());
                self.queue.push_back(QueuedOwner { owner, since: now, label, is_parked: false });
            }
            None => {}
        }
    }

    fn leave_queue(&mut self, owner: OwnerId, now: Moment) -> Woken {
        let was_offered = self.is_free() && self.offered().is_some_and(|waiter| waiter.owner == owner);
        self.queue.retain(|waiter| waiter.owner != owner);
        if was_offered { self.offer(now) } else { None }
    }
}

impl QueuedOwner {
    fn view(&self, now: Moment) -> WaiterView {
        let (label, client) = (self.label.clone(), ClientKind::Dlock);
        WaiterView { label, waiting_for: Some(now.since(self.since)), client }
    }
}

impl Holder {
    fn view(&self, now: Moment) -> HolderView {
        HolderView {
            label: self.label.clone(),
            token: Some(self.token),
            tokens: 1,
            held_for: Some(now.since(self.since)),
            remaining: Some(self.expires.since(now)),
            client: ClientKind::Dlock,
            is_taken_away: self.is_taken_away,
        }
    }

    fn new(asker: Asker<'_>, last_token: &mut u64, now: Moment) -> Self {
        *last_token += 1;
        let Asker { owner, ttl, label, .. } = asker;
        let (token, expires) = (FencingToken::new(*last_token), now.after(ttl.as_duration()));
        Self { owner, token, since: now, expires, label: label.cloned(), is_taken_away: false }
    }

    fn extend(&mut self, ttl: Ttl, now: Moment) {
        self.expires = now.after(ttl.as_duration());
    }
}

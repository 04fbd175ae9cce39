//! One lock: its holders, its waiters, and which of them it is offered to.
//!
//! Holders always fit together: one has all of the lock, or each has a part. A waiter that fits beside them, and beside the
//! waiters ahead of it, is *offered* the lock, and takes it when it asks. The first one that does not fit stops those behind it.
//!
//! A waiter that does not ask in time is *parked*: it keeps its place, and what it was offered goes to those behind it as well.
//! Whichever of them asks first takes it. So a waiter that is not polled costs the others one pause, once.

use super::occupancy::Occupancy;
use crate::backend::{ClientKind, ForcedRelease, HolderView, Inspection, Reopening, Share, WaiterView};
use crate::label::Label;
use crate::lease::{FencingToken, OwnerId, Ttl};
use crate::time::Moment;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::time::Duration;

/// The waiters that a lock is offered to by a call of another owner, and that are to be woken: no other is (I6).
pub(super) type Woken = SmallVec<[OwnerId; 1]>;

#[derive(Debug)]
pub(super) struct Lock {
    holders: SmallVec<[Holder; 1]>,
    queue: VecDeque<QueuedOwner>,
    /// None of the waiters from here on is offered the lock.
    reach: usize,
    /// When the table means to look at this lock by itself.
    pub(super) look: Option<Moment>,
}

#[derive(Debug)]
struct Holder {
    owner: OwnerId,
    share: Share,
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
    share: Share,
    since: Moment,
    label: Option<Label>,
    turn: QueueTurn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueTurn {
    /// It does not fit, or others are ahead that do not.
    Waits,
    Offered {
        since: Moment,
    },
    /// It let an offer pass, and has not asked since.
    Parked,
}

/// Who asks, for what, and for how long it would have that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) owner: OwnerId,
    pub(super) share: Share,
    pub(super) ttl: Ttl,
    /// Whether it waits if it is not granted the lock.
    pub(super) waits: bool,
    pub(super) label: Option<&'a Label>,
}

/// The answer to an owner that wants another share than it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExchangeAnswer {
    Exchanged(FencingToken),
    /// Others have the lock, or wait for all of it.
    Busy,
    /// It has nothing to exchange.
    Lost,
}

impl Lock {
    /// A lock without waiters.
    pub(super) fn held(asker: Asker<'_>, last_token: &mut u64, now: Moment) -> (Self, FencingToken) {
        let mut lock = Self { holders: SmallVec::new(), queue: VecDeque::new(), reach: 0, look: None };
        let token = lock.take(asker, last_token, now);
        (lock, token)
    }

    /// Moves the lock on to `now`. A holder whose lease is over has none of it. A waiter that did not take what it is offered
    /// within `patience` is parked.
    ///
    /// The time of an offer counts from the call that made it. So a waiter is parked only after it was woken.
    pub(super) fn settle(&mut self, patience: Duration, now: Moment) {
        self.holders.retain(|holder| holder.expires > now);
        for waiter in self.queue.iter_mut().take(self.reach) {
            if waiter.offered_until(patience).is_some_and(|due| due <= now) {
                waiter.turn = QueueTurn::Parked;
            }
        }
    }

    /// Offers the lock to those that fit, and to no other. The ones that were not offered it before.
    pub(super) fn offer(&mut self, now: Moment) -> Woken {
        let (mut woken, mut reach) = (Woken::new(), 0);
        let mut taken = Some(self.occupied());
        for (place, waiter) in self.queue.iter_mut().enumerate() {
            if waiter.turn == QueueTurn::Parked {
                continue;
            }
            taken = taken.and_then(|taken| taken.with(waiter.share));
            match (taken, waiter.turn) {
                (Some(_), QueueTurn::Waits) => {
                    waiter.turn = QueueTurn::Offered { since: now };
                    woken.push(waiter.owner);
                }
                (None, _) if place >= self.reach => break,
                (None, _) => waiter.turn = QueueTurn::Waits,
                (Some(_), _) => {}
            }
            reach = if taken.is_some() { place + 1 } else { reach };
        }
        self.reach = reach;
        woken
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
        if self.admits(&asker) {
            return Some(self.take(asker, last_token, now));
        }
        self.enter(asker, now);
        None
    }

    /// Moves the end of the owner's own lease; false if the owner does not have the lock.
    pub(super) fn renew(&mut self, owner: OwnerId, ttl: Ttl, now: Moment) -> bool {
        let held = self.held_by(owner);
        held.map(|holder| holder.extend(ttl, now)).is_some()
    }

    /// Takes the owner out, as holder and as waiter. Whether it had the lock.
    pub(super) fn leave(&mut self, owner: OwnerId) -> bool {
        let held = self.holders.iter().position(|holder| holder.owner == owner);
        let held = held.map(|place| self.holders.remove(place));
        // One that the lock was taken away from gives up its guard before it leaves. It may have asked again since.
        let had_it = held.is_some_and(|holder| !holder.is_taken_away);
        if !had_it {
            self.leave_queue(owner);
        }
        had_it
    }

    /// Gives the asker what it wants for what `held` has, if that fits beside the other holders. What was all of the lock only
    /// becomes less. Any other exchange passes no waiter for all of it.
    pub(super) fn exchange(
        &mut self,
        held: OwnerId,
        asker: Asker<'_>,
        last_token: &mut u64,
        now: Moment,
    ) -> ExchangeAnswer {
        if let Some(holder) = self.held_by(asker.owner) {
            return ExchangeAnswer::Exchanged(holder.token);
        }
        let Some(former) = self.held_by(held).map(|holder| holder.share) else { return ExchangeAnswer::Lost };
        let others = self.holders.iter().filter(|holder| holder.owner != held);
        let fits = asker.share.fits(others.map(|holder| holder.share));
        if !fits || !former.is_all() && self.queue.iter().any(|waiter| waiter.share.is_all()) {
            return ExchangeAnswer::Busy;
        }
        self.leave(held);
        ExchangeAnswer::Exchanged(self.take(asker, last_token, now))
    }

    /// Takes the lock away from the holder with this token, under the next token. For how long its part stays closed.
    pub(super) fn take_away(
        &mut self,
        token: FencingToken,
        reopening: Reopening,
        last_token: &mut u64,
        now: Moment,
    ) -> Option<ForcedRelease> {
        let holder = self.holders.iter_mut().find(|holder| holder.token == token)?;
        *last_token += 1;
        holder.is_taken_away = true;
        let (fence, left) = (FencingToken::new(*last_token), holder.expires.since(now));
        if reopening == Reopening::Now {
            self.holders.retain(|holder| holder.token != token);
            return Some(ForcedRelease::new(fence, Duration::ZERO));
        }
        Some(ForcedRelease::new(fence, left))
    }

    /// Whether the lock is neither held nor waited for.
    pub(super) fn is_over(&self) -> bool {
        self.queue.is_empty() && self.holders.is_empty()
    }

    /// When a waiter is to be woken without a call: at the end of a lease, or of an offer that is not taken.
    pub(super) fn due(&self, patience: Duration) -> Option<Moment> {
        self.queue.iter().find(|waiter| waiter.turn == QueueTurn::Waits)?;
        let offers = self.queue.iter().take(self.reach).filter_map(|waiter| waiter.offered_until(patience));
        self.holders.iter().map(|holder| holder.expires).chain(offers).min()
    }

    /// Who has the lock at `now`, who waits for it, and where `asker` stands.
    pub(super) fn view(&self, asker: Option<OwnerId>, now: Moment) -> Inspection {
        let holders = self.holders.iter().filter(|holder| holder.expires > now);
        let place = self.queue.iter().position(|waiter| Some(waiter.owner) == asker);
        Inspection {
            holders: holders.map(|holder| holder.view(now)).collect(),
            waiters: self.queue.iter().map(|waiter| waiter.view(now)).collect(),
            place: place.map(|place| place + 1),
        }
    }

    fn occupied(&self) -> Occupancy {
        Occupancy::of(self.holders.iter().map(|holder| holder.share))
    }

    fn held_by(&mut self, owner: OwnerId) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|holder| holder.owner == owner && !holder.is_taken_away)
    }

    /// Whether the owner may have what it asks for: beside the holders and the waiters ahead of it, but for parked ones. A try
    /// passes no waiter that is not parked, even if all of them fit.
    fn admits(&self, asker: &Asker<'_>) -> bool {
        let mut taken = self.occupied();
        for waiter in &self.queue {
            if waiter.owner == asker.owner {
                break;
            }
            if waiter.turn != QueueTurn::Parked {
                match taken.with(waiter.share) {
                    Some(with) if asker.waits => taken = with,
                    _ => return false,
                }
            }
        }
        taken.with(asker.share).is_some()
    }

    fn take(&mut self, asker: Asker<'_>, last_token: &mut u64, now: Moment) -> FencingToken {
        self.leave_queue(asker.owner);
        let holder = Holder::new(asker, last_token, now);
        let token = holder.token;
        self.holders.push(holder);
        token
    }

    /// A waiter that asks is attentive again, in its place.
    fn enter(&mut self, asker: Asker<'_>, now: Moment) {
        match self.queue.iter_mut().find(|waiter| waiter.owner == asker.owner) {
            Some(waiter) if waiter.turn == QueueTurn::Parked => waiter.turn = QueueTurn::Waits,
            None if asker.waits => self.queue.push_back(QueuedOwner::new(asker, now)),
            Some(_) | None => {}
        }
    }

    fn leave_queue(&mut self, owner: OwnerId) {
        if let Some(place) = self.queue.iter().position(|waiter| waiter.owner == owner) {
            self.queue.remove(place);
        }
    }
}

impl QueuedOwner {
    fn new(asker: Asker<'_>, now: Moment) -> Self {
        let Asker { owner, share, label, .. } = asker;
        Self { owner, share, since: now, label: label.cloned(), turn: QueueTurn::Waits }
    }

    /// When what it is offered goes to others as well.
    fn offered_until(&self, patience: Duration) -> Option<Moment> {
        match self.turn {
            QueueTurn::Offered { since } => Some(since.after(patience)),
            QueueTurn::Waits | QueueTurn::Parked => None,
        }
    }

    fn view(&self, now: Moment) -> WaiterView {
        let (label, client) = (self.label.clone(), ClientKind::Dlock);
        WaiterView { label, share: self.share, waiting_for: Some(now.since(self.since)), client }
    }
}

impl Holder {
    fn view(&self, now: Moment) -> HolderView {
        HolderView {
            label: self.label.clone(),
            share: self.share,
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
        let Asker { owner, share, ttl, label, .. } = asker;
        let (token, expires) = (FencingToken::new(*last_token), now.after(ttl.as_duration()));
        Self { owner, share, token, since: now, expires, label: label.cloned(), is_taken_away: false }
    }

    fn extend(&mut self, ttl: Ttl, now: Moment) {
        self.expires = now.after(ttl.as_duration());
    }
}

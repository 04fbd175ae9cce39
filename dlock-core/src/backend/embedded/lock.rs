//! One lock: its holder, its waiters, and which of them it is offered to.
//!
//! A lock that becomes free is *offered* to its first waiter, which takes it when it asks. A waiter that does not ask in
//! time is *parked*: it keeps its place, and the lock is offered to the next one as well. Whichever of them asks first
//! takes it. So a waiter that is not polled costs the others one pause, once.

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

#[derive(Debug, Clone, Copy)]
enum Tenure {
    Held(Holder),
    /// Not held, and since then offered to the first waiter that is not parked.
    Free {
        since: Moment,
    },
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    owner: OwnerId,
    token: FencingToken,
    expires: Moment,
}

#[derive(Debug, Clone, Copy)]
struct QueuedOwner {
    owner: OwnerId,
    /// It let an offer pass, and has not asked since.
    is_parked: bool,
}

/// Who asks, and for how long it would have the lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) owner: OwnerId,
    pub(super) ttl: Ttl,
    /// Whether it waits if it is not granted the lock.
    pub(super) waits: bool,
}

impl Lock {
    /// A lock without waiters.
    pub(super) fn held(asker: Asker, last_token: &mut u64, now: Moment) -> (Self, FencingToken) {
        let holder = Holder::new(asker, last_token, now);
        (Self { tenure: Tenure::Held(holder), queue: VecDeque::new(), look: None }, holder.token)
    }

    /// Moves the lock on to `now`. It is free once its holder's lease is over, and an offer that was not taken within
    /// `patience` is made to the next waiter as well.
    ///
    /// The time of an offer counts from the call that made it. So a waiter is parked only after it was woken.
    pub(super) fn settle(&mut self, patience: Duration, now: Moment) -> Woken {
        match self.tenure {
            Tenure::Held(holder) if holder.expires <= now => self.offer(now),
            Tenure::Free { since } if since.after(patience) <= now => self.widen(now),
            Tenure::Held(_) | Tenure::Free { .. } => None,
        }
    }

    /// The lock's token, if the owner has it or may take it. If not, and if it waits, it has a place in the queue.
    pub(super) fn ask(&mut self, asker: Asker, last_token: &mut u64, now: Moment) -> Option<FencingToken> {
        if let Some(holder) = self.held_by(asker.owner) {
            holder.extend(asker.ttl, now);
            return Some(holder.token);
        }
        if self.is_free() && self.admits(asker.owner) {
            return Some(self.take(asker, last_token, now));
        }
        self.enter(asker);
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
        match self.held_by(owner) {
            Some(_) => (true, self.offer(now)),
            None => (false, self.leave_queue(owner, now)),
        }
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
        match self.tenure {
            Tenure::Held(holder) => Some(holder.expires),
            Tenure::Free { since } => attentive.next().map(|_| since.after(patience)),
        }
    }

    fn is_free(&self) -> bool {
        matches!(self.tenure, Tenure::Free { .. })
    }

    fn held_by(&mut self, owner: OwnerId) -> Option<&mut Holder> {
        match &mut self.tenure {
            Tenure::Held(holder) => Some(holder).filter(|holder| holder.owner == owner),
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

    fn take(&mut self, asker: Asker, last_token: &mut u64, now: Moment) -> FencingToken {
        self.queue.retain(|waiter| waiter.owner != asker.owner);
        let holder = Holder::new(asker, last_token, now);
        self.tenure = Tenure::Held(holder);
        holder.token
    }

    /// A waiter that asks is attentive again, in its place.
    fn enter(&mut self, asker: Asker) {
        match self.queue.iter_mut().find(|waiter| waiter.owner == asker.owner) {
            Some(waiter) => waiter.is_parked = false,
            None if asker.waits => {
                self.queue.push_back(QueuedOwner { owner: asker.owner, is_parked: false });
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

impl Holder {
    fn new(asker: Asker, last_token: &mut u64, now: Moment) -> Self {
        *last_token += 1;
        let Asker { owner, ttl, .. } = asker;
        Self { owner, token: FencingToken::new(*last_token), expires: now.after(ttl.as_duration()) }
    }

    fn extend(&mut self, ttl: Ttl, now: Moment) {
        self.expires = now.after(ttl.as_duration());
    }
}

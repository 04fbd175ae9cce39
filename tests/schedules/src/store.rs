//! A backend in memory that keeps one lock. Every request and every answer takes a while.

use crate::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant, LossSignal, Mode};
use crate::error::{ErrorKind, LockError};
use crate::lease::{FencingToken, LossReason, OwnerId};
use crate::time::{self, Moment, sleep_until};
use shuttle::future::yield_now;
use shuttle::rand::{Rng as _, thread_rng};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The lock and its waiters.
#[derive(Debug, Default)]
pub struct Store {
    /// No task waits while it has this, so it needs no place in the schedule.
    state: Mutex<State>,
    changed: Notify,
    /// Of how many requests one fails, its effect unknown. Never if zero.
    fails: u32,
}

#[derive(Debug, Default)]
struct State {
    /// Who has the lock, and what it was told. The time of a lease runs from then on.
    holder: Option<(OwnerId, Option<Held>)>,
    queue: VecDeque<OwnerId>,
    last: u64,
    has_refused: bool,
}

/// What the holder was told.
#[derive(Debug, Clone)]
struct Held {
    owner: OwnerId,
    token: FencingToken,
    valid_until: Moment,
    loss: LossSignal,
}

impl Store {
    /// A free lock, whose requests fail once in `fails` times.
    #[must_use]
    pub fn failing_once_in(fails: u32) -> Self {
        Self { fails, ..Self::default() }
    }

    /// Whether a renewal was told that the lock is lost.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        self.state().has_refused
    }

    /// Whether the lock has neither a holder nor a waiter.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let mut state = self.state();
        state.expire();
        state.holder.is_none() && state.queue.is_empty()
    }

    /// Waits until an owner has the lock and was told so.
    pub async fn held(&self) {
        loop {
            let changed = self.changed.notified();
            if self.told().is_some() {
                return;
            }
            changed.await;
        }
    }

    /// Takes the grant back, tells its holder, and then grants the lock to the next.
    pub fn lose(&self) {
        let nobody = OwnerId::local();
        if let Some(held) = self.told() {
            self.state().holder = Some((nobody, None));
            held.loss.lose(LossReason::SessionExpired);
            self.give_up(nobody);
        }
    }

    /// Takes the grant back without a word. Which tokens it had.
    pub fn forget(&self) -> Option<Range<FencingToken>> {
        let held = self.told()?;
        self.give_up(held.owner);
        Some(held.tokens())
    }

    /// Lets the time of the lease pass.
    pub fn expire(&self) {
        if let Some(held) = self.told() {
            time::advance_to(held.valid_until);
        }
    }

    /// Tells the holder that its grant is in doubt. Which tokens it has.
    pub fn doubt(&self) -> Option<Range<FencingToken>> {
        let held = self.told()?;
        held.loss.doubt();
        Some(held.tokens())
    }

    /// The grant that its owner was told of.
    fn told(&self) -> Option<Held> {
        self.state().holder.clone().and_then(|(_, held)| held)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the owner has or waits for goes to the next.
    fn give_up(&self, owner: OwnerId) -> bool {
        let had_it = self.state().give_up(owner);
        self.changed.notify_waiters();
        had_it
    }

    /// A request or an answer is on its way, and may not arrive.
    async fn travel(&self) -> Result<(), LockError> {
        yield_now().await;
        match self.fails > 0 && thread_rng().gen_ratio(1, self.fails) {
            true => Err(LockError::new(ErrorKind::Unavailable, "lost on its way")),
            false => Ok(()),
        }
    }

    async fn wait(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        self.travel().await?;
        loop {
            let changed = self.changed.notified();
            // Others may go on while the request is being written, at times for long.
            let steps = if thread_rng().gen_ratio(1, 4) { 30 } else { 1 };
            (0..steps).for_each(|_| shuttle::thread::yield_now());
            let answer = self.state().ask(request)?;
            if let Some(grant) = answer {
                self.changed.notify_waiters();
                self.travel().await?;
                return Ok(grant);
            }
            request.progress.queued();
            let lease_ends = self.told().map(|held| held.valid_until);
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(lease_ends.unwrap_or(Moment::START)), if lease_ends.is_some() => {}
            }
        }
    }
}

impl Held {
    fn tokens(&self) -> Range<FencingToken> {
        self.token..FencingToken::new(self.token.as_u64() + u64::from(TOKENS))
    }
}

impl State {
    fn ask(&mut self, request: &AcquireRequest) -> Result<Option<Grant>, LockError> {
        let owner = request.claim.owner;
        self.expire();
        let is_free = self.holder.is_none() && self.queue.is_empty();
        if request.mode == Mode::Try && !is_free && !self.has_it(owner) {
            return Err(LockError::new(ErrorKind::Busy, "another has it"));
        }
        if !self.has_it(owner) && !self.queue.contains(&owner) {
            self.queue.push_back(owner);
        }
        self.grant_next();
        Ok(self.has_it(owner).then(|| self.tell(request)))
    }

    fn has_it(&self, owner: OwnerId) -> bool {
        self.holder.as_ref().is_some_and(|(holder, _)| *holder == owner)
    }

    fn grant_next(&mut self) {
        if self.holder.is_none()
            && let Some(owner) = self.queue.pop_front()
        {
            self.last += 1;
            self.holder = Some((owner, None));
        }
    }

    fn tell(&mut self, request: &AcquireRequest) -> Grant {
        let Claim { owner, ttl, .. } = request.claim;
        let token = FencingToken::new(self.last * u64::from(TOKENS));
        let valid_until = Moment::now().after(ttl.as_duration());
        self.holder = Some((owner, Some(Held { owner, token, valid_until, loss: request.loss() })));
        Grant::new(token, valid_until).with_tokens(TOKENS)
    }

    /// A lease that was told ends by itself.
    fn expire(&mut self) {
        let is_over = |held: &Held| held.valid_until <= Moment::now();
        self.holder.take_if(|(_, held)| held.as_ref().is_some_and(is_over));
    }

    fn renew(&mut self, claim: &Claim) -> Result<Moment, LockError> {
        self.expire();
        let told = self.holder.as_mut().and_then(|(_, held)| held.as_mut());
        let Some(held) = told.filter(|held| held.owner == claim.owner) else {
            self.has_refused = true;
            return Err(not_owner());
        };
        held.valid_until = Moment::now().after(claim.ttl.as_duration());
        Ok(held.valid_until)
    }

    /// The lock is held by one at a time here, whatever its share.
    fn exchange(&mut self, held: OwnerId, wanted: &AcquireRequest) -> Result<Grant, LockError> {
        self.expire();
        if !self.has_it(wanted.claim.owner) {
            self.holder.take_if(|(holder, _)| *holder == held).ok_or_else(not_owner)?;
            self.last += 1;
            self.holder = Some((wanted.claim.owner, None));
        }
        Ok(self.tell(wanted))
    }

    fn give_up(&mut self, owner: OwnerId) -> bool {
        self.queue.retain(|waiting| *waiting != owner);
        let had_it = self.holder.take_if(|(holder, _)| *holder == owner).is_some();
        self.grant_next();
        had_it
    }
}

/// How many tokens a grant has.
const TOKENS: u32 = 64;

impl Backend for Store {
    fn name(&self) -> &'static str {
        "store"
    }

    fn guarantees(&self) -> crate::guarantees::Guarantees {
        crate::guarantees::Guarantees::empty()
    }

    /// A place in the queue is kept until it is given up.
    fn longest_lease(&self, _: &Claim) -> Duration {
        Duration::from_secs(u64::from(u32::MAX))
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.wait(request))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            self.travel().await?;
            let renewed = self.state().renew(claim);
            self.travel().await?;
            renewed
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            self.travel().await?;
            let had_it = self.give_up(claim.owner);
            self.travel().await?;
            had_it.then_some(()).ok_or_else(not_owner)
        })
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move {
            self.travel().await?;
            let exchanged = self.state().exchange(held.owner, wanted);
            self.changed.notify_waiters();
            self.travel().await?;
            exchanged
        })
    }
}

fn not_owner() -> LockError {
    LockError::new(ErrorKind::Lost, "it does not have it")
}

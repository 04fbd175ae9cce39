//! Locks inside one process: no server, nothing to install.

mod alarm;
mod lock;
#[cfg(test)]
mod model;
mod occupancy;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use super::{
    AcquireRequest, Admin, Backend, BackendFuture, Claim, ForcedRelease, Grant, Inspection, ListCursor,
    LockPage, Mode, Reopening, admin,
};
use crate::backend::answers::busy;
use crate::error::{ErrorKind, LockError, Operation};
use crate::guarantees::Guarantees;
use crate::key::LockKey;
use crate::lease::FencingToken;
use crate::time::{Clock, Moment, TestClock};
use lock::{Asker, ExchangeAnswer};
use std::fmt;
use std::sync::Arc;
use store::StoreAnswer;
use table::LockTable;

/// Keeps the locks in this process.
///
/// It is for tests, for programs of one process, and as the readable reference of what every backend promises. Leases,
/// waiting in order and fencing tokens work as over a server. Several managers over one value (clones share it) behave
/// as several processes do.
///
/// Locks, readers and permits of semaphores are kept alike. Waiters are served in order of arrival. A waiter whose future is not polled within 50 ms of its turn may be passed,
/// so that it does not hold up the others. It keeps its place.
///
/// **Assumptions:** none beyond the process itself. Exclusion of valid guards and rising tokens hold while the process
/// lives, and nothing outlives it. Tokens begin at the time of day, so they also rise across a restart, unless the
/// machine's clock goes back.
///
/// ```
/// use dlock_core::{EmbeddedBackend, LockManager};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
/// let shared = EmbeddedBackend::new();
/// let one = LockManager::builder(shared.clone()).build()?;
/// let other = LockManager::builder(shared).build()?;
/// let guard = one.lock("order:42").await?;
/// assert!(other.lock("order:42").try_acquire().await?.is_none());
/// guard.release().await?;
/// assert!(other.lock("order:42").try_acquire().await?.is_some());
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct EmbeddedBackend(Arc<LockTable>);

impl EmbeddedBackend {
    /// An empty lock table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty lock table with a clock that a test moves: leases, renewals, waits and losses follow it.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, ErrorKind, LockManager, TestClock};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let clock = TestClock::new();
    /// let locks = LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).build()?;
    /// let _held = locks.lock("order:42").await?;
    /// let mut waiting = std::pin::pin!(locks.lock("order:42").wait(Duration::from_secs(5)).acquire());
    /// assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    /// clock.advance(Duration::from_secs(5)); // takes no time
    /// assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::Busy);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_clock(clock: TestClock) -> Self {
        Self(Arc::new(LockTable { clock: clock.into(), ..LockTable::default() }))
    }

    /// How many keys have a holder or a waiter. A lease that ended counts until its key is asked for again.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.store.lock().len()
    }

    /// Whether no key is held or waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn attempt(&self, claim: &Claim, mode: Mode, sent: Moment) -> StoreAnswer {
        self.0.step(|store| store.acquire(&claim.key, asker(claim, mode), sent))
    }

    fn leave(&self, claim: &Claim, now: Moment) -> Result<(), LockError> {
        let released = self.0.step(|store| store.release(&claim.key, claim.owner, now));
        released.then_some(()).ok_or_else(|| not_owner(claim, Operation::Release))
    }

    /// Asks, and asks again when woken: by the owner that leaves, or by the alarm when the holder's lease is over.
    async fn wait(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let claim = &request.claim;
        let watch = |earlier, keeper| watch::run(Arc::downgrade(&self.0), earlier, keeper);
        self.0.alarm.start(watch).map_err(claim.named(Operation::Acquire))?;
        let waiter = self.0.wakeups.enter(claim.owner);
        let mut place = QueuePlace { backend: self, claim, granted: false };
        request.progress.queued();
        loop {
            let sent = self.0.clock.now();
            if let StoreAnswer::Granted(token) = self.attempt(claim, Mode::Wait, sent) {
                place.granted = true;
                return Ok(Grant::new(token, claim.ttl.valid_until(sent)));
            }
            waiter.woken().await;
        }
    }
}

impl fmt::Debug for EmbeddedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBackend").field("keys", &self.len()).finish()
    }
}

impl Admin for EmbeddedBackend {
    fn inspect<'a>(&'a self, key: &'a LockKey, asker: Option<&'a Claim>) -> BackendFuture<'a, Inspection> {
        let now = self.0.clock.now();
        done(Ok(self.0.store.lock().view(key, asker.map(|claim| claim.owner), now)))
    }

    fn list<'a>(&'a self, prefix: &'a [u8], from: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage> {
        done(Ok(self.0.store.lock().list(prefix, from, self.0.clock.now())))
    }

    fn force_release<'a>(
        &'a self,
        key: &'a LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> BackendFuture<'a, ForcedRelease> {
        let now = self.0.clock.now();
        let forced = self.0.step(|store| store.take_away(key, token, reopening, now));
        done(forced.ok_or_else(admin::not_held_under_it))
    }
}

impl Backend for EmbeddedBackend {
    fn name(&self) -> &'static str {
        "embedded"
    }

    /// All but what concerns other processes. What would forget the locks ends their holders too.
    fn guarantees(&self) -> Guarantees {
        Guarantees::all() - Guarantees::ACROSS_PROCESSES - Guarantees::TOKEN_BLOCKS
    }

    fn is_local(&self) -> bool {
        true
    }

    fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        let AcquireRequest { claim, mode, .. } = request;
        match (self.acquire_at_once(claim, self.0.clock.now()), mode) {
            (Some(grant), _) => done(Ok(grant)),
            (None, Mode::Try) => done(Err(claim.named(Operation::Acquire)(busy()))),
            (None, Mode::Wait) => Box::pin(self.wait(request)),
        }
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        let sent = self.0.clock.now();
        let renewed = self.0.step(|store| store.renew(&claim.key, claim.owner, claim.ttl, sent));
        let answer = renewed.then(|| claim.ttl.valid_until(sent));
        done(answer.ok_or_else(|| not_owner(claim, Operation::Renew)))
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        done(self.leave(claim, self.0.clock.now()))
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        let (claim, sent) = (&wanted.claim, self.0.clock.now());
        let asker = asker(claim, Mode::Try);
        let answer = self.0.step(|store| store.exchange(&held.key, held.owner, asker, sent));
        done(match answer {
            ExchangeAnswer::Exchanged(token) => Ok(Grant::new(token, claim.ttl.valid_until(sent))),
            ExchangeAnswer::Busy => Err(held.named(claim.exchange_operation())(busy())),
            ExchangeAnswer::Lost => Err(not_owner(held, claim.exchange_operation())),
        })
    }

    fn acquire_at_once(&self, claim: &Claim, now: Moment) -> Option<Grant> {
        match self.attempt(claim, Mode::Try, now) {
            StoreAnswer::Granted(token) => Some(Grant::new(token, claim.ttl.valid_until(now))),
            StoreAnswer::Busy => None,
        }
    }

    fn release_at_once(&self, claim: &Claim, now: Moment) -> Option<Result<(), LockError>> {
        Some(self.leave(claim, now))
    }
}

fn asker(claim: &Claim, mode: Mode) -> Asker<'_> {
    let Claim { owner, share, ttl, label, .. } = claim;
    let waits = mode == Mode::Wait;
    Asker { owner: *owner, share: *share, ttl: *ttl, waits, label: label.as_ref() }
}

/// If nothing has to be waited for, the request is done at once.
fn done<'a, T: Send + 'a>(outcome: Result<T, LockError>) -> BackendFuture<'a, T> {
    Box::pin(std::future::ready(outcome))
}

fn not_owner(claim: &Claim, operation: Operation) -> LockError {
    claim.error(operation, ErrorKind::Lost, "the lease is over; acquire the lock again")
}

/// A waiter's place in the queue, left on drop: a waiter whose runtime ended costs the others nothing (I7).
struct QueuePlace<'a> {
    backend: &'a EmbeddedBackend,
    claim: &'a Claim,
    granted: bool,
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        if !self.granted {
            let Claim { key, owner, .. } = self.claim;
            let now = self.backend.0.clock.now();
            self.backend.0.step(|store| store.release(key, *owner, now));
        }
    }
}

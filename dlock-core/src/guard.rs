//! Holding a lock.

use crate::acquisition::Acquisition;
use crate::backend::Grant;
use crate::error::{ErrorKind, LockError, Operation};
use crate::keeper::Keeper;
use crate::key::LockKey;
use crate::lease::{FencingToken, GuardState, Lease, LossReason, MaxHold};
use crate::scope::LockScope;
use crate::shared::Shared;
use crate::spans::HoldSpan;
use crate::time::Moment;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A lock that is held, and renewed until the guard is released or dropped.
///
/// dlock gives you a *lease*. While [`is_valid`](LockGuard::is_valid) is true, no other dlock client has a
/// valid guard on that key, provided the assumptions listed for your backend hold. A program can be stopped
/// for longer than its lease without knowing. If two writers would corrupt data, pass the
/// [`token`](LockGuard::token) to a store that refuses smaller ones: then the result is safe even when every
/// timing assumption fails.
///
/// Dropping the guard releases the lock in the background: the drop never blocks, never panics and needs no
/// runtime. [`release`](LockGuard::release) does the same and reports the outcome.
///
/// Bind the guard to a name. `let _ = locks.lock(key).await?` drops it in the same statement, so no lock is held;
/// `let _guard = …` holds it to the end of the scope. A [`LockRequest`](crate::LockRequest) that is not awaited asks for
/// nothing: the compiler warns of it, and its drop is an event of level DEBUG.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct LockGuard {
    manager: Arc<Shared>,
    lease: Lease,
    /// Whether the backend may have something of this owner.
    to_release: bool,
    span: HoldSpan,
}

impl LockGuard {
    /// The guard of a lock that is still to be asked for.
    pub(crate) fn pending(manager: Arc<Shared>, acquisition: Arc<Acquisition>) -> Self {
        Self { manager, lease: Lease::of(acquisition), to_release: false, span: HoldSpan::NONE }
    }

    pub(crate) fn set_to_release(&mut self, to_release: bool) {
        self.to_release = to_release;
    }

    /// Takes the granted lease under renewal.
    pub(crate) fn granted(mut self, grant: &Grant, now: Moment, max_hold: MaxHold) -> Self {
        self.to_release = true;
        let held = &self.lease.acquisition();
        held.lease().limit_hold(max_hold.until(now));
        held.grant(grant);
        held.lease().held_from(now);
        self.manager.renewal.enter(Arc::clone(held), now);
        self.span = HoldSpan::new(&held.claim, &*self.manager.backend, grant.token);
        self
    }

    pub(crate) fn acquisition(&self) -> &Arc<Acquisition> {
        self.lease.acquisition()
    }

    pub(crate) fn manager(&self) -> &Arc<Shared> {
        &self.manager
    }

    /// The key that is locked, as the caller named it: without the namespace of the manager.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        self.lease.key()
    }

    /// The fencing token: greater than that of every earlier grant of this key.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.lease.token()
    }

    /// Whether the lease is valid now, by the clock. Once this is false, it stays false.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.lease.is_valid()
    }

    /// How long the lease is valid without another renewal; zero if it is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.lease.remaining()
    }

    /// Whether the lock is held, in doubt, or lost. It reads the clock and what this process knows, and sends nothing.
    ///
    /// ```
    /// use dlock_core::GuardState;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let guard = locks.lock("order:42").await?;
    /// assert_eq!(guard.state(), GuardState::Held);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn state(&self) -> GuardState {
        self.lease.state()
    }

    /// Waits until the state differs from `seen`, and returns it. A state that came and went between two calls is not
    /// returned. No state follows [`GuardState::Lost`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn state_changed(&self, seen: GuardState) -> GuardState {
        self.lease.state_changed(seen).await
    }

    /// Waits until the lock is lost, and says why. It returns at the lease's deadline at the latest, whether or not the
    /// backend can be reached.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn lost(&self) -> LossReason {
        self.lease.lost().await
    }

    /// Waits until another client asks the holder to let go. The lock stays held: the holder decides what to do.
    ///
    /// Over ZooKeeper a client can ask, with `ZooKeeperBackend::revoke` or with the `Revoker` of Apache Curator. There
    /// each call costs a request, and a watch on the lock's node. With other backends no client can ask, and this never
    /// returns.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind. A request made meanwhile is seen by the next call.
    pub async fn revoked(&self) {
        self.manager.backend.revoked(&self.lease.acquisition().claim).await;
    }

    /// A view of the lease that can be passed around. Keeping it does not keep the lock.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// The scope of this lock, for hand-written futures. [`run`](LockGuard::run) enters it by itself.
    pub fn scope(&self) -> LockScope {
        LockScope::of(&self.manager, &self.lease)
    }

    /// Runs `work` while the lock is held. If the lock is lost, `work` is dropped at its next await. Inside `work`,
    /// asking the same manager for the same key fails with [`ErrorKind::Reentrant`].
    ///
    /// # Errors
    /// [`ErrorKind::Lost`] if the lock was lost before `work` was done.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`. The guard still holds the lock.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let guard = locks.lock("order:42").await?;
    /// assert_eq!(guard.run(async { 7 }).await?, 7);
    /// # Ok(()) }
    /// ```
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, LockError> {
        let (scope, mut work, mut lost) = (self.scope(), pin!(work), pin!(self.lease.acquisition().lost()));
        let outcome = poll_fn(|context| {
            if let Some(reason) = self.lease.loss() {
                return Poll::Ready(Err(reason));
            }
            // Work that is done at once needs no watch over its lock.
            match scope.enter(|| work.as_mut().poll(context)) {
                // Work that blocked may have outlived its lock.
                Poll::Ready(output) => Poll::Ready(self.lease.loss().map_or(Ok(output), Err)),
                Poll::Pending => lost.as_mut().poll(context).map(Err),
            }
        });
        outcome.await.map_err(|reason| {
            self.lease.acquisition().end(reason);
            self.lost_error(reason, Operation::Run)
        })
    }

    /// Releases the lock and waits until the backend confirms it.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`] if the lock was lost before it was released. [`ErrorKind::Unavailable`] if the
    /// backend did not confirm; the release is then repeated in the background.
    ///
    /// # Cancel safety
    /// The release goes on in the background.
    pub async fn release(mut self) -> Result<(), LockError> {
        if !self.manager.backend.is_local() {
            Keeper::here().map_err(|error| self.name(error, Operation::Release))?;
        }
        let (now, claim) = (self.manager.clock.now(), &self.lease.acquisition().claim);
        let lost = self.give_up(now);
        let outcome = match self.manager.backend.release_at_once(claim, now) {
            Some(outcome) => outcome,
            None => self.manager.backend.release(claim).await,
        };
        self.to_release = matches!(&outcome, Err(error) if error.kind().is_retryable());
        match (lost, outcome) {
            (Some(reason), _) => Err(self.lost_error(reason, Operation::Release)),
            (None, outcome) => outcome.map_err(|error| self.name(error, Operation::Release)),
        }
    }

    /// As [`release`](Self::release), for a thread that may block.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    pub fn blocking_release(self) -> Result<(), LockError> {
        pollster::block_on(self.release())
    }

    /// Releases the lock; what goes wrong is logged and otherwise left to the lease.
    pub(crate) async fn release_quietly(self) {
        if let Err(error) = self.release().await {
            tracing::warn!(%error, "release failed");
        }
    }

    /// Ends the lease locally *before* anything is sent: from here on the lease is not valid. Returns why it was lost, if it
    /// was.
    fn give_up(&self, now: Moment) -> Option<LossReason> {
        self.manager.renewal.remove(self.lease.acquisition());
        // A lease whose time passed before it was looked at was lost, whatever its holder does now.
        let lost = self.lease.acquisition().lease().loss(now);
        self.lease.acquisition().end(lost.unwrap_or(LossReason::Released));
        lost
    }

    fn lost_error(&self, reason: LossReason, operation: Operation) -> LockError {
        let detail = format!("{reason}; what was done since may overlap with another owner's work");
        self.name(LockError::new(ErrorKind::Lost, detail), operation)
    }

    pub(crate) fn name(&self, error: LockError, operation: Operation) -> LockError {
        self.manager.named(error.with_operation(operation), self.key())
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.to_release && !self.manager.is_forked() {
            let _entered = self.span.enter();
            let now = self.manager.clock.now();
            self.give_up(now);
            self.manager.release_in_background(self.lease.acquisition(), now);
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lease.fmt_as("LockGuard", f)
    }
}

//! Holding a lock.

use crate::backend::Share;
use crate::error::{LockError, Operation};
use crate::holding::Holding;
use crate::keeper::Keeper;
use crate::key::LockKey;
use crate::kind::{Exclusive, Permits, Reader};
use crate::lease::{FencingToken, GuardState, Lease, LossReason};
use crate::scope::LockScope;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::pin::pin;
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
/// Beside a [`ReadGuard`] other readers may be valid, and beside a [`Permit`] others of the same semaphore, up to its number.
///
/// Dropping the guard releases the lock in the background: the drop never blocks, never panics and needs no
/// runtime. [`release`](LockGuard::release) does the same and reports the outcome.
///
/// Bind the guard to a name. `let _ = locks.lock(key).await?` drops it in the same statement, so no lock is held;
/// `let _guard = …` holds it to the end of the scope. A [`LockRequest`](crate::LockRequest) that is not awaited asks for
/// nothing: the compiler warns of it, and its drop is an event of level DEBUG.
///
/// The type says what is held: all of the key ([`Exclusive`], the default), a reader's part ([`Reader`]), or permits of a
/// semaphore ([`Permits`]). All guards have the methods that do not depend on that.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct LockGuard<S = Exclusive>(Holding, PhantomData<fn() -> S>);

/// The guard of a writer: of a plain lock.
pub type WriteGuard = LockGuard<Exclusive>;

/// The guard of a reader.
pub type ReadGuard = LockGuard<Reader>;

/// Permits of a semaphore that are held.
pub type Permit = LockGuard<Permits>;

impl<S> LockGuard<S> {
    pub(crate) fn of(held: Holding) -> Self {
        Self(held, PhantomData)
    }

    /// The key that is locked, as the caller named it: without the namespace of the manager.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        self.0.lease().key()
    }

    /// The fencing token: greater than that of every earlier grant of this key.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.0.lease().token()
    }

    /// Whether the lease is valid now, by the clock. Once this is false, it stays false.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.lease().is_valid()
    }

    /// How long the lease is valid without another renewal; zero if it is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.lease().remaining()
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
        self.0.lease().state()
    }

    /// Waits until the state differs from `seen`, and returns it. A state that came and went between two calls is not
    /// returned. No state follows [`GuardState::Lost`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn state_changed(&self, seen: GuardState) -> GuardState {
        self.0.lease().state_changed(seen).await
    }

    /// Waits until the lock is lost, and says why. It returns at the lease's deadline at the latest, whether or not the
    /// backend can be reached.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn lost(&self) -> LossReason {
        self.0.lease().lost().await
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
        self.0.manager().backend.revoked(&self.0.acquisition().claim).await;
    }

    /// A view of the lease that can be passed around. Keeping it does not keep the lock.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.0.lease().clone()
    }

    /// The scope of this lock, for hand-written futures. [`run`](LockGuard::run) enters it by itself.
    pub fn scope(&self) -> LockScope {
        LockScope::of(self.0.manager(), self.0.lease())
    }

    /// Runs `work` while the lock is held. If the lock is lost, `work` is dropped at its next await. Inside `work`,
    /// asking the same manager for the same key fails with [`ErrorKind::Reentrant`](crate::ErrorKind::Reentrant).
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) if the lock was lost before `work` was done.
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
        let (scope, mut work, mut lost) = (self.scope(), pin!(work), pin!(self.0.acquisition().lost()));
        let outcome = poll_fn(|context| {
            if let Some(reason) = self.0.lease().loss() {
                return Poll::Ready(Err(reason));
            }
            // Work that is done at once needs no watch over its lock.
            match scope.enter(|| work.as_mut().poll(context)) {
                // Work that blocked may have outlived its lock.
                Poll::Ready(output) => Poll::Ready(self.0.lease().loss().map_or(Ok(output), Err)),
                Poll::Pending => lost.as_mut().poll(context).map(Err),
            }
        });
        outcome.await.map_err(|reason| {
            self.0.acquisition().end(reason);
            self.0.lost_error(reason, Operation::Run)
        })
    }

    /// Releases the lock and waits until the backend confirms it.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) if the lock was lost before it was released. [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the
    /// backend did not confirm; the release is then repeated in the background.
    ///
    /// # Cancel safety
    /// The release goes on in the background.
    pub async fn release(mut self) -> Result<(), LockError> {
        if !self.0.manager().backend.is_local() {
            Keeper::here().map_err(|error| self.0.name(error, Operation::Release))?;
        }
        let (now, claim) = (self.0.manager().clock.now(), &self.0.acquisition().claim);
        let lost = self.0.give_up(now);
        let outcome = match self.0.manager().backend.release_at_once(claim, now) {
            Some(outcome) => outcome,
            None => self.0.manager().backend.release(claim).await,
        };
        self.0.set_to_release(matches!(&outcome, Err(error) if error.kind().is_retryable()));
        match (lost, outcome) {
            (Some(reason), _) => Err(self.0.lost_error(reason, Operation::Release)),
            (None, outcome) => outcome.map_err(|error| self.0.name(error, Operation::Release)),
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
}

impl LockGuard {
    /// Makes a reader of the writer, in one step: no other writer has the key in between. Waiting readers enter beside it; a
    /// waiting writer does not. The reader has a lease and a token of its own, and the limit of `max_hold` stays.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) if the lock was lost before.
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the backend does not promise
    /// [`Guarantees::SHARES`](crate::Guarantees::SHARES), and [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it did
    /// not answer. After an error the lock is released in the background.
    ///
    /// # Cancel safety
    /// Dropping the future releases the lock in the background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let writer = locks.write("config").await?;
    /// let written = writer.token();
    /// let reader = writer.downgrade().await?;
    /// assert!(reader.token() > written);
    /// assert!(locks.read("config").try_acquire().await?.is_some());
    /// assert!(locks.write("config").try_acquire().await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn downgrade(self) -> Result<ReadGuard, LockError> {
        self.0.downgrade(Share::READER).await.map(LockGuard::of)
    }
}

impl LockGuard<Reader> {
    /// Makes a writer of the reader, if it is the only holder and no writer waits. If not, the reader comes back as it was.
    ///
    /// No upgrade waits: two readers that wait for each other to leave would wait for ever. Release the reader and ask for
    /// a writer instead, and look again at what was read.
    ///
    /// # Errors
    /// As [`downgrade`](LockGuard::downgrade). After an error the reader is released in the background.
    ///
    /// # Cancel safety
    /// Dropping the future releases the reader in the background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let (one, other) = (locks.read("config").await?, locks.read("config").await?);
    /// let Err(one) = one.try_upgrade().await? else { unreachable!("there is another reader") };
    /// other.release().await?;
    /// let writer = one.try_upgrade().await?.expect("it is alone");
    /// assert!(writer.is_valid());
    /// # Ok(()) }
    /// ```
    pub async fn try_upgrade(self) -> Result<Result<WriteGuard, Self>, LockError> {
        Ok(match self.0.upgrade().await? {
            ControlFlow::Break(writer) => Ok(LockGuard::of(writer)),
            ControlFlow::Continue(reader) => Err(Self::of(reader)),
        })
    }
}

impl LockGuard<Permits> {
    /// How many permits it stands for.
    #[must_use]
    pub fn permits(&self) -> u32 {
        self.0.acquisition().claim.share.weight()
    }
}

impl<S> fmt::Debug for LockGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0.acquisition().claim.share {
            Share::All => "LockGuard",
            Share::READER => "ReadGuard",
            Share::Part { .. } => "Permit",
        };
        self.0.lease().fmt_as(name, f)
    }
}

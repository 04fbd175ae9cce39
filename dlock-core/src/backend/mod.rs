//! The seam between the locks and what keeps them.
//!
//! A backend answers three requests about one acquisition: acquire, renew, release. Everything else (options,
//! deadlines, guards, when to renew, undoing what a dropped future may have left) is done once, above it.
//! `testing::conformance` (feature `testing`) holds one test per promise made here.

use crate::error::{ErrorKind, LockError, Operation};
use crate::key::LockKey;
use crate::lease::{FencingToken, Interest, LossReason, OwnerId, Ttl};
use crate::time::Moment;
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

pub mod embedded;
pub(crate) mod expiring_map;
#[cfg(feature = "redis")]
pub mod redis;
pub(crate) mod wakeups;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

/// What the methods of a [`Backend`] return.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LockError>> + Send + 'a>>;

/// What [`Backend::revoked`] returns.
pub type RevokedFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Keeps locks: the implementor's side of this crate.
///
/// An *owner* is one acquisition (I8). Every request of one acquisition carries the same [`Claim`], so each
/// of them can be repeated: a lost reply is *unknown*, not failed (I5).
///
/// Every method returns within a time the backend bounds by itself, save an acquire that waits.
///
/// A backend may say that it keeps no queue. Of its promises those of the order among waiters (I6) fall away:
/// whoever asks when the lock is free may be granted it, and waiters ask again by themselves.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The backend's name in errors and traces, such as `"redis"`.
    fn name(&self) -> &'static str;

    /// Whether the locks are kept in this process, so that nobody gains by waiting in line before they ask, and
    /// owners need be unique in this process alone.
    fn is_local(&self) -> bool {
        false
    }

    /// Acquires the lock for the claim's owner.
    ///
    /// # Behavior
    /// - While one owner's grant is valid no other owner is granted the key (I1).
    /// - Tokens of one key strictly rise in grant order (I2).
    /// - [`Grant::valid_until`] is counted from before the request was sent (I3).
    /// - [`Mode::Try`] answers [`ErrorKind::Busy`] at once if another owner has the key or waits for it, and
    ///   then leaves nothing behind.
    /// - [`Mode::Wait`] waits without end, first come first served (I6), through reconnects. It tells
    ///   [`AcquireRequest::progress`] what it is waiting for, and returns an error only if waiting cannot help.
    /// - An owner that has the key already is granted it again, with the same token (I5).
    /// - The future may be dropped at any await, and may return an error with its effect unknown. The caller
    ///   then calls [`release`](Backend::release), which must undo all that the acquire left or may still
    ///   leave (I4).
    /// - If the backend learns later that the grant is gone, it says so on [`AcquireRequest::loss`]. If it learns
    ///   that it cannot vouch for it for the moment, it may say that there, too, and takes it back once it can.
    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant>;

    /// Renews the owner's lease, and returns until when it is valid now (I3).
    ///
    /// # Behavior
    /// - Only the owner's own lease is renewed (I8); a lock that is gone is not made again.
    /// - [`ErrorKind::Lost`] says that the owner does not have the key any more. Any other error leaves the
    ///   lease as it was.
    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment>;

    /// Makes the owner leave: gives up the grant, the place in the queue, and whatever an earlier request of
    /// the same owner may still bring about.
    ///
    /// # Behavior
    /// - The next waiter is granted the key, and it alone is woken (I6).
    /// - No other owner is touched (I8).
    /// - [`ErrorKind::Lost`] says that the owner had no grant any more.
    /// - After [`ErrorKind::Unavailable`] the caller repeats the call until the lease is over anyway.
    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()>;

    /// Acquires the lock without waiting and without asking anybody else. That takes locks that are kept in this
    /// process; other backends keep the default, which is `None`.
    ///
    /// # Behavior
    /// - As [`acquire`](Backend::acquire) with [`Mode::Try`], but that the grant counts from `now`, which was read
    ///   just before, and that the backend has nothing to say of it later.
    /// - `None` says nothing and leaves nothing behind: the caller goes on to `acquire`, with the same owner.
    fn acquire_at_once(&self, _claim: &Claim, _now: Moment) -> Option<Grant> {
        None
    }

    /// Makes the owner leave without waiting and without asking anybody else, where that is possible; by default it
    /// is not. It may be called outside of a runtime.
    ///
    /// # Behavior
    /// - As [`release`](Backend::release) at `now`, which was read just before.
    /// - `None` says that nothing was done: the caller goes on to `release`.
    fn release_at_once(&self, _claim: &Claim, _now: Moment) -> Option<Result<(), LockError>> {
        None
    }

    /// Waits until somebody asks the owner to let go. Never ends where nobody can, which is the default.
    ///
    /// # Behavior
    /// - The owner keeps the key.
    /// - What it costs is paid by who waits: an owner that does not pays nothing.
    /// - The future may be dropped at any await.
    fn revoked<'a>(&'a self, _claim: &'a Claim) -> RevokedFuture<'a> {
        Box::pin(std::future::pending())
    }
}

impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn is_local(&self) -> bool {
        (**self).is_local()
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        (**self).acquire(request)
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        (**self).renew(claim)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        (**self).release(claim)
    }

    fn acquire_at_once(&self, claim: &Claim, now: Moment) -> Option<Grant> {
        (**self).acquire_at_once(claim, now)
    }

    fn release_at_once(&self, claim: &Claim, now: Moment) -> Option<Result<(), LockError>> {
        (**self).release_at_once(claim, now)
    }

    fn revoked<'a>(&'a self, claim: &'a Claim) -> RevokedFuture<'a> {
        (**self).revoked(claim)
    }
}

/// Who wants which key for how long: the same in every request of one acquisition.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Claim {
    /// What is locked.
    pub key: LockKey,
    /// The acquisition.
    pub owner: OwnerId,
    /// The length of the lease.
    pub ttl: Ttl,
}

impl Claim {
    /// A claim of a new owner.
    ///
    /// # Errors
    /// As [`OwnerId::random`].
    pub fn new(key: LockKey, ttl: Ttl) -> Result<Self, LockError> {
        Ok(Self { key, owner: OwnerId::random()?, ttl })
    }

    /// A claim of a new owner by way of `backend`.
    pub(crate) fn by_way_of(backend: &dyn Backend, key: LockKey, ttl: Ttl) -> Result<Self, LockError> {
        let owner = match backend.is_local() {
            true => OwnerId::local(),
            false => {
                OwnerId::random().map_err(|error| error.with_operation(Operation::Acquire).with_key(&key))?
            }
        };
        Ok(Self { key, owner, ttl })
    }

    /// Says in an error what was done about which key.
    pub(crate) fn named(&self, operation: Operation) -> impl Fn(LockError) -> LockError + '_ {
        move |error| error.with_operation(operation).with_key(&self.key)
    }

    /// An error about this claim.
    #[must_use]
    pub fn error(
        &self,
        operation: Operation,
        kind: ErrorKind,
        detail: impl Into<std::borrow::Cow<'static, str>>,
    ) -> LockError {
        LockError::new(kind, detail).with_operation(operation).with_key(&self.key)
    }
}

/// Whether an acquire waits its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Answer at once.
    Try,
    /// Wait until granted.
    Wait,
}

/// What a [`Backend`] is asked when a lock is acquired.
#[derive(Debug)]
#[non_exhaustive]
pub struct AcquireRequest {
    /// Who wants what.
    pub claim: Claim,
    /// Whether to wait.
    pub mode: Mode,
    /// Where the backend says what it is waiting for.
    pub progress: Arc<Progress>,
    interest: Arc<dyn Interest>,
}

impl AcquireRequest {
    /// A request for `claim`.
    #[must_use]
    pub fn new(claim: Claim, mode: Mode) -> Self {
        Self::of(claim, mode, Arc::default(), Arc::new(Nobody))
    }

    /// A request whose progress and loss somebody else wants to know.
    pub(crate) fn of(claim: Claim, mode: Mode, progress: Arc<Progress>, interest: Arc<dyn Interest>) -> Self {
        Self { claim, mode, progress, interest }
    }

    /// Where the backend says, after the grant, that it is gone or in doubt. To be kept for as long as the grant lasts.
    #[must_use]
    pub fn loss(&self) -> LossSignal {
        LossSignal(Arc::downgrade(&self.interest))
    }
}

/// Nobody wants to know.
#[derive(Debug)]
struct Nobody;

impl Interest for Nobody {
    fn lose(&self, _: LossReason) {}

    fn doubt(&self) {}

    fn trust(&self) {}
}

/// The backend's word that an owner has the key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Grant {
    /// The fencing token of the grant.
    pub token: FencingToken,
    /// How many tokens are this grant's, from `token` on: no other grant of the key has one of them. So many
    /// holders of one process can have the lock one after the other, each under a token of its own.
    pub tokens: u32,
    /// Until when it may be believed without a renewal.
    pub valid_until: Moment,
}

impl Grant {
    /// A grant with `token`, valid until `valid_until`.
    #[must_use]
    pub fn new(token: FencingToken, valid_until: Moment) -> Self {
        Self { token, tokens: 1, valid_until }
    }

    /// The same with as many tokens.
    #[must_use]
    pub fn with_tokens(self, tokens: u32) -> Self {
        Self { tokens, ..self }
    }
}

/// Tells the guard of a grant what becomes of the grant. Does nothing once there is no guard.
#[derive(Debug, Clone)]
pub struct LossSignal(Weak<dyn Interest>);

impl LossSignal {
    /// Ends the lease, once.
    pub fn lose(&self, reason: LossReason) {
        if let Some(interest) = self.0.upgrade() {
            interest.lose(reason);
        }
    }

    /// Says that the backend cannot vouch for the grant for the moment: the guard is
    /// [`Suspect`](crate::GuardState::Suspect) until [`trust`](Self::trust), whatever renewals say. The deadline
    /// of the lease stays.
    pub fn doubt(&self) {
        if let Some(interest) = self.0.upgrade() {
            interest.doubt();
        }
    }

    /// Takes back what [`doubt`](Self::doubt) said.
    pub fn trust(&self) {
        if let Some(interest) = self.0.upgrade() {
            interest.trust();
        }
    }

    /// Whether nobody has an interest in the grant any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// What an acquire is waiting for, so that a caller whose wait ends learns why.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Standing>);

#[derive(Debug, Default)]
enum Standing {
    #[default]
    Unanswered,
    Queued,
    Failing(Arc<LockError>),
    /// What somebody else waits for, who asks for us too.
    As(Arc<Progress>),
}

impl Progress {
    /// The backend answered that the key is another owner's.
    pub fn queued(&self) {
        *self.0.lock() = Standing::Queued;
    }

    /// Whether the backend's last word was [`queued`](Progress::queued).
    #[must_use]
    pub fn is_queued(&self) -> bool {
        match &*self.0.lock() {
            Standing::As(other) => other.is_queued(),
            standing => matches!(standing, Standing::Queued),
        }
    }

    /// From here on what `other` waits for is waited for here.
    pub(crate) fn follow(&self, other: &Arc<Self>) {
        *self.0.lock() = Standing::As(Arc::clone(other));
    }

    /// The backend cannot be reached for the moment.
    pub fn failing(&self, cause: LockError) {
        *self.0.lock() = Standing::Failing(Arc::new(cause));
    }

    /// The error of a wait that ended after `waited`, in words without key and operation.
    pub(crate) fn verdict(&self, waited: std::time::Duration) -> LockError {
        match &*self.0.lock() {
            Standing::As(other) => other.verdict(waited),
            Standing::Queued => LockError::new(
                ErrorKind::Busy,
                format!("another owner held it for all of {waited:?}; try again later or wait longer"),
            ),
            Standing::Unanswered => LockError::new(
                ErrorKind::Unavailable,
                format!("no answer within the wait of {waited:?}; try again later or wait longer"),
            ),
            Standing::Failing(cause) => LockError::new(
                cause.kind(),
                format!("not reachable within the wait of {waited:?}; check the server and the network"),
            )
            .with_source(Arc::clone(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_wait_that_ends_says_what_it_waited_for() {
        let wait = Duration::from_secs(2);
        let progress = Progress::default();
        assert_eq!(progress.verdict(wait).kind(), ErrorKind::Unavailable);
        progress.queued();
        assert_eq!(progress.verdict(wait).kind(), ErrorKind::Busy);
        progress.queued();
        progress.failing(LockError::new(ErrorKind::Unavailable, "refused"));
        let failing = progress.verdict(wait);
        assert_eq!(failing.kind(), ErrorKind::Unavailable);
        assert!(std::error::Error::source(&failing).is_some());
    }
}

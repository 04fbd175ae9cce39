//! What a backend promises.

use super::claim::Claim;
use super::forcing::{ForcedRelease, Reopening};
use super::grant::Grant;
use super::inspection::Inspection;
use super::listing::{ListCursor, LockPage};
use super::request::AcquireRequest;
use crate::error::LockError;
use crate::guarantees::Guarantees;
use crate::key::{LockKey, Namespace};
use crate::lease::FencingToken;
use crate::time::{Clock, Moment};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What the methods of a [`Backend`] return.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LockError>> + Send + 'a>>;

/// What [`Backend::revoked`] returns.
pub type RevokedFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Keeps locks: implement this to add a backend.
///
/// An *owner* is one acquisition. Every request of one acquisition carries the same [`Claim`], so each request can be
/// repeated: a lost reply is *unknown*, not failed.
///
/// Every method returns within a time that the backend bounds by itself, except an acquire that waits.
///
/// The library polls these futures on a thread of its own, in a Tokio runtime: they must not block it. An acquire may
/// also be polled by the caller first, in any runtime or in none, and be moved later. A panic fails only the request
/// that panicked.
///
/// A backend may say that it keeps no queue. Then it need not keep the order of waiters: the first owner to ask for a
/// free lock may be granted it, and waiters ask again by themselves.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The backend's name in errors and traces, such as `"redis"`.
    fn name(&self) -> &'static str;

    /// What holds under the assumptions of this backend, as it is set up. Without asking a server.
    ///
    /// # Behavior
    /// - The answer is always the same.
    /// - A backend without [`Guarantees::QUEUE`] keeps no order of waiters.
    /// - Grants have more than one token if and only if [`Guarantees::TOKEN_BLOCKS`] is promised.
    fn guarantees(&self) -> Guarantees;

    /// Whether the locks are kept in this process. Then a queue in front of the backend gains nothing, and owners only
    /// need to be unique in this process.
    fn is_local(&self) -> bool {
        false
    }

    /// The clock of the leases. Only a backend in this process can have another clock than the default.
    fn clock(&self) -> Clock {
        Clock::default()
    }

    /// How long at most the servers keep what this owner has if they hear nothing more of it; by default the claim's
    /// ttl. For that long an unconfirmed release is repeated.
    fn longest_lease(&self, claim: &Claim) -> Duration {
        claim.ttl.as_duration()
    }

    /// Acquires the lock for the claim's owner.
    ///
    /// # Behavior
    /// - While one owner's grant is valid, no other owner is granted the key, unless their shares
    ///   [fit together](super::Share::fits). A backend without [`Guarantees::SHARES`] is asked for all of a key only.
    /// - Tokens of one key strictly rise in grant order.
    /// - [`Grant::valid_until`] is counted from before the request was sent.
    /// - [`Mode::Try`](super::Mode::Try) answers [`ErrorKind::Busy`](crate::ErrorKind::Busy) at once if another owner
    ///   waits for the key, or has it and the share does not fit. Then it leaves nothing behind.
    /// - [`Mode::Wait`](super::Mode::Wait) waits without end, first come, first served, through reconnects. It tells
    ///   [`AcquireRequest::progress`] what it is waiting for, and returns an error only if waiting cannot help. The first waiter
    ///   whose share does not fit stops those behind it.
    /// - An owner that already has the key is granted it again, with the same token.
    /// - The future may be dropped at any await, and may return an error while its effect is unknown. The caller then
    ///   calls [`release`](Backend::release), which must undo all that the acquire left or may still leave.
    /// - If the backend learns later that the grant is gone, it says so on [`AcquireRequest::loss`]. If it cannot vouch
    ///   for the grant for the moment, it may say that there, too, and takes it back once it can.
    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant>;

    /// Renews the owner's lease, and returns until when it is valid now.
    ///
    /// # Behavior
    /// - Only the owner's own lease is renewed. A lock that is gone is not made again.
    /// - [`ErrorKind::Lost`](crate::ErrorKind::Lost) says that the owner no longer has the key. Any other error
    ///   leaves the lease as it was.
    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment>;

    /// Makes the owner leave: gives up the grant, the place in the queue, and whatever an earlier request of the same
    /// owner may still get.
    ///
    /// # Behavior
    /// - The next waiter is granted the key, or the next ones if their shares fit together. No other is woken.
    /// - No other owner is touched.
    /// - [`ErrorKind::Lost`](crate::ErrorKind::Lost) says that the owner no longer had a grant.
    /// - After [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) the caller repeats the call until the lease is
    ///   over anyway.
    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()>;

    /// Gives the grant of `held` up for a grant of `wanted`, in one step. The key is the same, the owner and the share are
    /// others. It does not wait, whatever the mode.
    ///
    /// # Behavior
    /// - All of a key for a part of it: no other owner is granted all of the key in between. Waiters that fit beside the part
    ///   are admitted.
    /// - A part for all of the key: granted only if no other owner has the key and no waiter wants all of it. If not, the
    ///   answer is [`ErrorKind::Busy`](crate::ErrorKind::Busy): `held` keeps its grant, and `wanted` leaves nothing.
    /// - The new token is greater than that of every earlier grant. The former owner has nothing left.
    /// - A wanted owner that already has the key is granted it again, with the same token.
    /// - [`ErrorKind::Lost`](crate::ErrorKind::Lost) says that `held` has no grant.
    /// - After any other error the outcome is unknown: the caller releases both owners.
    /// - A backend without [`Guarantees::SHARES`] answers [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant>;

    /// Acquires the lock without waiting and without asking a server. Only a backend that keeps its locks in this
    /// process can do that; others keep the default, which is `None`.
    ///
    /// # Behavior
    /// - As [`acquire`](Backend::acquire) with [`Mode::Try`](super::Mode::Try). But the grant counts from `now`, which
    ///   was read just before, and the backend reports nothing about it later.
    /// - `None` leaves nothing behind: the caller goes on to `acquire`, with the same owner.
    fn acquire_at_once(&self, _claim: &Claim, _now: Moment) -> Option<Grant> {
        None
    }

    /// Makes the owner leave without waiting and without asking a server, if that is possible; by default it is not. It
    /// may be called outside of a runtime.
    ///
    /// # Behavior
    /// - As [`release`](Backend::release) at `now`, which was read just before.
    /// - `None` says that nothing was done: the caller goes on to `release`.
    fn release_at_once(&self, _claim: &Claim, _now: Moment) -> Option<Result<(), LockError>> {
        None
    }

    /// Waits until another client asks the owner to let go. If no client can ask, which is the default, it never ends.
    ///
    /// # Behavior
    /// - The owner keeps the key.
    /// - An owner that does not call this pays nothing for it.
    /// - The future may be dropped at any await.
    fn revoked<'a>(&'a self, _claim: &'a Claim) -> RevokedFuture<'a> {
        Box::pin(std::future::pending())
    }

    /// Looking at locks from outside, where the backend can; by default it cannot.
    fn admin(&self) -> Option<&dyn Admin> {
        None
    }

    /// What stands before every key of this backend; by default nothing.
    fn namespace(&self) -> Option<&Namespace> {
        None
    }

    /// This backend for the keys of a namespace, inside the one that it already has. `None`, the default, says that the
    /// backend has no notion of namespaces: then the library puts the namespace before the keys.
    ///
    /// # Behavior
    /// - Claims and errors name a key without its namespace.
    /// - The same key in two namespaces is two locks.
    /// - All that the backend keeps of a key lies in the namespace.
    ///
    /// # Errors
    /// As [`Namespace::within`], and those of the backend itself.
    fn namespaced(&self, _namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        Ok(None)
    }
}

/// What a [`Backend`] can do for operators: see [`Backend::admin`].
pub trait Admin: Send + Sync {
    /// Shows the holders and the waiters of the lock on `key`.
    ///
    /// # Behavior
    /// - Nothing changes, and nothing of an owner's id is told.
    /// - Waiters come in the order in which they are to be served (I6).
    /// - With an `asker` the answer says where that owner stands, and need not name the waiters.
    /// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) says that the locks are kept in a way that shows none of it,
    ///   and what to do instead.
    fn inspect<'a>(&'a self, key: &'a LockKey, asker: Option<&'a Claim>) -> BackendFuture<'a, Inspection>;

    /// Names locks that are held and whose keys begin with `prefix`: from the beginning, or from where another page ended.
    ///
    /// # Behavior
    /// - A lock that is held during the whole of a walk from the beginning to the last page is named by it at least once.
    /// - A lock that is taken or released meanwhile may be named or not.
    /// - No page takes longer than a few requests.
    fn list<'a>(&'a self, prefix: &'a [u8], from: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage>;

    /// Takes the lock on `key` away from the holder that `token` is one of the tokens of.
    ///
    /// # Behavior
    /// - The holder can no longer renew. It is told, where that is possible, and its guard is lost.
    /// - [`Reopening::Confirmed`]: no other owner is granted the key while the holder's guard may be valid (I1). A holder that is
    ///   never heard of costs what is left of its lease (I7). A backend that cannot keep that answers
    ///   [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    /// - [`Reopening::Now`]: the next waiter is granted the key at once. The guards of both may be valid together.
    /// - The tokens of later grants are greater than [`ForcedRelease::fence`] or the same, and that is greater than all of the
    ///   holder's (I2).
    /// - [`ErrorKind::NotHeld`](crate::ErrorKind::NotHeld) says that no holder has this token. Then nothing changes.
    fn force_release<'a>(
        &'a self,
        key: &'a LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> BackendFuture<'a, ForcedRelease>;
}

impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn guarantees(&self) -> Guarantees {
        (**self).guarantees()
    }

    fn is_local(&self) -> bool {
        (**self).is_local()
    }

    fn clock(&self) -> Clock {
        (**self).clock()
    }

    fn longest_lease(&self, claim: &Claim) -> Duration {
        (**self).longest_lease(claim)
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

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        (**self).exchange(held, wanted)
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

    fn admin(&self) -> Option<&dyn Admin> {
        (**self).admin()
    }

    fn namespace(&self) -> Option<&Namespace> {
        (**self).namespace()
    }

    fn namespaced(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        (**self).namespaced(namespace)
    }
}

//! Taking locks away.

use crate::backend::{ForcedRelease, Reopening, admin};
use crate::error::{LockError, Operation};
use crate::key::LockKey;
use crate::lease::FencingToken;
use crate::manager::LockManager;
use crate::shared::Shared;
use tracing::field::display;

/// What an operator may do to locks that others hold. Made by [`LockManager::admin`].
///
/// Nothing in dlock calls these by itself.
#[derive(Debug, Clone)]
pub struct LockAdmin(LockManager);

impl LockManager {
    /// What an operator may do to locks that others hold.
    #[must_use]
    pub fn admin(&self) -> LockAdmin {
        LockAdmin(self.clone())
    }
}

impl LockAdmin {
    /// Takes the lock on `key` away from the holder that `if_token` is a token of, and leaves it closed until that is safe. Find
    /// the token by [`LockManager::inspect`].
    ///
    /// The holder can renew no longer, and its process is told to end the guard: [`LockGuard::lost`](crate::LockGuard::lost)
    /// fires there. When the process has confirmed that, the next waiter has the lock. A process that does not hear of it
    /// finds out at its next renewal, and one that is dead or stopped costs what is left of its lease. So the promise of the
    /// lock holds: no two valid guards. It returns at once, and does not wait for the lock to open.
    ///
    /// Pass [`fence`](ForcedRelease::fence) to the store that the lock protects, and it refuses what the holder still writes.
    ///
    /// It is an event of level WARN, `lock taken away`.
    ///
    /// | backend | |
    /// |---|---|
    /// | Redis (`Fair`, `Barging`) | the holder is told by a push. In a cluster it hears that only in slots where it has waited before |
    /// | embedded | the holder finds out at its next renewal |
    /// | ZooKeeper | [`Unsupported`](crate::ErrorKind::Unsupported): a holder cannot confirm while its node is there |
    /// | Redlock, `Plain`, `Timestamp` | [`Unsupported`](crate::ErrorKind::Unsupported) |
    ///
    /// # Errors
    /// - [`NotHeld`](crate::ErrorKind::NotHeld): no holder has this token, perhaps any longer. Nothing was changed.
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): see above; or the holder is a client of another library, which cannot be told.
    /// - [`Unavailable`](crate::ErrorKind::Unavailable): the backend did not answer. Look whether the lock was taken away.
    /// - [`InvalidKey`](crate::ErrorKind::InvalidKey), [`Auth`](crate::ErrorKind::Auth), [`Corrupt`](crate::ErrorKind::Corrupt): as for a
    ///   lock.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lock taken away or not.
    ///
    /// ```
    /// use dlock_core::{ErrorKind, LockManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = LockManager::connect("memory:?ttl=10s").await?;
    /// let stuck = locks.lock("order:42").await?;
    ///
    /// let seen = locks.inspect("order:42").await?;
    /// let token = seen.holders[0].token.expect("the holder is a client of dlock");
    /// let forced = locks.admin().force_release("order:42", token).await?;
    /// assert!(forced.fence > stuck.token());
    /// assert!(locks.lock("order:42").try_acquire().await?.is_none(), "closed: the guard may be valid");
    ///
    /// drop(stuck); // its guard is over
    /// assert!(locks.lock("order:42").await?.token() > forced.fence);
    /// # Ok(()) }
    /// ```
    pub async fn force_release<K>(&self, key: K, if_token: FencingToken) -> Result<ForcedRelease, LockError>
    where
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
    {
        self.force(key.try_into().map_err(Into::into), if_token, Reopening::Confirmed).await
    }

    /// As [`force_release`](Self::force_release), but the next waiter has the lock at once. **Two guards of the key may be valid
    /// together**: that of the holder until it hears of it, which may take a third of its ttl, and that of the next one. Use it where a
    /// store checks tokens, or where the holder's process is known to be dead.
    ///
    /// On ZooKeeper the holder's node is removed, and its guard ends with the next heartbeat or so. Not with
    /// `Recipe::Simple`, where the node that is removed could be the next holder's.
    ///
    /// # Errors
    /// As [`force_release`](Self::force_release).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lock taken away or not. Taken away, it may stay closed for what is left of the lease.
    ///
    /// ```
    /// use dlock_core::LockManager;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = LockManager::connect("memory:").await?;
    /// let stuck = locks.lock("order:42").await?;
    /// locks.admin().force_release_now("order:42", stuck.token()).await?;
    /// let next = locks.lock("order:42").await?;
    /// assert!(next.is_valid() && next.token() > stuck.token());
    /// # Ok(()) }
    /// ```
    pub async fn force_release_now<K>(
        &self,
        key: K,
        if_token: FencingToken,
    ) -> Result<ForcedRelease, LockError>
    where
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
    {
        self.force(key.try_into().map_err(Into::into), if_token, Reopening::Now).await
    }

    async fn force(
        &self,
        key: Result<LockKey, LockError>,
        token: FencingToken,
        reopening: Reopening,
    ) -> Result<ForcedRelease, LockError> {
        let key = key.map_err(|error| error.with_operation(Operation::ForceRelease))?;
        let shared = self.0.shared();
        let forced = match admin::of(&*shared.backend) {
            Ok(admin) => admin.force_release(&key, token, reopening).await,
            Err(error) => Err(error),
        };
        match forced {
            Ok(forced) => {
                tell(shared, &key, token, reopening, forced);
                Ok(forced)
            }
            Err(error) => Err(shared.named(error.with_operation(Operation::ForceRelease), &key)),
        }
    }
}

/// The event that an audit looks for.
fn tell(shared: &Shared, key: &LockKey, token: FencingToken, reopening: Reopening, forced: ForcedRelease) {
    let (namespace, by) = (shared.backend.namespace().map(display), shared.label.as_ref().map(display));
    tracing::warn!(
        %key,
        namespace,
        backend = shared.backend.name(),
        %token,
        fence = %forced.fence,
        closed_for = ?forced.closed_for,
        now = reopening == Reopening::Now,
        by,
        "lock taken away"
    );
}

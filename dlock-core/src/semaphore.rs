//! A number of permits for all processes.

use crate::backend::Share;
use crate::error::{ErrorKind, LockError, Operation};
use crate::guard::Permit;
use crate::key::LockKey;
use crate::kind::Permits;
use crate::request::LockRequest;
use crate::shared::Shared;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A number of permits that all processes share: [`LockManager::semaphore`](crate::LockManager::semaphore) makes one.
///
/// [`acquire`](Self::acquire) and [`permits`](Self::permits) make requests with the same setters as those for a lock. Each
/// [`Permit`] has a lease and a token of its own. So a crash gives its permits back after its lease.
///
/// Requests are served in the order in which they came. One for several permits at the head of the queue stops those behind
/// it: it does not starve, and meanwhile permits may be idle. Take several permits in one request. One that asks again inside
/// its own scope fails with [`ErrorKind::Reentrant`], since it would wait for itself behind such a request.
///
/// The name is a key. A [lock](crate::LockManager::lock) or a [reader](crate::LockManager::read) on the same key waits until all
/// permits are back, and the other way round.
///
/// # Changing the number
/// Permits under two numbers are never held together. While processes with the old and the new number run side by side, those
/// under one number wait until all permits under the other are back.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
/// let locks = dlock_core::LockManager::connect("memory:").await?;
/// let workers = locks.semaphore("workers", 3);
/// let one = workers.acquire().await?;
/// let two = workers.permits(2).await?;
/// assert!(workers.try_acquire().await?.is_none());
/// two.release().await?;
/// assert!(workers.try_acquire().await?.is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Semaphore {
    manager: Arc<Shared>,
    name: Result<LockKey, LockError>,
    permits: u32,
}

impl Semaphore {
    /// The most permits that one can have.
    pub const MAX_PERMITS: u32 = u32::MAX - 1;

    pub(crate) fn new(manager: Arc<Shared>, name: Result<LockKey, LockError>, permits: u32) -> Self {
        Self { manager, name, permits }
    }

    /// A request for one permit.
    pub fn acquire(&self) -> LockRequest<Permits> {
        self.permits(1)
    }

    /// A request for this many permits at once. More than there are, or none, is
    /// [`ErrorKind::InvalidOption`] when the request is awaited.
    ///
    /// ```
    /// use dlock_core::ErrorKind;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let workers = locks.semaphore("workers", 3);
    /// assert_eq!(workers.permits(3).await?.permits(), 3);
    /// assert_eq!(workers.permits(4).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    /// # Ok(()) }
    /// ```
    pub fn permits(&self, permits: u32) -> LockRequest<Permits> {
        let share = share(permits, self.permits);
        let (manager, name) = (Arc::clone(&self.manager), self.name.clone());
        let request = LockRequest::new(manager, name, Permits(share.clone().unwrap_or_default()));
        match share {
            Ok(_) => request,
            Err(error) => request.refused(error),
        }
    }

    /// One permit, if it is free and has no waiters; otherwise `None`.
    ///
    /// # Errors
    /// As [`LockRequest::try_acquire`].
    ///
    /// # Cancel safety
    /// As [`LockRequest::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Permit>, LockError> {
        self.acquire().try_acquire().await
    }

    /// How many permits are free, as the backend sees it at one moment: none while the name is held as a lock, by readers, or
    /// under another number of permits. A request may wait though some are free, since others are ahead of it. So do not use it to
    /// decide whether to acquire: just acquire.
    ///
    /// # Errors
    /// As [`LockManager::inspect`](crate::LockManager::inspect), and [`ErrorKind::InvalidOption`] if there cannot be so many permits.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let workers = locks.semaphore("workers", 3);
    /// let _two = workers.permits(2).await?;
    /// assert_eq!(workers.available_permits().await?, 1);
    /// # Ok(()) }
    /// ```
    pub async fn available_permits(&self) -> Result<u32, LockError> {
        let name = self.name.clone().map_err(|error| error.with_operation(Operation::Inspect))?;
        let all = share(self.permits, self.permits)
            .map_err(|error| self.manager.named(error.with_operation(Operation::Inspect), &name))?;
        let seen = self.manager.inspect(&name).await?;
        Ok(left_of(all, seen.holders.iter().map(|holder| holder.share)))
    }

    /// How many permits there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.permits
    }
}

/// This many permits of so many.
fn share(permits: u32, of: u32) -> Result<Share, LockError> {
    let wrong = |detail| LockError::new(ErrorKind::InvalidOption, detail);
    let size = NonZeroU32::new(of).filter(|of| of.get() <= Semaphore::MAX_PERMITS);
    let of = size
        .ok_or_else(|| wrong(format!("a semaphore has 1 to {} permits, not {of}", Semaphore::MAX_PERMITS)))?;
    let weight = NonZeroU32::new(permits).filter(|weight| *weight <= of);
    let weight =
        weight.ok_or_else(|| wrong(format!("a request is for 1 to {of} permits here, not {permits}")))?;
    Ok(Share::Part { weight, of })
}

/// How many of all permits are left beside these holders.
fn left_of(all: Share, holders: impl Iterator<Item = Share> + Clone) -> u32 {
    match holders.clone().all(|held| held.parts() == all.parts()) {
        true => holders.fold(all.weight(), |left, held| left.saturating_sub(held.weight())),
        false => 0,
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, permits, .. } = self;
        f.debug_struct("Semaphore").field("name", name).field("permits", permits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_at_least_one_and_at_most_all() {
        for (permits, of) in [(1, 1), (3, 8), (8, 8), (1, Semaphore::MAX_PERMITS)] {
            let share = share(permits, of).unwrap();
            assert_eq!(share.weight(), permits);
            assert!(share.fits([]));
            assert_ne!(share, Share::READER);
        }
        for (permits, of) in [(0, 8), (9, 8), (0, 0), (1, 0), (1, u32::MAX)] {
            assert_eq!(share(permits, of).unwrap_err().kind(), ErrorKind::InvalidOption, "{permits} of {of}");
        }
    }
}

//! How a manager ends: closed, shut down, or dropped.

use crate::error::LockError;
use crate::lease::LossReason;
use crate::manager::LockManager;
use crate::shared::Shared;
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long [`LockManager::shutdown`] takes at most.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

impl LockManager {
    /// Whether the manager was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().closed.is_cancelled()
    }

    /// Grants no more locks: waiters and later requests get [`ErrorKind::Closed`](crate::ErrorKind::Closed). Held locks
    /// stay held and renewed.
    pub fn close(&self) {
        self.shared().closed.cancel();
    }

    /// Closes the manager, and releases every lock that is still held; their guards are lost. Then it waits until every
    /// pending release is confirmed, for 10 seconds at most.
    ///
    /// # Errors
    /// As [`shutdown_within`](Self::shutdown_within).
    ///
    /// # Cancel safety
    /// The releases go on in the background.
    ///
    /// ```
    /// use dlock_core::{ErrorKind, LockManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = LockManager::connect("memory:").await?;
    /// let held = locks.lock("order:42").await?;
    /// locks.shutdown().await?;
    /// assert!(!held.is_valid());
    /// assert_eq!(locks.lock("order:42").await.unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok(()) }
    /// ```
    pub async fn shutdown(&self) -> Result<(), LockError> {
        self.shutdown_within(SHUTDOWN_LIMIT).await
    }

    /// As [`shutdown`](Self::shutdown), for `limit` at most.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if releases are not confirmed by then;
    /// [`LockError::unflushed`] says how many. They are repeated in the background for as long as the process lives.
    ///
    /// # Cancel safety
    /// As [`shutdown`](Self::shutdown).
    pub async fn shutdown_within(&self, limit: Duration) -> Result<(), LockError> {
        self.close();
        let shared = self.shared();
        for held in shared.renewal.clear() {
            held.end(LossReason::Released);
            shared.release_in_background(&held, shared.clock.now());
        }
        tokio::select! {
            biased;
            () = shared.releases.settled() => Ok(()),
            () = crate::time::sleep(limit) => Err(shared.unflushed_error(limit)),
        }
    }
}

impl Drop for LockManager {
    fn drop(&mut self) {
        if self.shared().handles.remove() {
            flush(self.shared());
        }
    }
}

/// How long all managers of this process have waited together.
static WAITED: Mutex<Duration> = Mutex::new(Duration::ZERO);

/// So that a program that just ends leaves no lock behind. Waits for no longer than is left of the patience, which all
/// managers of the process share.
fn flush(shared: &Arc<Shared>) {
    if shared.handles.patience.is_zero() || shared.releases.is_settled() || thread::panicking() {
        return;
    }
    let mut waited = WAITED.lock();
    let patience = shared.handles.patience.saturating_sub(*waited);
    *waited += shared.releases.block_until_settled(patience);
}

//! A clock that a test moves.

use super::moment::Moment;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A clock that stands still until a test moves it. The leases, renewals, waits and losses of an
/// [`EmbeddedBackend`](crate::EmbeddedBackend) that was made [with it](crate::EmbeddedBackend::with_clock) follow it.
/// Clones are one clock.
///
/// ```
/// use dlock_core::{EmbeddedBackend, LockManager, LossReason, TestClock};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
/// let clock = TestClock::new();
/// let locks = LockManager::builder(EmbeddedBackend::with_clock(clock.clone())).ttl(Duration::from_secs(30)).build()?;
/// let guard = locks.lock("order:42").await?;
/// clock.advance(Duration::from_secs(31)); // no renewal came in between
/// assert!(!guard.is_valid());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct TestClock(Arc<TestTime>);

#[derive(Debug, Default)]
struct TestTime {
    nanos: AtomicU64,
    moved: Notify,
}

impl TestClock {
    /// A clock at its beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock forward, and wakes everything that waited for a moment up to then.
    pub fn advance(&self, span: Duration) {
        let nanos = Moment::START.after(span).as_nanos();
        let later = |now: u64| Some(now.saturating_add(nanos));
        let _ = self.0.nanos.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        self.0.moved.notify_waiters();
    }

    /// Now, by this clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::from_nanos(self.0.nanos.load(Ordering::Acquire))
    }

    /// Waits until the clock has been moved to `until`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn sleep_until(&self, until: Moment) {
        loop {
            let mut moved = pin!(self.0.moved.notified());
            moved.as_mut().enable();
            if self.now() >= until {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;

    #[tokio::test]
    async fn a_sleep_ends_when_the_clock_has_been_moved_far_enough() {
        let clock = TestClock::new();
        let mut sleep = pin!(clock.sleep_until(Moment::START.after(Duration::from_secs(30))));
        assert!(poll!(sleep.as_mut()).is_pending());
        clock.advance(Duration::from_secs(29));
        assert!(poll!(sleep.as_mut()).is_pending());
        clock.advance(Duration::from_secs(1));
        assert!(poll!(sleep.as_mut()).is_ready());
    }
}

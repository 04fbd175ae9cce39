//! How long a lease lasts.

use crate::error::{ErrorKind, LockError};
use crate::time::Moment;
use std::time::Duration;

/// How long a lease lasts unless it is renewed: 100 ms to 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl {
    millis: u32,
}

impl Ttl {
    /// The shortest lease. A shorter one could not be renewed in time over a network.
    pub const MIN: Duration = Duration::from_millis(100);
    /// The longest lease. A lock is renewed while its guard lives, so the ttl only bounds how long a dead holder's lock
    /// lasts.
    pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// Checks `ttl`, which is cut to whole milliseconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if it is shorter than [`Ttl::MIN`] or longer than [`Ttl::MAX`].
    pub fn new(ttl: Duration) -> Result<Self, LockError> {
        if ttl < Self::MIN {
            return Err(out_of_range(ttl, "a ttl below 100ms cannot be renewed in time; use 100ms or more"));
        }
        if ttl > Self::MAX {
            return Err(out_of_range(
                ttl,
                "a ttl above 24h would keep a dead holder's lock for as long; renewal keeps a living one",
            ));
        }
        Ok(Self { millis: u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX) })
    }

    /// The length of the lease.
    #[must_use]
    pub fn as_duration(self) -> Duration {
        Duration::from_millis(self.as_millis())
    }

    /// The length of the lease in milliseconds.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.millis.into()
    }

    /// Until when a lease is valid that a request granted or renewed. That is the ttl after `sent`, when the request
    /// was sent, less 1 % and 2 ms for clocks that run at different rates.
    #[must_use]
    pub fn valid_until(self, sent: Moment) -> Moment {
        let ttl = self.as_duration();
        let margin = ttl / 100 + Duration::from_millis(2);
        sent.after(ttl.saturating_sub(margin))
    }
}

fn out_of_range(ttl: Duration, remedy: &'static str) -> LockError {
    LockError::new(ErrorKind::InvalidOption, format!("ttl {ttl:?}: {remedy}"))
}

/// The lease a manager uses where none is named: 30 seconds.
impl Default for Ttl {
    fn default() -> Self {
        Self { millis: 30_000 }
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = LockError;

    fn try_from(ttl: Duration) -> Result<Self, LockError> {
        Self::new(ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::START.after(Duration::from_millis(millis))
    }

    #[test]
    fn validity_counts_from_the_send_less_a_margin() {
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        assert_eq!(ttl.valid_until(at(1_000)), at(1_000 + 10_000 - 100 - 2));
    }

    #[test]
    fn ttl_is_checked_at_both_ends_and_cut_to_milliseconds() {
        for wrong in [Duration::ZERO, Duration::from_millis(99), Duration::from_secs(86_401), Duration::MAX] {
            assert_eq!(Ttl::new(wrong).unwrap_err().kind(), ErrorKind::InvalidOption, "{wrong:?}");
        }
        assert_eq!(Ttl::new(Duration::from_micros(100_900)).unwrap().as_millis(), 100);
    }
}

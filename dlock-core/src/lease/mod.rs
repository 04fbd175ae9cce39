//! How long an owner has a lock: its time to live, its fencing token, its local deadline.

mod state;

use crate::error::{ErrorKind, LockError};
use crate::time::Moment;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use state::{Doubt, Interest, LeaseState};

/// How long a lease lasts unless it is renewed: 100 ms to 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl {
    millis: u32,
}

impl Ttl {
    /// The shortest lease. A shorter one could not be renewed in time over a network.
    pub const MIN: Duration = Duration::from_millis(100);
    /// The longest lease. A lock is renewed for as long as its guard lives, so only a dead holder's lock
    /// lasts this long.
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

    /// Until when a lease that was granted or renewed by a request sent at `sent` may be believed (I3):
    /// counted from before the request left, less 1 % and 2 ms for clocks that run at different rates.
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

/// A number that rises with every grant of one key (I2).
///
/// Pass it to the store that the lock protects and let the store refuse a smaller one than it has seen: then
/// a holder that was stopped for longer than its lease cannot overwrite its successor's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// The token with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The next one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> Self {
        token.0
    }
}

/// One acquisition: 128 bits, random and never reused, so that a late request of an earlier acquisition can
/// never touch a later one (I8).
///
/// Whoever knows the id can release the lock, so neither `Debug` nor a log line shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId {
    // Two words: a `u128` would make everything that holds an id larger, for its alignment.
    high: u64,
    low: u64,
}

impl OwnerId {
    /// A new id from the system's random source.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the system has no randomness to give.
    pub fn random() -> Result<Self, LockError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|cause| {
            LockError::new(ErrorKind::Unavailable, "the system gave no random bytes for an owner id")
                .with_source(std::io::Error::other(cause.to_string()))
        })?;
        Ok(Self::from_u128(u128::from_be_bytes(bytes)))
    }

    /// A new id among those of this process. The system's random source takes longer than a lock that is kept
    /// here.
    pub(crate) fn local() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self { high: 0, low: LAST.fetch_add(1, Ordering::Relaxed) }
    }

    /// The id with these bits.
    pub(crate) fn from_u128(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The bits.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerId(..)")
    }
}

/// Why a lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// Its time passed and no renewal was confirmed.
    Expired,
    /// The backend no longer has this owner as the holder.
    NotOwner,
    /// The session it belonged to is over.
    SessionExpired,
    /// The guard was released, or its manager was shut down.
    Released,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the lease expired before a renewal was confirmed",
            Self::NotOwner => "the backend no longer has this owner as the holder",
            Self::SessionExpired => "the session with the backend is over",
            Self::Released => "the lock was released",
        })
    }
}

/// What is known of a lock that was acquired.
///
/// ```text
/// Held <-> Suspect
///   \         /
///      Lost
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuardState {
    /// The lease is valid, and nothing speaks against it.
    Held,
    /// The lease is valid, but the last word from the backend was a bad one: a renewal failed, or the session
    /// is cut off. Nobody else has the lock yet. It is `Held` again when the backend answers, and `Lost` when
    /// it does not do so before the deadline: a good moment to begin nothing new.
    Suspect,
    /// The lease is over, for good.
    Lost(LossReason),
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

    #[test]
    fn an_owner_id_is_not_shown() {
        let id = OwnerId::random().unwrap();
        assert_eq!(format!("{id:?}"), "OwnerId(..)");
        assert_ne!(id, OwnerId::random().unwrap());
    }

    #[test]
    fn an_owner_id_keeps_its_bits() {
        let bits = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
        assert_eq!(OwnerId::from_u128(bits).as_u128(), bits);
    }
}

//! Options of the scripts.

use crate::backend::durations::check_range;
use crate::error::LockError;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How the scripts are to act, the same in every call of one backend value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ScriptOptions {
    /// Whether a free lock goes to the first owner that asks, even if others wait.
    pub(super) barging: bool,
    /// How long a server grants nothing after it was started or promoted.
    pub(super) quarantine: Duration,
    /// How often, and for how long, a lock with waiters is left free for clients of other libraries.
    pub(super) gap: Option<Gap>,
}

/// Every `between` at most, for `length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) between: Duration,
    pub(super) length: Duration,
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);
/// A quarantine may be longer than the longest lease, by as long as an old primary goes on.
const QUARANTINE: RangeInclusive<Duration> = MILLISECOND..=HOUR.saturating_mul(48);
const BETWEEN_GAPS: RangeInclusive<Duration> = Duration::ZERO..=HOUR.saturating_mul(24);
/// The servers take whole milliseconds, and one at least.
const GAP: RangeInclusive<Duration> = MILLISECOND..=HOUR;

impl ScriptOptions {
    /// Checks what a builder was given.
    ///
    /// # Errors
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) if a duration is out of its range.
    pub(super) fn check(&self) -> Result<(), LockError> {
        if !self.quarantine.is_zero() {
            check_range("quarantine", self.quarantine, &QUARANTINE)?;
        }
        let Some(Gap { between, length }) = self.gap else { return Ok(()) };
        check_range("foreign_gap, the time between two gaps", between, &BETWEEN_GAPS)?;
        check_range("foreign_gap", length, &GAP)
    }
}

//! Points on the lease clock.

use super::system;
use std::time::Duration;

/// A point on the lease clock: nanoseconds since an arbitrary start, never stepping back, and still running
/// while the machine is suspended.
///
/// Only moments of one process can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The beginning of the clock: earlier than, or equal to, every other moment.
    pub const START: Self = Self(0);

    /// Now, by `CLOCK_BOOTTIME` where there is one.
    #[must_use]
    pub fn now() -> Self {
        Self(saturating_nanos(system::since_start()))
    }

    /// `self` moved later by `span`; the end of the clock if that is past it.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(span)))
    }

    /// `self` moved earlier by `span`; [`Moment::START`] if that is before it.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(span)))
    }

    /// The time from `earlier` to `self`, zero if `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
}

fn saturating_nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_both_ends_of_the_clock() {
        let now = Moment::now();
        assert_eq!(now.after(Duration::MAX), Moment(u64::MAX));
        assert_eq!(now.before(Duration::MAX), Moment::START);
        assert_eq!(Moment::START.since(now), Duration::ZERO);
        assert_eq!(now.after(Duration::from_secs(3)).since(now), Duration::from_secs(3));
    }
}

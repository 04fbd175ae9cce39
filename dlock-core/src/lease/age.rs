//! For how long a lease has been held.

use crate::time::Moment;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// The second of the grant, in the two bytes that the state of a lease has to spare. It counts up to nine hours: a lease
/// that is held for longer is set back to nine hours at each renewal, and so never looks young.
#[derive(Debug, Default)]
pub(super) struct Age(AtomicU16);

/// Half of what can be counted. The longest time between two renewals, eight hours, fits into the other half.
const LONGEST: u16 = u16::MAX / 2;

impl Age {
    pub(super) fn begin(&self, now: Moment) {
        self.0.store(second(now), Ordering::Relaxed);
    }

    /// To be called at each renewal.
    pub(super) fn go_on(&self, now: Moment) {
        if self.seconds(now) > LONGEST {
            self.0.store(second(now).wrapping_sub(LONGEST), Ordering::Relaxed);
        }
    }

    pub(super) fn at(&self, now: Moment) -> Duration {
        Duration::from_secs(self.seconds(now).min(LONGEST).into())
    }

    fn seconds(&self, now: Moment) -> u16 {
        second(now).wrapping_sub(self.0.load(Ordering::Relaxed))
    }
}

/// The last two bytes of it.
#[allow(clippy::cast_possible_truncation, reason = "that is what is wanted")]
fn second(now: Moment) -> u16 {
    now.since(Moment::START).as_secs() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_to_the_second_and_never_starts_again() {
        let at = |seconds| Moment::START.after(Duration::from_secs(seconds));
        let (age, begun) = (Age::default(), 100_000);
        age.begin(at(begun));
        assert_eq!(age.at(at(begun + 61)), Duration::from_secs(61));
        let nine_hours = Duration::from_secs(LONGEST.into());
        for renewal in 1..100 {
            let now = at(begun + renewal * 8 * 60 * 60);
            let shown = age.at(now);
            assert_eq!(shown, Duration::from_secs(renewal * 8 * 60 * 60).min(nine_hours), "{renewal}");
            age.go_on(now);
        }
    }
}

//! How long to wait before the next attempt. Pure.
//!
//! There is no queue: the queues of several servers would soon differ. Rivals that each got a part of the servers must
//! not ask again at the same time, or they would split the servers for ever. So the pauses are random, and spread over
//! several round trips, wider with every attempt.

use std::time::Duration;

/// The pauses of one acquire.
#[derive(Debug, Default)]
pub(super) struct RetryPauses {
    attempts: u32,
}

const LEAST: Duration = Duration::from_millis(10);
const FIRST_SPREAD: Duration = Duration::from_millis(30);
const WIDEST_SPREAD: Duration = Duration::from_millis(240);

impl RetryPauses {
    /// The pause after an attempt that took `attempt` and was refused. `free_in` is when the lock will be free
    /// at a majority, if no holder releases or renews it before. `random` is from 0 to 1.
    pub(super) fn next(&mut self, attempt: Duration, free_in: Option<Duration>, random: f64) -> Duration {
        let narrow = FIRST_SPREAD.max(attempt.saturating_mul(4));
        let widest = WIDEST_SPREAD.max(attempt.saturating_mul(8));
        let spread = narrow.saturating_mul(1 << self.attempts.min(4)).min(widest);
        self.attempts = self.attempts.saturating_add(1);
        let random = random.clamp(0.0, 1.0);
        let pause = LEAST.saturating_add(spread.mul_f64(random));
        // Waiters for the end of the same lease must not all ask at that moment.
        free_in.map_or(pause, |left| {
            pause.min(left.saturating_add(LEAST).saturating_add(narrow.mul_f64(random)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// B05.
    #[test]
    fn pauses_spread_over_several_round_trips_and_widen() {
        for round_trip in [MILLI, MILLI * 50] {
            let mut pauses = RetryPauses::default();
            let widths: Vec<_> = (0..40).map(|_| pauses.next(round_trip, None, 1.0)).collect();
            assert!(widths.iter().all(|width| *width >= round_trip * 4), "{widths:?}");
            assert!(widths.is_sorted() && widths.last() > widths.first(), "{widths:?}");
            assert!(widths.iter().all(|width| *width <= LEAST + WIDEST_SPREAD.max(round_trip * 8)));
            assert_eq!(pauses.next(round_trip, None, 0.0), LEAST, "never none at all");
        }
    }

    #[test]
    fn no_waiter_sleeps_long_past_the_end_of_the_lease_and_not_all_wake_at_once() {
        let mut pauses = RetryPauses { attempts: 9 };
        let early = pauses.next(MILLI, Some(MILLI), 0.0);
        let late = pauses.next(MILLI, Some(MILLI), 1.0);
        assert!(early < late && late <= MILLI + LEAST + FIRST_SPREAD, "{early:?} {late:?}");
    }

    #[test]
    fn no_duration_is_too_long_to_reckon_with() {
        let mut pauses = RetryPauses { attempts: u32::MAX };
        assert_eq!(pauses.next(Duration::from_secs(u64::MAX / 16), Some(MILLI), 0.0), LEAST);
        let _ = pauses.next(Duration::from_secs(1 << 40), Some(Duration::MAX), f64::NAN.max(1.0));
    }
}

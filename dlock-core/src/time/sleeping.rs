//! For how long the machine has slept.

use super::system;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long the machine had slept since it was started, at some moment. In hundredths of a second, to take little room.
#[derive(Debug, Default)]
pub(crate) struct Sleeping(AtomicU32);

impl Sleeping {
    /// Takes note of how long that is by now.
    pub(crate) fn note(&self) {
        self.0.store(hundredths(), Ordering::Relaxed);
    }

    /// For how long the machine has slept since then.
    pub(crate) fn since_noted(&self) -> Duration {
        let slept = hundredths().wrapping_sub(self.0.load(Ordering::Relaxed));
        let slept = Duration::from_millis(u64::from(slept) * 10);
        // The two clocks are not read at the same time, so the difference is off by one at times, either way.
        if slept < SHORTEST || slept > LONGEST { Duration::ZERO } else { slept }
    }
}

const SHORTEST: Duration = Duration::from_millis(100);
/// Half of what can be counted: the other half is what is less than nothing.
const LONGEST: Duration = Duration::from_secs(20_000_000);

/// One clock runs on while the machine sleeps, the other does not. It wraps after more than a year.
fn hundredths() -> u32 {
    let asleep = system::since_start().saturating_sub(system::awake());
    (asleep.as_millis() / 10) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_runs_the_test_does_not_sleep() {
        let sleeping = Sleeping::default();
        sleeping.note();
        assert_eq!(sleeping.since_noted(), Duration::ZERO);
    }
}

//! Pauses between attempts.

use std::time::Duration;

/// `span` made up to a fifth shorter at random, so that many clients do not act in step.
#[cfg(any(feature = "redis", feature = "zookeeper", test))]
pub(crate) fn jittered(span: Duration) -> Duration {
    span.mul_f64(1.0 - 0.2 * fastrand::f64())
}

/// The pauses between attempts at something that fails: each twice as long as the one before, up to the longest, with
/// jitter, without end.
#[derive(Debug)]
#[allow(dead_code, reason = "only backends that ask servers begin again")]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    pauses: backon::ExponentialBackoff,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, pauses: pauses(first, longest) }
    }

    /// How long to wait before the next attempt.
    pub(crate) fn next_pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest)
    }

    /// An attempt succeeded: the next pause is the first one again.
    #[cfg(any(feature = "redis", feature = "zookeeper", test))]
    pub(crate) fn reset(&mut self) {
        self.pauses = pauses(self.first, self.longest);
    }
}

fn pauses(first: Duration, longest: Duration) -> backon::ExponentialBackoff {
    use backon::BackoffBuilder as _;
    backon::ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens_and_never_by_more_than_a_fifth() {
        let span = Duration::from_secs(1);
        for _ in 0..1_000 {
            let jittered = jittered(span);
            assert!(jittered <= span && jittered >= span.mul_f64(0.8), "{jittered:?}");
        }
    }

    #[test]
    fn backoff_never_ends_and_never_exceeds_twice_its_longest_wait() {
        let longest = Duration::from_millis(100);
        let mut backoff = Backoff::new(Duration::from_millis(10), longest);
        let waits: Vec<_> = (0..50).map(|_| backoff.next_pause()).collect();
        assert!(waits.iter().all(|wait| *wait <= longest * 2), "{waits:?}");
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(20), "from the start again");
    }
}

//! The one clock. Nothing else in the crate reads a clock or names one.
//!
//! Leases are measured on a clock that also runs while the machine sleeps (I3): `std::time::Instant` stands
//! still in a suspended machine on Linux (rust-lang/rust#87906), and a lease that stood still with it would
//! look valid long after the backend gave the lock away.

mod test_clock;
mod timers;

use crate::keeper::Keeper;
use futures_util::future::Either;
use std::time::Duration;

pub use test_clock::TestClock;
pub(crate) use timers::KeeperTimer;

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
        Self(saturating_nanos(clock::since_start()))
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

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
}

/// What the leases and the waits of one backend are measured by: the lease clock, or one that a test moves.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<TestClock>);

impl Clock {
    /// Now, by this clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.0 {
            None => Moment::now(),
            Some(test) => test.now(),
        }
    }

    /// Waits until this clock has reached `until`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn sleep_until(&self, until: Moment) {
        match &self.0 {
            None => sleep_until(until).await,
            Some(test) => test.sleep_until(until).await,
        }
    }

    /// Waits until this clock has reached this moment; without one, for ever.
    pub(crate) async fn sleep_until_any(&self, until: Option<Moment>) {
        match until {
            Some(moment) => self.sleep_until(moment).await,
            None => std::future::pending().await,
        }
    }

    /// Waits for `span` of the time that the machine is awake, or of the time of the test.
    pub(crate) async fn sleep(&self, span: Duration) {
        match &self.0 {
            None => sleep(span).await,
            Some(test) => test.sleep_until(test.now().after(span)).await,
        }
    }
}

impl From<TestClock> for Clock {
    fn from(test: TestClock) -> Self {
        Self(Some(test))
    }
}

/// Waits until the lease clock has reached `until`.
///
/// Timers stand still while the machine sleeps, so the wait is cut into slices: a machine that wakes
/// up notices within one slice that the moment has passed. It is real time, also in a runtime whose time is paused.
///
/// # Cancel safety
/// Dropping the future leaves nothing behind.
pub async fn sleep_until(until: Moment) {
    while let Some(slice) = slice_before(until) {
        sleep(slice).await;
    }
}

fn slice_before(until: Moment) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(1);
    let left = until.since(Moment::now());
    (!left.is_zero()).then(|| left.min(LONGEST))
}

/// Waits for `span` of the time that the machine is awake: for pauses and patience, which no lease depends on.
/// Unlike [`sleep_until`] it wakes up only once. The time runs from this call on.
///
/// The timer is the keeper's, so it is real time, and the caller needs no runtime.
pub(crate) fn sleep(span: Duration) -> impl Future<Output = ()> + Send {
    match Keeper::here() {
        Ok(keeper) => Either::Left(KeeperTimer::new(keeper, span)),
        // Rare, and several times as large.
        Err(_) => Either::Right(Box::pin(tokio::time::sleep(span))),
    }
}

/// The output of `work`, unless it takes longer than `limit`.
#[cfg(feature = "zookeeper")]
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    before(sleep(limit), work).await
}

/// The output of `work`, unless `end` comes first.
#[cfg(any(feature = "redis", feature = "zookeeper"))]
pub(crate) async fn before<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        output = work => Some(output),
        () = end => None,
    }
}

/// The time of day, since 1970: only for locks whose value is a time of day. No lease of ours depends on it.
#[cfg(feature = "redis")]
#[allow(clippy::disallowed_methods, reason = "the one place that reads the time of day")]
pub(crate) fn unix_time() -> Duration {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

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

fn saturating_nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(unix)]
mod clock {
    use rustix::time::{ClockId, clock_gettime};
    use std::time::Duration;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const LEASE_CLOCK: ClockId = ClockId::Boottime;
    // Elsewhere on Unix, Darwin first, `CLOCK_MONOTONIC` goes on during sleep.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const LEASE_CLOCK: ClockId = ClockId::Monotonic;

    pub(super) fn since_start() -> Duration {
        Duration::try_from(clock_gettime(LEASE_CLOCK)).unwrap_or_default()
    }
}

#[cfg(not(unix))]
mod clock {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(super) fn since_start() -> Duration {
        START.elapsed()
    }
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

//! The clocks of the system. Nothing else reads one.

pub(super) use clocks::{awake, since_start};

#[cfg(unix)]
mod clocks {
    use rustix::time::{ClockId, clock_gettime};
    use std::time::Duration;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const LEASE_CLOCK: ClockId = ClockId::Boottime;
    // Elsewhere on Unix, Darwin first, `CLOCK_MONOTONIC` goes on during sleep.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const LEASE_CLOCK: ClockId = ClockId::Monotonic;

    pub(crate) fn since_start() -> Duration {
        Duration::try_from(clock_gettime(LEASE_CLOCK)).unwrap_or_default()
    }

    /// The time that the machine was awake.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn awake() -> Duration {
        Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
    }

    /// There is no clock here that stands still in sleep.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn awake() -> Duration {
        since_start()
    }
}

#[cfg(not(unix))]
mod clocks {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(crate) fn since_start() -> Duration {
        START.elapsed()
    }

    pub(crate) fn awake() -> Duration {
        since_start()
    }
}

/// The time of day, since 1970: for locks whose value is a time of day, and for where tokens begin. No lease of ours
/// depends on it.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the time of day")]
pub(crate) fn unix_time() -> std::time::Duration {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

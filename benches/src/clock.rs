//! The clock that all processes of a machine share.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Nanoseconds of `CLOCK_MONOTONIC`: comparable among processes, which no clock of the standard library is.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

pub(crate) fn after(from: u64, span: Duration) -> u64 {
    from.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

//! The ranges of the durations that a backend is built with. Pure.

use crate::error::{ErrorKind, LockError};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long connecting, or one answer, may take.
pub(crate) const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60 * 60);

/// Checks a setting.
///
/// # Errors
/// [`ErrorKind::InvalidOption`] if `value` is out of `range`.
pub(crate) fn check_range(
    name: &str,
    value: Duration,
    range: &RangeInclusive<Duration>,
) -> Result<(), LockError> {
    if range.contains(&value) {
        return Ok(());
    }
    let detail = format!("{name} {value:?}: use {:?} to {:?}", range.start(), range.end());
    Err(LockError::new(ErrorKind::InvalidOption, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_range_are_in_it() {
        for right in [*TIMEOUT.start(), *TIMEOUT.end()] {
            check_range("timeout", right, &TIMEOUT).unwrap();
        }
        for wrong in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(3_601), Duration::MAX] {
            let refused = check_range("timeout", wrong, &TIMEOUT).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidOption);
            assert!(refused.to_string().ends_with("use 1ms to 3600s"), "{refused}");
        }
    }
}

//! The durations of options: how they are written, and their ranges. Pure.

#[cfg(feature = "redis")]
use crate::error::{ErrorKind, LockError};
#[cfg(feature = "redis")]
use std::ops::RangeInclusive;
use std::time::Duration;

/// The duration that `text` means: a number and a unit, as in an annotation.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

/// How long connecting, or one answer, may take.
#[cfg(feature = "redis")]
pub(crate) const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60 * 60);

/// Checks a setting.
///
/// # Errors
/// [`ErrorKind::InvalidOption`] if `value` is out of `range`.
#[cfg(feature = "redis")]
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
    fn a_duration_is_a_number_and_a_unit() {
        for (text, expected) in [("500ms", 500), ("0s", 0), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(parse(text), Some(Duration::from_millis(expected)), "{text}");
        }
        for wrong in ["", "s", "30", "30 s", "1.5s", "-1s", "30S", "1m30s", "18446744073709551615h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[cfg(feature = "redis")]
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

//! `"30s"`: durations with their unit.

use std::time::Duration;

/// The duration that `text` means, a number and a unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| {
        format!(
            "`{text}` is not a duration; write a number and a unit, such as \"500ms\", \"30s\", \"5m\" or \"1h\""
        )
    })
}

/// As [`parse`], within the limits of a lease.
pub(crate) fn parse_ttl(text: &str) -> Result<Duration, String> {
    let ttl = parse(text)?;
    match ttl {
        Duration::ZERO => Err("`ttl` must be longer than zero".to_owned()),
        ttl if ttl < SHORTEST_TTL => Err("a `ttl` below 100ms cannot be renewed in time".to_owned()),
        ttl if ttl > LONGEST_TTL => {
            Err("a `ttl` above 24h would keep a dead holder's lock for as long; a living one is renewed"
                .to_owned())
        }
        ttl => Ok(ttl),
    }
}

/// As [`parse`], longer than zero.
pub(crate) fn parse_max_hold(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("`max_hold` must be longer than zero; without it there is no limit".to_owned()),
        limit => Ok(limit),
    }
}

fn duration(text: &str) -> Option<Duration> {
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

/// The limits of `dlock_core::Ttl`, which checks them again for what is not a literal.
const SHORTEST_TTL: Duration = Duration::from_millis(100);
const LONGEST_TTL: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in
            ["", "s", "30", "30 s", "30 secs", "1.5s", "-1s", "30S", "1m30s", "18446744073709551615h"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_lock_is_held_for_longer_than_zero() {
        assert_eq!(parse_max_hold("10m"), Ok(Duration::from_secs(600)));
        assert!(parse_max_hold("0s").is_err() && parse_max_hold("ten minutes").is_err());
    }

    #[test]
    fn a_ttl_has_limits() {
        for right in ["100ms", "24h"] {
            assert!(parse_ttl(right).is_ok(), "{right}");
        }
        for wrong in ["0s", "99ms", "25h", "86400001ms"] {
            assert!(parse_ttl(wrong).is_err(), "{wrong}");
        }
    }
}

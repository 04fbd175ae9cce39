//! What the scripts answer, read into types. Pure.

use super::number::GrantNumber;
use super::outcome::HeldByOther;
use crate::error::{ErrorKind, LockError};
use redis::Value;
use std::time::Duration;

/// The answer of `acquire.lua`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AcquireReply {
    Granted(GrantNumber),
    Held(HeldByOther),
    /// The owner gave up before; the request came late.
    GivenUp,
    /// The server grants nothing for this long.
    Quarantined(Duration),
}

pub(super) fn answer(reply: &Value) -> Result<AcquireReply, LockError> {
    let numbers = match reply {
        Value::BulkString(_) => {
            let granted = integer(reply).ok_or_else(strange)?;
            return Ok(AcquireReply::Granted(number(granted)?));
        }
        Value::Array(values) => values.iter().map(integer).collect::<Option<Vec<_>>>().ok_or_else(strange)?,
        _ => return Err(strange()),
    };
    match *numbers {
        [0, pttl, first, foreign, last] => Ok(AcquireReply::Held(HeldByOther {
            expires_in: u64::try_from(pttl).ok().map(Duration::from_millis),
            first: first == 1,
            silent: foreign == 1,
            last: number(last)?,
        })),
        [2] => Ok(AcquireReply::GivenUp),
        [3, left] => {
            Ok(AcquireReply::Quarantined(Duration::from_millis(u64::try_from(left).map_err(|_| strange())?)))
        }
        _ => Err(strange()),
    }
}

/// Numbers of grants are text, for Lua writes it faster and exactly.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// The number of a grant. Greater ones could not be counted exactly.
pub(super) fn number(number: i64) -> Result<GrantNumber, LockError> {
    let number = u64::try_from(number).ok().filter(|number| *number < 1 << 53);
    number.map(GrantNumber::new).ok_or_else(strange)
}

pub(super) fn strange() -> LockError {
    LockError::new(ErrorKind::Unsupported, "the server gave an answer that the script does not give")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_strange_ones_refused() {
        let answer =
            |numbers: &[i64]| answer(&Value::Array(numbers.iter().copied().map(Value::Int).collect()));
        let last = GrantNumber::new(7);
        let held =
            HeldByOther { expires_in: Some(Duration::from_millis(5)), first: true, silent: false, last };
        assert_eq!(answer(&[0, 5, 1, 0, 7]).unwrap(), AcquireReply::Held(held));
        let for_ever = HeldByOther { expires_in: None, first: false, silent: true, last };
        assert_eq!(answer(&[0, -1, 0, 1, 7]).unwrap(), AcquireReply::Held(for_ever));
        assert_eq!(answer(&[2]).unwrap(), AcquireReply::GivenUp);
        assert_eq!(answer(&[3, 40]).unwrap(), AcquireReply::Quarantined(Duration::from_millis(40)));
        for strange in [&[][..], &[1], &[1, 7], &[2, 0], &[3], &[3, -1], &[0, 1, 2], &[0, 1, 1, 0, -7]] {
            assert_eq!(answer(strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
    }

    #[test]
    fn a_grant_is_a_number_alone_as_text() {
        let text = |text: &str| answer(&Value::BulkString(text.as_bytes().to_vec()));
        let Ok(AcquireReply::Granted(number)) = text("1750000000000000") else { unreachable!("granted") };
        assert_eq!(number.token().as_u64(), 1_750_000_000_000_000 * 64);
        for strange in ["", "-7", "1e3", "9007199254740992", "99999999999999999999"] {
            assert_eq!(text(strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
        for strange in [Value::Int(7), Value::Nil, Value::Array(vec![Value::Nil])] {
            assert_eq!(answer(&strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
    }
}

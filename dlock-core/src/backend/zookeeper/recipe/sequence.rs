//! How many of a directory's numbers are left. Pure.
//!
//! ZooKeeper counts in 31 bits. When the numbers are used up, it gives the last one again and again. Then the numbers do not
//! tell which client came first, and Curator gives one lock to two clients.

/// What a node's number says about its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumbersLeft {
    Plenty,
    /// More than half of the numbers are given out.
    Half,
    /// With this few left, no waiter can be sure to be the first.
    Nothing,
}

/// From here on nothing counts as left. That is far from the end, since clients that do not check may still be at work.
const END: i64 = (1 << 31) - (1 << 20);

const HALF: i64 = 1 << 30;

/// How many numbers are left after the node whose name ends in `number`. A text that is not a number of ZooKeeper
/// counts as the end: a waiter that cannot read it cannot tell which node is first either.
pub(crate) fn left_after(number: &str) -> NumbersLeft {
    match read(number) {
        Some(0..HALF) => NumbersLeft::Plenty,
        Some(HALF..END) => NumbersLeft::Half,
        _ => NumbersLeft::Nothing,
    }
}

/// A number as ZooKeeper writes it, `%010d`: ten digits, or a minus sign and nine or ten.
fn read(number: &str) -> Option<i64> {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let width = if digits.len() == number.len() { 10..=10 } else { 9..=10 };
    let is_plain = width.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_is_seen_from_afar() {
        for (number, left) in [
            ("0000000000", NumbersLeft::Plenty),
            ("1073741823", NumbersLeft::Plenty),
            ("1073741824", NumbersLeft::Half),
            ("2146435071", NumbersLeft::Half),
            ("2146435072", NumbersLeft::Nothing),
            ("2147483647", NumbersLeft::Nothing),
        ] {
            assert_eq!(left_after(number), left, "{number}");
        }
    }

    /// By text, a negative number is less than every other one.
    #[test]
    fn past_the_sign_change_nothing_is_left() {
        for number in ["-2147483648", "-2147483647", "-000000001"] {
            assert_eq!(left_after(number), NumbersLeft::Nothing, "{number}");
        }
    }

    #[test]
    fn what_is_no_number_of_zookeeper_s_is_the_end() {
        for number in [
            "",
            "-",
            "1",
            "000000001",
            "00000000001",
            "+000000001",
            "+0000000001",
            " 000000001",
            "--00000001",
            "2147483648",
            "9999999999",
            "-00000001",
            "-00000000001",
            "0x00000001",
            "1e00000000",
            "\u{661}\u{662}\u{663}\u{661}\u{662}",
        ] {
            assert_eq!(left_after(number), NumbersLeft::Nothing, "{number}");
        }
    }

    proptest! {
        #[test]
        fn what_java_prints_is_read(number in any::<i32>()) {
            let printed = format!("{number:010}");
            prop_assert_eq!(read(&printed), Some(i64::from(number)), "{}", printed);
        }

        #[test]
        fn no_text_is_too_odd(text in ".{0,12}") {
            let _ = left_after(&text);
        }
    }
}

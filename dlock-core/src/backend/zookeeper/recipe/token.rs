//! Fencing tokens from transactions. Pure.

use crate::lease::FencingToken;

/// A transaction's tokens take up this many bits below its number.
const BITS: u32 = 6;

/// How many tokens are a grant's own.
pub(crate) const BLOCK: u32 = 1 << BITS;

/// The first token of the node that transaction `created` made; the others up to [`BLOCK`] follow it. Each node has
/// a transaction of its own, and later ones have greater numbers, so blocks neither meet nor fall (I2).
///
/// The upper half of a transaction's number counts the leaders. `None` if the number is none, or no token of its
/// block would fit in 63 bits, which is where most stores end: after 33 million elections.
pub(crate) fn first_token(created: i64) -> Option<FencingToken> {
    let created = u64::try_from(created).ok().filter(|number| *number > 0)?;
    (created.leading_zeros() > BITS).then(|| FencingToken::new(created << BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAST: i64 = i64::MAX >> BITS;

    #[test]
    fn what_is_no_transaction_has_no_token() {
        for created in [i64::MIN, -1, 0, LAST + 1, i64::MAX] {
            assert_eq!(first_token(created), None, "{created}");
        }
        assert_eq!(first_token(1), Some(FencingToken::new(u64::from(BLOCK))));
    }

    proptest! {
        #[test]
        fn blocks_rise_and_do_not_meet(created in 1..LAST) {
            let (this, next) = (first_token(created).unwrap(), first_token(created + 1).unwrap());
            let last = this.as_u64() + u64::from(BLOCK - 1);
            prop_assert!(last < next.as_u64());
            prop_assert!(i64::try_from(next.as_u64() + u64::from(BLOCK - 1)).is_ok());
        }
    }
}

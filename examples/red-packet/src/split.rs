//! How a packet is cut into stripes, and how much one grab takes. Pure: the chance comes in as an argument.

use crate::store::{Balance, Cents};

/// `full`, cut into `count` stripes. The stripes are as equal as whole shares and cents allow; together they are
/// `full`. With more stripes than shares, some stripes are empty from the start.
pub(crate) fn stripes(full: Balance, count: u16) -> Vec<Balance> {
    let shares_before = |stripe: u16| full.shares * i64::from(stripe) / i64::from(count);
    let cents_before = |stripe: u16| full.cents * shares_before(stripe) / full.shares.max(1);
    let between = |stripe: u16| Balance {
        cents: cents_before(stripe + 1) - cents_before(stripe),
        shares: shares_before(stripe + 1) - shares_before(stripe),
    };
    (0..count).map(between).collect()
}

/// A random share of `left`: at least one cent, at most twice the average of the shares left, never so much
/// that a later share would be empty. The last share is the rest, so the packet always runs out exactly.
///
/// `chance` lies in `0.0..1.0`. Nothing if there is nothing left.
pub(crate) fn share(left: Balance, chance: f64) -> Option<Cents> {
    match left.shares {
        ..=0 => None,
        1 => Some(left.cents),
        shares => {
            let most = (2 * left.cents / shares).min(left.cents - (shares - 1)).max(1);
            Some(1 + ((most as f64 * chance) as Cents).min(most - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_shares(mut left: Balance, chance: impl Fn() -> f64) -> Vec<Cents> {
        let mut taken = Vec::new();
        while let Some(cents) = share(left, chance()) {
            taken.push(cents);
            left = left.less(cents);
        }
        taken
    }

    #[test]
    fn the_shares_add_up_to_the_packet_whatever_the_chance() {
        for chance in [0.0, 0.3, 0.999_999, 1.0] {
            let taken = all_shares(Balance { cents: 1_000, shares: 7 }, || chance);
            assert_eq!(taken.len(), 7);
            assert_eq!(taken.iter().sum::<Cents>(), 1_000);
            assert!(taken.iter().all(|cents| *cents >= 1), "{taken:?}");
        }
    }

    #[test]
    fn stripes_are_together_the_packet_and_have_a_cent_for_each_share() {
        for full in [(1_000_000, 2_500), (1_000, 7), (7, 7), (10, 3), (100, 1)] {
            let full = Balance { cents: full.0, shares: full.1 };
            for count in [1, 2, 3, 16, 1_000] {
                let stripes = stripes(full, count);
                assert_eq!(stripes.len(), usize::from(count));
                assert_eq!(stripes.iter().map(|stripe| stripe.cents).sum::<Cents>(), full.cents, "{count}");
                assert_eq!(stripes.iter().map(|stripe| stripe.shares).sum::<i64>(), full.shares, "{count}");
                assert!(stripes.iter().all(|stripe| stripe.cents >= stripe.shares), "{stripes:?}");
                assert!(stripes.iter().all(|stripe| stripe.shares > 0 || stripe.cents == 0), "{stripes:?}");
            }
        }
    }

    #[test]
    fn a_packet_of_one_cent_each_gives_one_cent_each() {
        assert_eq!(all_shares(Balance { cents: 4, shares: 4 }, || 0.9), [1, 1, 1, 1]);
    }

    #[test]
    fn an_empty_packet_gives_nothing() {
        assert_eq!(share(Balance { cents: 0, shares: 0 }, 0.5), None);
    }
}

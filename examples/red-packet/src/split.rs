//! How much one grab takes. Pure: the chance comes in as an argument.

use crate::store::{Balance, Cents};

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
    fn a_packet_of_one_cent_each_gives_one_cent_each() {
        assert_eq!(all_shares(Balance { cents: 4, shares: 4 }, || 0.9), [1, 1, 1, 1]);
    }

    #[test]
    fn an_empty_packet_gives_nothing() {
        assert_eq!(share(Balance { cents: 0, shares: 0 }, 0.5), None);
    }
}

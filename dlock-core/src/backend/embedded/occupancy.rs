//! How much of a key is taken. Pure.

use crate::backend::Share;
use std::num::NonZeroU32;

/// What the shares of several owners come to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Occupancy {
    #[default]
    Free,
    Whole,
    Parts {
        weight: u64,
        of: NonZeroU32,
    },
}

impl Occupancy {
    /// What it comes to with one more share. `None` if that does not fit: the rule of [`Share::fits`], one share at a time.
    pub(super) fn with(self, share: Share) -> Option<Self> {
        let (held, parts, more) = match (self, share) {
            (Self::Free, Share::All) => return Some(Self::Whole),
            (Self::Free, Share::Part { weight, of }) => (0, of, weight),
            (Self::Parts { weight: held, of: parts }, Share::Part { weight, of }) if of == parts => {
                (held, parts, weight)
            }
            _ => return None,
        };
        let weight = held + u64::from(more.get());
        (weight <= u64::from(parts.get())).then_some(Self::Parts { weight, of: parts })
    }

    /// What owners have that hold a key together.
    pub(super) fn of(shares: impl IntoIterator<Item = Share>) -> Self {
        shares.into_iter().try_fold(Self::Free, Self::with).unwrap_or(Self::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share() -> impl Strategy<Value = Share> {
        let part = |(weight, of)| Share::Part {
            weight: NonZeroU32::new(weight).unwrap(),
            of: NonZeroU32::new(of).unwrap(),
        };
        prop_oneof![
            1 => Just(Share::All),
            1 => Just(Share::READER),
            6 => (1..4_u32, 3..5_u32).prop_map(part),
        ]
    }

    proptest! {
        #[test]
        fn a_share_fits_as_the_rule_for_all_backends_says(shares in prop::collection::vec(share(), 0..6)) {
            let (mut held, mut occupied) = (Vec::new(), Occupancy::Free);
            for share in shares {
                prop_assert_eq!(occupied.with(share).is_some(), share.fits(held.iter().copied()));
                if let Some(with) = occupied.with(share) {
                    occupied = with;
                    held.push(share);
                }
            }
        }
    }
}

//! How much of a key a claim wants. Pure.

use std::num::NonZeroU32;

/// How much of a key a claim wants: all of it, or a part.
///
/// The holders of a key always [fit together](Share::fits): one that has all of it, or parts of the same size whose weights are
/// at most that size in all. Waiters are admitted in the order in which they came. One that does not fit stops those behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Share {
    /// All of it: a lock, or a writer.
    #[default]
    All,
    /// A part: a reader, or permits of a semaphore.
    Part {
        /// How many of the parts.
        weight: NonZeroU32,
        /// How many parts there are. Parts of another number never fit.
        of: NonZeroU32,
    },
}

impl Share {
    /// The share of a reader: one part of as many as there can be.
    pub const READER: Self = Self::Part { weight: NonZeroU32::MIN, of: NonZeroU32::MAX };

    /// Whether it is all of a key.
    #[must_use]
    pub fn is_all(self) -> bool {
        self == Self::All
    }

    /// How many parts it is; all of a key is one.
    #[must_use]
    pub fn weight(self) -> u32 {
        match self {
            Self::All => 1,
            Self::Part { weight, .. } => weight.get(),
        }
    }

    /// How many parts there are, if it is one of them.
    #[must_use]
    pub fn parts(self) -> Option<NonZeroU32> {
        match self {
            Self::All => None,
            Self::Part { of, .. } => Some(of),
        }
    }

    /// Whether it fits beside these holders.
    ///
    /// ```
    /// use dlock_core::backend::Share;
    ///
    /// assert!(Share::READER.fits([Share::READER, Share::READER]));
    /// assert!(!Share::All.fits([Share::READER]));
    /// assert!(Share::All.fits([]));
    /// ```
    #[must_use]
    pub fn fits(self, holders: impl IntoIterator<Item = Self>) -> bool {
        let mut holders = holders.into_iter();
        match self {
            Self::All => holders.next().is_none(),
            Self::Part { weight, of } => {
                let mine = u64::from(weight.get());
                let held = holders.try_fold(mine, |held, holder| Some(held + holder.weight_of(of)?));
                held.is_some_and(|held| held <= u64::from(of.get()))
            }
        }
    }

    /// Its weight, if it is a part of this many.
    fn weight_of(self, parts: NonZeroU32) -> Option<u64> {
        match self {
            Self::Part { weight, of } if of == parts => Some(u64::from(weight.get())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(weight: u32, of: u32) -> Share {
        Share::Part { weight: NonZeroU32::new(weight).unwrap(), of: NonZeroU32::new(of).unwrap() }
    }

    #[test]
    fn all_of_a_key_fits_beside_no_holder() {
        assert!(Share::All.fits([]));
        assert!(!Share::All.fits([Share::All]));
        assert!(!Share::READER.fits([Share::All]));
    }

    #[test]
    fn parts_fit_up_to_their_number_and_never_beside_parts_of_another() {
        assert!(part(3, 5).fits([part(1, 5), part(1, 5)]));
        assert!(!part(3, 5).fits([part(1, 5), part(2, 5)]));
        assert!(!part(1, 5).fits([part(1, 6)]));
        assert!(!part(6, 5).fits([]));
        assert!(!part(u32::MAX, u32::MAX).fits([Share::READER]), "without a sum that overflows");
    }

    #[test]
    fn a_share_takes_one_word() {
        assert_eq!(size_of::<Share>(), 8);
    }
}

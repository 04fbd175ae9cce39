//! The id of one acquisition.

use crate::error::{ErrorKind, LockError};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// One acquisition: 128 random bits that are never reused. So a late request of an earlier acquisition cannot touch a
/// later one.
///
/// A client that knows the id can release the lock, so neither `Debug` nor a log line shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId {
    // Two words: a `u128` would make everything that holds an id larger, for its alignment.
    high: u64,
    low: u64,
}

impl OwnerId {
    /// A new id from the system's random source.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the system has no randomness to give.
    pub fn random() -> Result<Self, LockError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|cause| {
            LockError::new(ErrorKind::Unavailable, "the system gave no random bytes for an owner id")
                .with_source(std::io::Error::other(cause.to_string()))
        })?;
        Ok(Self::from_u128(u128::from_be_bytes(bytes)))
    }

    /// A new id among those of this process. The system's random source takes longer than a lock that is kept
    /// here.
    pub(crate) fn local() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(1);
        Self { high: 0, low: LAST.fetch_add(1, Ordering::Relaxed) }
    }

    /// The id of no acquisition.
    pub(crate) const NONE: Self = Self { high: 0, low: 0 };

    /// The id with these bits.
    pub(crate) fn from_u128(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The bits.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_id_is_not_shown() {
        let id = OwnerId::random().unwrap();
        assert_eq!(format!("{id:?}"), "OwnerId(..)");
        assert_ne!(id, OwnerId::random().unwrap());
    }

    #[test]
    fn an_owner_id_keeps_its_bits() {
        let bits = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
        assert_eq!(OwnerId::from_u128(bits).as_u128(), bits);
    }
}

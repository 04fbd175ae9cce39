//! For how long a lock may be held.

use crate::error::{ErrorKind, LockError};
use crate::time::Moment;
use std::num::NonZeroU64;
use std::time::Duration;

/// For how long a guard may hold its lock at most, whatever renewals say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxHold {
    // In one word: each request that waits has one.
    nanos: NonZeroU64,
}

impl MaxHold {
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for zero.
    pub(crate) fn new(limit: Duration) -> Result<Self, LockError> {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let nanos = NonZeroU64::new(nanos).ok_or_else(|| LockError::new(ErrorKind::InvalidOption, WRONG))?;
        Ok(Self { nanos })
    }

    /// Until when a lock that was granted at `granted` may be held.
    pub(crate) fn until(self, granted: Moment) -> Moment {
        granted.after(Duration::from_nanos(self.nanos.get()))
    }
}

const WRONG: &str = "max_hold must be longer than zero; Duration::MAX sets no limit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_longer_than_zero() {
        assert_eq!(MaxHold::new(Duration::ZERO).unwrap_err().kind(), ErrorKind::InvalidOption);
        let limit = MaxHold::new(Duration::from_nanos(1)).unwrap();
        assert_eq!(limit.until(Moment::START), Moment::START.after(Duration::from_nanos(1)));
        let none = MaxHold::new(Duration::MAX).unwrap();
        assert_eq!(none.until(Moment::now()), Moment::START.after(Duration::MAX), "the end of the clock");
    }
}

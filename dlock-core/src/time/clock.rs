//! The clock of leases and waits.

use super::moment::Moment;
use super::sleep::{Sleep, sleep, sleep_by, sleep_until};
use super::test_clock::TestClock;
use crate::keeper::Keeper;
use futures_util::future::{BoxFuture, Either};
use std::time::Duration;

/// The clock of one backend's leases and waits: the lease clock, or one that a test moves.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<TestClock>);

impl Clock {
    /// Now, by this clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.0 {
            None => Moment::now(),
            Some(test) => test.now(),
        }
    }

    /// Waits until this clock has reached `until`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn sleep_until(&self, until: Moment) {
        match &self.0 {
            None => sleep_until(until).await,
            Some(test) => test.sleep_until(until).await,
        }
    }

    /// Waits until this clock has reached this moment; without one, for ever.
    pub(crate) async fn sleep_until_any(&self, until: Option<Moment>) {
        match until {
            Some(moment) => self.sleep_until(moment).await,
            None => std::future::pending().await,
        }
    }

    /// Waits for `span` of the time that the machine is awake, or of the time of the test. The time runs from this call on.
    /// `keeper` is the one that was seen to be here, if it was looked at.
    pub(crate) fn sleep(&self, span: Duration, keeper: Option<&'static Keeper>) -> ClockSleep {
        match &self.0 {
            None => Either::Left(keeper.map_or_else(|| sleep(span), |keeper| sleep_by(keeper, span))),
            Some(test) => {
                let (test, until) = (test.clone(), test.now().after(span));
                Either::Right(Box::pin(async move { test.sleep_until(until).await }))
            }
        }
    }
}

/// A wait by a clock. Each request that waits has one, so it is no larger than it has to be.
type ClockSleep = Either<Sleep, BoxFuture<'static, ()>>;

impl From<TestClock> for Clock {
    fn from(test: TestClock) -> Self {
        Self(Some(test))
    }
}

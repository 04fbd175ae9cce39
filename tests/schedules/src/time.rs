//! The clock as the check has it: it stands still until somebody moves it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

/// A point on the clock, as dlock-core's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

// One thread runs one execution after the other.
thread_local! {
    static NOW: Cell<Moment> = const { Cell::new(Moment::START) };
    static SLEEPERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// Sets the clock back for another execution.
pub fn restart() {
    NOW.set(Moment::START);
    SLEEPERS.take();
}

/// Moves the clock on to `moment`, unless it is past it, and wakes whoever sleeps.
pub fn advance_to(moment: Moment) {
    NOW.set(Moment::now().max(moment));
    SLEEPERS.take().into_iter().for_each(Waker::wake);
}

impl Moment {
    /// The beginning of the clock.
    pub const START: Self = Self(Duration::ZERO);

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        NOW.get()
    }

    /// `self` moved later by `span`.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// The time from `earlier` to `self`, zero if `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }
}

/// Waits until the clock has reached `until`.
pub async fn sleep_until(until: Moment) {
    poll_fn(|context| match Moment::now() >= until {
        true => Poll::Ready(()),
        false => {
            SLEEPERS.with_borrow_mut(|sleepers| sleepers.push(context.waker().clone()));
            Poll::Pending
        }
    })
    .await;
}

pub(crate) async fn sleep_until_any(until: Option<Moment>) {
    match until {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

pub(crate) async fn sleep(span: Duration) {
    sleep_until(Moment::now().after(span)).await;
}

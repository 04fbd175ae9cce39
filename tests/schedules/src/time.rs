//! The clock as the check has it: it stands still until it is moved.

use shuttle::future::yield_now;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A point on the clock, as dlock-core's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

// One thread runs one execution after the other.
thread_local! {
    static NOW: Cell<Moment> = const { Cell::new(Moment::START) };
    static SLEEPERS: RefCell<BTreeMap<(Moment, u64), Waker>> = const { RefCell::new(BTreeMap::new()) };
    static SLEEPS: Cell<u64> = const { Cell::new(0) };
    /// What moves the clock.
    static MOVER: Cell<Option<Waker>> = const { Cell::new(None) };
}

/// Sets the clock back for another execution.
pub fn restart() {
    NOW.set(Moment::START);
    SLEEPERS.take();
    MOVER.take();
}

/// Moves the clock on to `moment`, unless it is past it, and wakes the tasks that sleep until then.
pub fn advance_to(moment: Moment) {
    let now = Moment::now().max(moment);
    NOW.set(now);
    let later = |sleepers: &mut BTreeMap<_, _>| sleepers.split_off(&(now, u64::MAX));
    let due = SLEEPERS.with_borrow_mut(|sleepers| {
        let later = later(sleepers);
        std::mem::replace(sleepers, later)
    });
    due.into_values().chain(MOVER.take()).for_each(Waker::wake);
}

/// Moves the clock on to the next moment that a task sleeps until, while that moment is no further away than `stride`.
/// It does so in one of `one_in` steps of the schedule.
pub async fn pass(stride: Duration, one_in: u32) {
    loop {
        poll_fn(|context| next_within(stride, context)).await;
        for _ in 0..one_in {
            yield_now().await;
        }
        advance_to(poll_fn(|context| next_within(stride, context)).await);
    }
}

fn next_within(stride: Duration, context: &Context<'_>) -> Poll<Moment> {
    let next = SLEEPERS.with_borrow(|sleepers| sleepers.first_key_value().map(|((until, _), _)| *until));
    match next {
        Some(next) if next.since(Moment::now()) <= stride => Poll::Ready(next),
        _ => {
            MOVER.set(Some(context.waker().clone()));
            Poll::Pending
        }
    }
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

    /// `self` moved earlier by `span`.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
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

/// The one clock, as dlock-core's of a backend.
#[derive(Debug, Clone, Default)]
pub struct Clock(());

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::now()
    }

    /// Waits until the clock has reached `until`.
    pub async fn sleep_until(&self, until: Moment) {
        sleep_until(until).await;
    }
}

/// No machine sleeps here.
#[derive(Debug, Default)]
pub(crate) struct Sleeping(());

impl Sleeping {
    pub(crate) fn note(&self) {}

    pub(crate) fn since_noted(&self) -> Duration {
        Duration::ZERO
    }
}

/// Waits until the clock has reached `until`.
#[must_use]
pub fn sleep_until(until: Moment) -> Sleep {
    let place = SLEEPS.get();
    SLEEPS.set(place + 1);
    Sleep { until, place }
}

pub(crate) fn sleep(span: Duration) -> Sleep {
    sleep_until(Moment::now().after(span))
}

/// A task that sleeps. The clock is not moved for one that was dropped.
#[derive(Debug)]
pub struct Sleep {
    until: Moment,
    place: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Moment::now() >= self.until {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.insert((self.until, self.place), waker));
        MOVER.take().into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.remove(&(self.until, self.place)));
    }
}

/// The pauses between attempts, as dlock-core's, but always the same.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = self.longest.min(pause * 2);
        pause
    }
}

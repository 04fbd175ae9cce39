//! Timers that cost no wake-up unless they fire.
//!
//! Most timers are limits that are not reached: of a request, of a wait. A new timer of a runtime wakes the thread that
//! drives it whenever it is the earliest one. Here one task on the keeper looks after all timers, and is woken only by
//! a timer that is due before it would look anyway. Dropped timers cost nothing more. Threads seldom wait for each
//! other: each has a table of its own, as long as there are tables.

use crate::keeper::Keeper;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Ends when its moment has come. The caller needs no runtime, and the time is real.
#[derive(Debug)]
pub(crate) struct KeeperTimer {
    due: Due,
    /// Where it is among the timers that wait.
    place: Option<TimerKey>,
    /// In which table.
    table: u8,
}

/// When a timer is due, in nanoseconds since the first one was made.
type Due = u64;

/// Timers due at the same time are told apart by a number.
type TimerKey = (Due, u64);

const TABLES: u8 = 8;

struct Timers {
    tables: [Mutex<WaitingTimers>; TABLES as usize],
    /// When the task looks next; [`NEVER`] if only when it is woken.
    next_look: AtomicU64,
    look_earlier: Notify,
    /// Whether the task was started.
    looks: AtomicBool,
    start: Instant,
}

const NEVER: Due = u64::MAX;

static TIMERS: LazyLock<Timers> = LazyLock::new(Timers::new);

/// The timers of some threads.
#[derive(Default)]
struct WaitingTimers {
    wakers: BTreeMap<TimerKey, Waker>,
    /// How many were entered so far.
    entered: u64,
}

/// So long that no sum overflows.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl KeeperTimer {
    /// A timer that is due after `span`.
    pub(crate) fn new(keeper: &Keeper, span: Duration) -> Self {
        if !TIMERS.looks.swap(true, Ordering::Relaxed) {
            keeper.spawn(TIMERS.run());
        }
        Self { due: TIMERS.now().saturating_add(nanos(span.min(FAR))), place: None, table: table_of_thread() }
    }
}

impl Future for KeeperTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waiting = TIMERS.table(self.table);
        if let Some(place) = &self.place {
            return waiting.lock().poll(place, context.waker());
        }
        self.place = Some(waiting.lock().enter(self.due, context.waker()));
        TIMERS.look_by(self.due);
        Poll::Pending
    }
}

impl Drop for KeeperTimer {
    fn drop(&mut self) {
        let waker = self.place.and_then(|place| TIMERS.table(self.table).lock().wakers.remove(&place));
        // It may be code of others, so nothing is locked meanwhile.
        drop(waker);
    }
}

impl Timers {
    #[allow(clippy::disallowed_methods, reason = "timers count the time that the machine is awake")]
    fn new() -> Self {
        let (tables, next_look, looks) = (Default::default(), AtomicU64::new(NEVER), AtomicBool::new(false));
        Self { tables, next_look, look_earlier: Notify::new(), looks, start: Instant::now() }
    }

    fn now(&self) -> Due {
        nanos(self.start.elapsed())
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder of so many is less")]
    fn table(&self, number: u8) -> &Mutex<WaitingTimers> {
        &self.tables[usize::from(number % TABLES)]
    }

    /// The task looks at `due` at the latest. Nearly always it does anyway: then nothing is written that other threads read.
    fn look_by(&self, due: Due) {
        if self.next_look.load(Ordering::SeqCst) > due
            && self.next_look.fetch_min(due, Ordering::SeqCst) > due
        {
            self.look_earlier.notify_one();
        }
    }

    async fn run(&self) {
        loop {
            let next_look = self.wake_due();
            tokio::select! {
                () = self.look_earlier.notified() => {}
                () = self.until(next_look) => {}
            }
        }
    }

    /// When to look next. What is entered meanwhile asks for that itself.
    fn wake_due(&self) -> Due {
        self.next_look.store(NEVER, Ordering::SeqCst);
        let mut next_look = NEVER;
        for table in &self.tables {
            let (due, next) = table.lock().take_due(self.now());
            due.into_iter().for_each(wake);
            next_look = next_look.min(next);
        }
        self.next_look.fetch_min(next_look, Ordering::SeqCst).min(next_look)
    }

    async fn until(&self, due: Due) {
        match due {
            NEVER => std::future::pending().await,
            due => tokio::time::sleep_until((self.start + Duration::from_nanos(due)).into()).await,
        }
    }
}

impl WaitingTimers {
    /// Has `waker` woken when the timer is due. Its place.
    fn enter(&mut self, due: Due, waker: &Waker) -> TimerKey {
        self.entered += 1;
        let place = (due, self.entered);
        self.wakers.insert(place, waker.clone());
        place
    }

    /// Whether the timer was due: then it was taken out. Reads no clock.
    fn poll(&mut self, place: &TimerKey, waker: &Waker) -> Poll<()> {
        match self.wakers.get_mut(place) {
            Some(entered) => {
                entered.clone_from(waker);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Takes those that are due out. When the next one is.
    fn take_due(&mut self, now: Due) -> (Vec<Waker>, Due) {
        let later = self.wakers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.wakers, later);
        let next = self.wakers.first_key_value().map_or(NEVER, |((due, _), _)| *due);
        (due.into_values().collect(), next)
    }
}

/// Each thread has the next table.
fn table_of_thread() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    thread_local! {
        static TABLE: u8 = NEXT.fetch_add(1, Ordering::Relaxed) % TABLES;
    }
    TABLE.try_with(|table| *table).unwrap_or_default()
}

fn nanos(span: Duration) -> Due {
    u64::try_from(span.as_nanos()).unwrap_or(NEVER)
}

/// A waker is code of others: one that panics must not stop the timers.
fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct CountedWakes(AtomicUsize);

    impl Wake for CountedWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn timers_are_woken_when_they_are_due() {
        let mut timers = WaitingTimers::default();
        let woken = Arc::new(CountedWakes::default());
        let waker = Waker::from(Arc::clone(&woken));
        for due in [3, 4, 2] {
            timers.enter(due, &waker);
        }
        let gone = timers.enter(1, &waker);
        timers.wakers.remove(&gone);
        assert!(timers.take_due(1).0.is_empty());
        let (due, next) = timers.take_due(3);
        assert_eq!((due.len(), next), (2, 4));
        due.into_iter().for_each(Waker::wake);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        assert_eq!(timers.take_due(9).1, NEVER);
    }

    #[test]
    fn only_a_timer_before_the_next_look_asks_for_an_earlier_one() {
        let (timers, seconds) = (Timers::new(), |seconds| nanos(Duration::from_secs(seconds)));
        let is_asked = |due| {
            timers.look_by(seconds(due));
            timers.look_earlier.notified().now_or_never().is_some()
        };
        assert!(is_asked(300), "nothing was to be looked at");
        assert!(!is_asked(400));
        assert!(is_asked(200));
        assert!(!is_asked(200), "the look for the one that may be gone comes in time");
        assert_eq!(timers.wake_due(), NEVER, "none waits");
        timers.table(3).lock().enter(seconds(500), Waker::noop());
        assert!(is_asked(500));
        assert_eq!(timers.wake_due(), seconds(500));
        assert!(!is_asked(600));
    }

    #[test]
    fn a_timer_fires_without_a_runtime_of_the_caller() {
        let keeper = Keeper::start().unwrap();
        let (long, short) = (KeeperTimer::new(keeper, Duration::MAX), Duration::from_millis(5));
        futures_util::pin_mut!(long);
        let first = pollster::block_on(futures_util::future::select(long, KeeperTimer::new(keeper, short)));
        assert!(matches!(first, futures_util::future::Either::Right(_)));
    }
}

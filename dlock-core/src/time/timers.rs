//! Timers that cost no wake-up unless they fire.
//!
//! Most timers are limits that are not reached: of a request, of a wait. A timer of the runtime wakes the thread that
//! drives it whenever it is the earliest. Here one task on the keeper looks at the earliest timer of all, and is woken
//! only by one that is due before it would look anyway. Timers that are dropped meanwhile cost nothing more.

use crate::keeper::Keeper;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Ends when its moment has come. The caller needs no runtime, and the time is real.
#[derive(Debug)]
pub(crate) struct KeeperTimer {
    due: Instant,
    /// Where it is among the timers that wait.
    place: Option<TimerKey>,
}

/// Timers due at the same time are told apart by a number.
type TimerKey = (Instant, u64);

#[derive(Default)]
struct Timers {
    waiting: Mutex<WaitingTimers>,
    look_earlier: Notify,
    /// Whether the task was started.
    looks: AtomicBool,
}

static TIMERS: LazyLock<Timers> = LazyLock::new(Timers::default);

#[derive(Default)]
struct WaitingTimers {
    wakers: BTreeMap<TimerKey, Waker>,
    /// How many were entered so far.
    entered: u64,
    /// When the task looks next; `None` if only when it is woken.
    next_look: Option<Instant>,
}

/// So long that no sum overflows.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl KeeperTimer {
    /// A timer that is due after `span`.
    pub(crate) fn new(keeper: &Keeper, span: Duration) -> Self {
        if !TIMERS.looks.swap(true, Ordering::Relaxed) {
            keeper.spawn(TIMERS.run());
        }
        Self { due: now() + span.min(FAR), place: None }
    }
}

impl Future for KeeperTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if now() >= self.due {
            return Poll::Ready(());
        }
        let (place, earlier) = TIMERS.waiting.lock().enter(self.place, self.due, context.waker());
        self.place = Some(place);
        if earlier {
            TIMERS.look_earlier.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for KeeperTimer {
    fn drop(&mut self) {
        let waker = self.place.and_then(|place| TIMERS.waiting.lock().wakers.remove(&place));
        // It may be code of others, so nothing is locked meanwhile.
        drop(waker);
    }
}

impl Timers {
    async fn run(&self) {
        loop {
            let (due, next_look) = self.waiting.lock().take_due(now());
            due.into_iter().for_each(wake);
            tokio::select! {
                () = self.look_earlier.notified() => {}
                () = until(next_look) => {}
            }
        }
    }
}

impl WaitingTimers {
    /// Has `waker` woken when the timer is due. Its place, and whether that is before the next look.
    fn enter(&mut self, place: Option<TimerKey>, due: Instant, waker: &Waker) -> (TimerKey, bool) {
        let place = place.unwrap_or_else(|| {
            self.entered += 1;
            (due, self.entered)
        });
        self.wakers
            .entry(place)
            .and_modify(|entered| entered.clone_from(waker))
            .or_insert_with(|| waker.clone());
        let earlier = self.next_look.is_none_or(|look| due < look);
        if earlier {
            self.next_look = Some(due);
        }
        (place, earlier)
    }

    /// Takes those that are due out. When to look next.
    fn take_due(&mut self, now: Instant) -> (Vec<Waker>, Option<Instant>) {
        let later = self.wakers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.wakers, later);
        self.next_look = self.wakers.first_key_value().map(|((due, _), _)| *due);
        (due.into_values().collect(), self.next_look)
    }
}

/// A waker is code of others: one that panics must not stop the timers.
fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[allow(clippy::disallowed_methods, reason = "timers count the time that the machine is awake")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn only_a_timer_before_the_next_look_asks_for_an_earlier_one() {
        let (mut timers, start, second) = (WaitingTimers::default(), now(), Duration::from_secs(1));
        let woken = Arc::new(CountedWakes::default());
        let waker = Waker::from(Arc::clone(&woken));
        let enter =
            |timers: &mut WaitingTimers, seconds| timers.enter(None, start + second * seconds, &waker);
        assert!(enter(&mut timers, 3).1, "nothing was to be looked at");
        assert!(!enter(&mut timers, 4).1);
        let (early, earlier) = enter(&mut timers, 2);
        assert!(earlier);
        timers.wakers.remove(&early);
        assert!(!enter(&mut timers, 2).1, "the look for the one that is gone comes in time");
        let (due, next) = timers.take_due(start + second * 3);
        assert_eq!((due.len(), next), (2, Some(start + second * 4)));
        due.into_iter().for_each(Waker::wake);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        assert_eq!(timers.take_due(start + second * 9).1, None);
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

//! Wakers of callers. They are code from outside the library, and run wherever a caller is told.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

/// Has `work` wake its caller in a way that a panic of the caller's waker goes no further. Such a waker may be woken by
/// a task that serves other callers as well, or by the keeper's timers.
///
/// # Cancel safety
/// That of `work`.
pub(crate) async fn shielded<T>(work: impl Future<Output = T>) -> T {
    let (mut work, mut shield) = (pin!(work), None);
    poll_fn(|context| {
        let Shield { waker, .. } = Shield::around(context.waker(), &mut shield);
        work.as_mut().poll(&mut Context::from_waker(waker))
    })
    .await
}

/// A waker in front of the caller's.
struct Shield {
    callers: Arc<CallersWaker>,
    waker: Waker,
}

impl Shield {
    /// The one that was used before, unless the caller has another waker now.
    fn around<'a>(callers: &Waker, last: &'a mut Option<Self>) -> &'a Self {
        let last_fits = last.take().filter(|last| last.callers.waker().will_wake(callers));
        last.insert(last_fits.unwrap_or_else(|| Self::new(callers)))
    }

    fn new(callers: &Waker) -> Self {
        let callers = Arc::new(CallersWaker(Some(callers.clone())));
        Self { waker: Waker::from(Arc::clone(&callers)), callers }
    }
}

/// There until it is dropped.
struct CallersWaker(Option<Waker>);

impl CallersWaker {
    fn waker(&self) -> &Waker {
        self.0.as_ref().unwrap_or(Waker::noop())
    }
}

impl Wake for CallersWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // What panics has reported it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.waker().wake_by_ref()));
    }
}

impl Drop for CallersWaker {
    fn drop(&mut self) {
        let waker = self.0.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(waker)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    #[derive(Default)]
    struct Counting {
        woken: AtomicUsize,
        panics: bool,
    }

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.woken.fetch_add(1, Ordering::SeqCst);
            assert!(!self.panics, "on purpose");
        }
    }

    fn counting(panics: bool) -> (Arc<Counting>, Waker) {
        let counting = Arc::new(Counting { panics, ..Counting::default() });
        (Arc::clone(&counting), Waker::from(counting))
    }

    #[test]
    fn a_waker_that_panics_does_so_alone() {
        let (tell, told) = oneshot::channel();
        let (callers, waker) = counting(true);
        let mut work = pin!(shielded(told));
        let context = &mut Context::from_waker(&waker);
        assert!(work.as_mut().poll(context).is_pending());
        tell.send(7).unwrap();
        assert_eq!(callers.woken.load(Ordering::SeqCst), 1);
        assert!(work.as_mut().poll(context).is_ready());
    }

    #[test]
    fn the_last_waker_is_woken_and_no_other() {
        let (tell, told) = oneshot::channel();
        let [(first, one), (second, other)] = [counting(false), counting(false)];
        let mut work = pin!(shielded(told));
        for waker in [&one, &one, &other] {
            assert!(work.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        tell.send(7).unwrap();
        assert_eq!([first, second].map(|waker| waker.woken.load(Ordering::SeqCst)), [0, 1]);
    }
}

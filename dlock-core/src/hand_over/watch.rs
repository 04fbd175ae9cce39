//! When time may bring something to do in one of the queues.

use crate::time::{Moment, sleep_until};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// The earliest moment at which one of the queues has to be looked at. While there is none, nothing wakes up.
#[derive(Debug)]
pub(super) struct Watch {
    next: AtomicU64,
    earlier: Notify,
}

const NEVER: u64 = u64::MAX;

impl Watch {
    pub(super) fn new() -> Self {
        Self { next: AtomicU64::new(NEVER), earlier: Notify::new() }
    }

    /// Some queue has to be looked at by then. Costs nothing if one has earlier.
    pub(super) fn look_by(&self, at: Moment) {
        let at = at.as_nanos();
        // Nearly always the next look comes earlier: then nothing is written that other threads read.
        if self.next.load(Ordering::SeqCst) > at && self.next.fetch_min(at, Ordering::SeqCst) > at {
            self.earlier.notify_one();
        }
    }

    /// Waits until it is time to look at all of them.
    pub(super) async fn due(&self) {
        loop {
            let next = self.next.load(Ordering::Acquire);
            tokio::select! {
                () = self.earlier.notified() => {}
                () = sleep_until(Moment::from_nanos(next)), if next != NEVER => break,
            }
        }
        // A queue that asks to be looked at from here on asks again.
        self.next.store(NEVER, Ordering::SeqCst);
    }
}

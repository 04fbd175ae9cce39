//! One attempt at a time, shared by all callers that need the result, such as a connection or a session.

use crate::error::LockError;
use crate::keeper::Keeper;
use crate::time::{Backoff, Moment, sleep};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::Dispatch;
use tracing::dispatcher::get_default;
use tracing::instrument::WithSubscriber as _;

/// Something that can end by itself.
pub(crate) trait Perishable: Clone + Send + 'static {
    /// Whether it is of no use any longer.
    fn is_over(&self) -> bool;
}

/// Makes the attempt with this number, counted from 1.
pub(crate) type Make<T> = Box<dyn Fn(u64) -> BoxFuture<'static, Result<T, LockError>> + Send + Sync>;

/// The thing in use, and the attempt to make the next one. All callers share one attempt. After a failed one there is a
/// pause.
pub(crate) struct SingleAttempt<T> {
    make: Make<T>,
    /// How long an attempt is waited for: longer than it can take.
    patience: Duration,
    /// The subscriber for the events of the attempts: that of the code that set this up.
    subscriber: Dispatch,
    slot: Mutex<Slot<T>>,
    settled: Notify,
}

struct Slot<T> {
    state: SlotState<T>,
    /// How many attempts were begun.
    attempts: u64,
    pauses: Backoff,
}

enum SlotState<T> {
    Empty,
    Making { since: Moment },
    Failed { cause: LockError, until: Moment },
    Live(T),
}

impl<T: Perishable> SingleAttempt<T> {
    pub(crate) fn new(make: Make<T>, patience: Duration, pauses: Backoff) -> Arc<Self> {
        let slot = Slot { state: SlotState::Empty, attempts: 0, pauses };
        let (subscriber, settled) = (get_default(Clone::clone), Notify::new());
        Arc::new(Self { make, patience, subscriber, slot: Mutex::new(slot), settled })
    }

    /// The thing in use; a new one if there is none, or it is over.
    ///
    /// # Cancel safety
    /// An attempt under way goes on without the caller.
    pub(crate) async fn get(self: &Arc<Self>) -> Result<T, LockError> {
        let mut waited = false;
        loop {
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable();
            if let Some(made) = self.look(waited)? {
                return Ok(made);
            }
            tokio::select! {
                () = settled => waited = true,
                () = sleep(self.patience) => {}
            }
        }
    }

    /// The thing in use, unless it is over.
    pub(crate) fn live(&self) -> Option<T> {
        match &self.slot.lock().state {
            SlotState::Live(made) if !made.is_over() => Some(made.clone()),
            _ => None,
        }
    }

    /// The thing, or `None` while one is being made. A caller that waited for an attempt gets its outcome.
    fn look(self: &Arc<Self>, waited: bool) -> Result<Option<T>, LockError> {
        let keeper = Keeper::start()?;
        let now = Moment::now();
        let mut slot = self.slot.lock();
        match &slot.state {
            SlotState::Live(made) if !made.is_over() => return Ok(Some(made.clone())),
            SlotState::Making { since } if now < since.after(self.patience) => return Ok(None),
            SlotState::Failed { cause, until } if waited || now < *until => return Err(cause.clone()),
            _ => {}
        }
        slot.attempts += 1;
        let attempt = Attempting { of: Arc::downgrade(self), number: slot.attempts, outcome: None };
        let before = std::mem::replace(&mut slot.state, SlotState::Making { since: now });
        let made = (self.make)(slot.attempts);
        drop(slot);
        // What it was made of ends here, and may log.
        drop(before);
        keeper.spawn(attempt.run(made).with_subscriber(self.subscriber.clone()));
        Ok(None)
    }

    fn settle(&self, number: u64, outcome: Option<Result<T, LockError>>) {
        let mut slot = self.slot.lock();
        if slot.attempts != number {
            return;
        }
        slot.state = match outcome {
            Some(Ok(made)) => {
                slot.pauses.reset();
                SlotState::Live(made)
            }
            Some(Err(cause)) => {
                SlotState::Failed { cause, until: Moment::now().after(slot.pauses.next_pause()) }
            }
            None => SlotState::Empty,
        };
        drop(slot);
        self.settled.notify_waiters();
    }
}

/// One attempt. Dropped, it settles: also if making the thing panics.
struct Attempting<T: Perishable> {
    of: Weak<SingleAttempt<T>>,
    number: u64,
    outcome: Option<Result<T, LockError>>,
}

impl<T: Perishable> Attempting<T> {
    async fn run(mut self, made: BoxFuture<'static, Result<T, LockError>>) {
        self.outcome = Some(made.await);
    }
}

impl<T: Perishable> Drop for Attempting<T> {
    fn drop(&mut self) {
        if let Some(of) = self.of.upgrade() {
            of.settle(self.number, self.outcome.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::task::yield_now;

    #[derive(Clone, Debug)]
    struct Thing(Arc<AtomicU64>);

    impl Perishable for Thing {
        fn is_over(&self) -> bool {
            self.0.load(Ordering::SeqCst) == 0
        }
    }

    fn things(
        make: impl Fn(u64) -> Result<Thing, LockError> + Send + Sync + 'static,
    ) -> Arc<SingleAttempt<Thing>> {
        let make = Arc::new(make);
        let make: Make<Thing> = Box::new(move |number| {
            let make = Arc::clone(&make);
            Box::pin(async move {
                yield_now().await;
                make(number)
            })
        });
        let minute = Duration::from_secs(60);
        SingleAttempt::new(make, minute, Backoff::new(minute, minute))
    }

    fn thing(number: u64) -> Thing {
        Thing(Arc::new(AtomicU64::new(number)))
    }

    #[tokio::test]
    async fn one_attempt_serves_all_callers_and_the_next_comes_when_the_thing_is_over() {
        let things = things(|number| Ok(thing(number)));
        let (one, other) = tokio::join!(things.get(), things.get());
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert!(things.live().is_some());
        one.0.store(0, Ordering::SeqCst);
        assert!(things.live().is_none());
        assert_eq!(things.get().await.unwrap().0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_and_repeated_during_the_pause() {
        let things = things(|number| Err(LockError::new(ErrorKind::Auth, format!("attempt {number}"))));
        let (one, other) = tokio::join!(things.get(), things.get());
        for outcome in [one, other, things.get().await] {
            let error = outcome.unwrap_err();
            assert_eq!((error.kind(), error.to_string().contains("attempt 1")), (ErrorKind::Auth, true));
        }
    }

    #[tokio::test]
    async fn an_attempt_goes_on_without_the_caller_that_began_it() {
        let things = things(|number| Ok(thing(number)));
        {
            let mut begun = pin!(things.get());
            // It may be over already: it is made elsewhere.
            let _ = futures_util::poll!(begun.as_mut());
        }
        assert_eq!(things.get().await.unwrap().0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_attempt_that_panics_is_followed_by_another() {
        let things = things(|number| {
            assert!(number > 1, "on purpose");
            Ok(thing(number))
        });
        assert_eq!(things.get().await.unwrap().0.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn an_attempt_needs_no_runtime_of_the_caller() {
        let things = things(|number| Ok(thing(number)));
        assert_eq!(pollster::block_on(things.get()).unwrap().0.load(Ordering::SeqCst), 1);
    }
}

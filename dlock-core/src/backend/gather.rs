//! Sends requests together that come while others are under way.
//!
//! A request that comes while no other is carried starts a task, the carrier. The carrier takes all requests that have
//! gathered, carries them out, and takes those that gathered meanwhile, until there are none. So the busier the process
//! is, the fewer calls it needs, and no timer is needed.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::task::yield_now;

/// Requests that wait for a carrier.
pub(crate) struct Gatherer<I> {
    gathered: Mutex<Gathered<I>>,
    /// How many carriers there may be.
    most: usize,
}

struct Gathered<I> {
    waiting: Vec<I>,
    carriers: usize,
}

impl<I> Gatherer<I> {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { gathered: Mutex::new(Gathered { waiting: Vec::new(), carriers: 0 }), most })
    }

    /// Adds a request. Returns the carrier, if one has to be started for it.
    #[cfg(any(feature = "zookeeper", test))]
    pub(crate) fn add(self: &Arc<Self>, item: I) -> Option<Carrier<I>> {
        let mut gathered = self.gathered.lock();
        self.push(&mut gathered, item)
    }

    /// The same, unless `declines` says, given the number of carriers, that the request goes another way.
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn add_unless(
        self: &Arc<Self>,
        declines: impl FnOnce(usize) -> bool,
        item: impl FnOnce() -> I,
    ) -> Option<Option<Carrier<I>>> {
        let mut gathered = self.gathered.lock();
        if declines(gathered.carriers) {
            return None;
        }
        Some(self.push(&mut gathered, item()))
    }

    fn push(self: &Arc<Self>, gathered: &mut Gathered<I>, item: I) -> Option<Carrier<I>> {
        gathered.waiting.push(item);
        let starts = gathered.carriers < self.most;
        gathered.carriers += usize::from(starts);
        starts.then(|| Carrier { of: Arc::clone(self), has_left: false })
    }

    /// Changes what waits, while no carrier takes any of it.
    #[cfg(feature = "zookeeper")]
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Vec<I>) -> T) -> T {
        change(&mut self.gathered.lock().waiting)
    }
}

/// A task that carries requests. It ends when none waits.
pub(crate) struct Carrier<I> {
    of: Arc<Gatherer<I>>,
    has_left: bool,
}

impl<I> Carrier<I> {
    /// Carries until nothing waits. `take` makes a batch of the waiting requests, while nothing else can change them.
    /// It takes at least one if any is still wanted.
    pub(crate) async fn carry<B>(
        mut self,
        mut take: impl FnMut(&mut Vec<I>) -> Option<B>,
        mut carry_out: impl AsyncFnMut(B),
    ) {
        while let Some(batch) = self.take(&mut take) {
            carry_out(batch).await;
            // The callers that were just answered run first: what they ask for now goes with the rest.
            yield_now().await;
        }
    }

    fn take<B>(&mut self, take: impl FnOnce(&mut Vec<I>) -> Option<B>) -> Option<B> {
        let mut gathered = self.of.gathered.lock();
        let batch = take(&mut gathered.waiting);
        if batch.is_none() {
            gathered.carriers -= 1;
            self.has_left = true;
        }
        batch
    }
}

/// If it ends early, by a panic or with its runtime, the waiting requests are dropped, which tells their callers.
impl<I> Drop for Carrier<I> {
    fn drop(&mut self) {
        if !self.has_left {
            let mut gathered = self.of.gathered.lock();
            gathered.carriers -= 1;
            let waiting = std::mem::take(&mut gathered.waiting);
            drop(gathered);
            drop(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::cell::RefCell;
    use std::panic::AssertUnwindSafe;

    fn all(waiting: &mut Vec<u32>) -> Option<Vec<u32>> {
        (!waiting.is_empty()).then(|| std::mem::take(waiting))
    }

    #[test]
    fn what_comes_while_a_batch_is_carried_goes_with_the_next_one() {
        let (gatherer, carried) = (Gatherer::new(1), RefCell::new(Vec::new()));
        let carrier = gatherer.add(1).unwrap();
        assert!(gatherer.add(2).is_none(), "there is a carrier");
        let mut carrying = Box::pin(carrier.carry(all, async |batch: Vec<u32>| {
            if carried.borrow().is_empty() {
                assert!(gatherer.add(3).is_none());
            }
            carried.borrow_mut().push(batch);
        }));
        while carrying.as_mut().now_or_never().is_none() {}
        assert_eq!(*carried.borrow(), [vec![1, 2], vec![3]]);
        assert!(gatherer.add(4).is_some(), "the carrier has ended");
    }

    #[test]
    fn a_carrier_that_is_dropped_drops_what_waits_and_makes_way_for_another() {
        let gatherer = Gatherer::new(1);
        let item = Arc::new(());
        let carrier = gatherer.add(Arc::clone(&item)).unwrap();
        assert_eq!(Arc::strong_count(&item), 2);
        drop(carrier);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(gatherer.add(item).is_some());
    }

    #[test]
    fn a_carrier_that_panics_drops_what_waits_and_makes_way_for_another() {
        let gatherer = Gatherer::new(1);
        let item = Arc::new(());
        let carrier = gatherer.add(Arc::clone(&item)).unwrap();
        let take = |waiting: &mut Vec<Arc<()>>| waiting.pop();
        let carrying = carrier.carry(take, async |_| {
            assert!(gatherer.add(Arc::clone(&item)).is_none());
            panic!("on purpose");
        });
        assert!(AssertUnwindSafe(carrying).catch_unwind().now_or_never().unwrap().is_err());
        assert_eq!(Arc::strong_count(&item), 1, "none waits, and none is carried");
        assert!(gatherer.add(item).is_some());
    }

    #[test]
    fn a_request_that_goes_another_way_is_not_made() {
        let gatherer = Gatherer::new(2);
        assert!(gatherer.add_unless(|carriers| carriers == 0, || unreachable!()).is_none());
        let first = gatherer.add_unless(|carriers| carriers > 0, || 1).unwrap();
        let second = gatherer.add(2);
        assert!(first.is_some() && second.is_some(), "two carriers are allowed");
        assert!(gatherer.add(3).is_none());
    }
}

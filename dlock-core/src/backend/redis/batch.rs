//! Many requests in one call. Most need little work at the server, so the call itself costs most.
//!
//! Requests gather for each connection, and are carried by tasks of the runtime that drives it.
//!
//! A few requests at a time go alone. Further ones wait for a carrier: a task that takes all requests that wait, has them
//! done in one call, and takes those that wait then. While there is a carrier, every further request waits for it. No
//! request waits for one that went alone: the future of that one may not be polled for a while.

use super::caller::Caller;
use super::failure::breaks_connection;
use super::keys::{Keys, Naming};
use super::scripts;
use super::servers::{CallError, Reply, Route, Servers};
use crate::backend::gather::{Carrier, Gatherer};
use crate::error::LockError;
use redis::{Cmd, RedisError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How many requests go alone at a time. With no more than these, a carrier costs more time than it saves.
const ALONE: usize = 16;
/// How many renewals go alone: many come due together, and no caller waits for them.
const RENEWALS_ALONE: usize = 1;
/// How many calls of several requests are under way at a time.
const CARRIERS: usize = 2;
/// The longest batch: it takes the server a fraction of a millisecond.
const LARGEST: usize = 64;

/// The requests of one backend value.
pub(super) struct Batches {
    servers: Arc<Servers>,
    naming: Naming,
    /// How long a server may answer "not now".
    limit: Duration,
    /// Those that go over the keeper's connection.
    keepers: Arc<BatchLane>,
}

/// The requests that go over one connection.
struct BatchLane {
    /// How many go alone now.
    alone: AtomicUsize,
    gatherer: Arc<Gatherer<Item>>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BatchOp {
    Acquire,
    Release,
    Renew,
}

impl BatchOp {
    fn alone(self) -> usize {
        match self {
            Self::Acquire | Self::Release => ALONE,
            Self::Renew => RENEWALS_ALONE,
        }
    }
}

struct Item {
    op: BatchOp,
    keys: Keys,
    owner: String,
    ttl_ms: u64,
    outcome: oneshot::Sender<BatchOutcome>,
}

enum BatchOutcome {
    /// What the script gave.
    Answered(Reply<i64>),
    /// The connection failed the call.
    Failed(RedisError),
    /// There was no connection, so nothing was sent.
    Unsent(LockError),
}

/// How a request goes on.
pub(super) enum BatchTurn {
    /// It was carried out, with this number.
    Done(Reply<i64>),
    /// It is to be made alone, while this lives.
    Alone(Alone),
}

/// A request that is made alone.
pub(super) struct Alone {
    counted: Option<Arc<BatchLane>>,
    in_doubt: bool,
}

impl BatchTurn {
    /// Alone, and not counted among the requests under way.
    pub(super) const ALONE: Self = Self::Alone(Alone { counted: None, in_doubt: false });

    /// Whether the request may already have been carried out, or may be later.
    pub(super) fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Alone(Alone { in_doubt: true, .. }))
    }

    /// The error of the request that was made alone.
    pub(super) fn failed(&self, error: LockError) -> LockError {
        if self.is_in_doubt() { error.after_a_request() } else { error }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(lane) = &self.counted {
            lane.alone.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Batches {
    pub(super) fn new(servers: Arc<Servers>, naming: Naming, limit: Duration) -> Self {
        Self { servers, naming, limit, keepers: BatchLane::new() }
    }

    /// Waits until the request is carried out with others. Does not wait if it has to go alone.
    pub(super) async fn turn(
        &self,
        route: &Route,
        op: BatchOp,
        caller: Caller<'_>,
    ) -> Result<BatchTurn, LockError> {
        let lane = self.lane(route);
        let Some((outcome, carrier)) = lane.gather(op, caller) else {
            return Ok(BatchTurn::Alone(Alone { counted: Some(lane), in_doubt: false }));
        };
        if let Some(carrier) = carrier {
            route.spawn(self.carry(route, carrier))?;
        }
        match outcome.await {
            Ok(BatchOutcome::Answered(Reply { value: 0, .. })) => Ok(BatchTurn::ALONE),
            Ok(BatchOutcome::Answered(reply)) => Ok(BatchTurn::Done(reply)),
            Ok(BatchOutcome::Failed(cause)) => Err(CallError::Redis(cause).into()),
            Ok(BatchOutcome::Unsent(error)) => Err(CallError::Connect(error).into()),
            // The call was refused, or the carrier ended with its runtime.
            Err(_) => Ok(BatchTurn::Alone(Alone { counted: None, in_doubt: true })),
        }
    }

    /// The lane of a connection.
    fn lane(&self, route: &Route) -> Arc<BatchLane> {
        match route {
            Route::Keeper => Arc::clone(&self.keepers),
            Route::Own(own) => own.companion(BatchLane::new),
        }
    }

    fn carry(&self, route: &Route, carrier: Carrier<Item>) -> impl Future<Output = ()> + Send + use<> {
        let (servers, naming) = (Arc::clone(&self.servers), self.naming.clone());
        let (limit, route) = (self.limit, route.clone());
        carrier.carry(Batch::of, async move |batch: Batch| {
            batch.carry_out(&servers, &naming, &route, limit).await;
        })
    }
}

/// The outcome of a request that waits for a carrier, and the carrier if one is to be started.
type Gathered = (oneshot::Receiver<BatchOutcome>, Option<Carrier<Item>>);

impl BatchLane {
    fn new() -> Arc<Self> {
        Arc::new(Self { alone: AtomicUsize::new(0), gatherer: Gatherer::new(CARRIERS) })
    }

    /// Makes the request wait for a carrier, unless it has to go alone.
    fn gather(&self, op: BatchOp, caller: Caller<'_>) -> Option<Gathered> {
        let (outcome, receiver) = oneshot::channel();
        let goes_alone = |carriers| {
            let goes_alone = carriers == 0 && self.alone.load(Ordering::Relaxed) < op.alone();
            self.alone.fetch_add(usize::from(goes_alone), Ordering::Relaxed);
            goes_alone
        };
        let Caller { keys, owner, ttl_ms } = caller;
        let item = || Item { op, keys: keys.clone(), owner: owner.to_owned(), ttl_ms, outcome };
        let carrier = self.gatherer.add_unless(goes_alone, item)?;
        Some((receiver, carrier))
    }
}

/// Requests of one ttl, by op.
struct Batch(Vec<Item>);

impl Batch {
    /// The requests that have waited longest and are still wanted.
    fn of(waiting: &mut Vec<Item>) -> Option<Self> {
        waiting.retain(|item| !item.outcome.is_closed());
        let ttl_ms = waiting.first()?.ttl_ms;
        let mut room = LARGEST;
        let fits = |item: &mut Item| {
            let fits = item.ttl_ms == ttl_ms && room > 0;
            room -= usize::from(fits);
            fits
        };
        let mut items: Vec<_> = waiting.extract_if(.., fits).collect();
        items.sort_by_key(|item| item.op);
        Some(Self(items))
    }

    async fn carry_out(self, servers: &Servers, naming: &Naming, route: &Route, limit: Duration) {
        match self.call(servers, naming, route, limit).await {
            Ok(Reply { value: numbers, repeated }) => {
                let values = self.values(&numbers).into_iter();
                self.tell(values.map(|value| BatchOutcome::Answered(Reply { value, repeated })));
            }
            Err(CallError::Redis(cause)) if breaks_connection(&cause) => {
                self.tell(std::iter::repeat_with(|| BatchOutcome::Failed(cause.clone())));
            }
            Err(CallError::Connect(error)) => {
                self.tell(std::iter::repeat_with(|| BatchOutcome::Unsent(error.clone())));
            }
            // Each goes alone, and finds out for itself.
            Err(_) => drop(self),
        }
    }

    fn tell(self, outcomes: impl Iterator<Item = BatchOutcome>) {
        for (item, outcome) in self.0.into_iter().zip(outcomes) {
            let _ = item.outcome.send(outcome);
        }
    }

    /// The outcome of each item. Of a granted acquire it is the number that all grants of the call share.
    fn values(&self, numbers: &[i64]) -> Vec<i64> {
        let Some((number, done)) = numbers.split_first() else { return Vec::new() };
        let value = |(item, done): (&Item, &i64)| match item.op {
            BatchOp::Acquire if *done == 1 => *number,
            BatchOp::Acquire => 0,
            BatchOp::Release | BatchOp::Renew => *done,
        };
        self.0.iter().zip(done).map(value).collect()
    }

    /// The counter, and then the keys of the locks by op, in the script's order.
    fn keys<'a>(&'a self, counter: &'a [u8]) -> Vec<&'a [u8]> {
        let mut keys = Vec::with_capacity(1 + self.0.len() * 3);
        keys.push(counter);
        for items in self.0.chunk_by(|one, next| one.op == next.op) {
            keys.extend(items.iter().map(|item| item.keys.lock()));
            match items.first().map(|item| item.op) {
                Some(BatchOp::Acquire) => {
                    let all = items.iter().map(|item| item.keys.all());
                    keys.extend(all.flat_map(|[_, queue, marks]| [queue, marks]));
                }
                Some(BatchOp::Release) => keys.extend(items.iter().map(|item| item.keys.all()[1])),
                Some(BatchOp::Renew) | None => {}
            }
        }
        keys
    }

    async fn call(
        &self,
        servers: &Servers,
        naming: &Naming,
        route: &Route,
        limit: Duration,
    ) -> Result<Reply<Vec<i64>>, CallError> {
        let counter = naming.counter(b"", false);
        let keys = self.keys(&counter);
        let arguments = |command: &mut Cmd| {
            let count = |op| self.0.iter().filter(|item| item.op == op).count();
            command.arg(self.0.first().map(|item| item.ttl_ms));
            command.arg(count(BatchOp::Acquire)).arg(count(BatchOp::Release));
            self.0.iter().for_each(|item| _ = command.arg(&item.owner));
        };
        servers.run(route, limit, &scripts::BATCH, &keys, arguments).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::keys::Naming;
    use crate::key::LockKey;

    fn item(number: u64, op: BatchOp, ttl_ms: u64) -> (Item, oneshot::Receiver<BatchOutcome>) {
        let keys = Naming::default().keys(&LockKey::new(format!("order:{number}")).unwrap()).unwrap();
        let (outcome, receiver) = oneshot::channel();
        (Item { op, keys, owner: number.to_string(), ttl_ms, outcome }, receiver)
    }

    fn owners(batch: Option<Batch>) -> Vec<String> {
        batch.map(|batch| batch.0.into_iter().map(|item| item.owner).collect()).unwrap_or_default()
    }

    #[test]
    fn a_batch_is_of_one_ttl_and_by_errand() {
        let errands = [BatchOp::Renew, BatchOp::Acquire, BatchOp::Release, BatchOp::Acquire];
        let (mut waiting, _receivers): (Vec<_>, Vec<_>) =
            (0..).zip(errands).map(|(number, op)| item(number, op, 100 + number / 3)).unzip();
        assert_eq!(owners(Batch::of(&mut waiting)), ["1", "2", "0"]);
        assert_eq!(owners(Batch::of(&mut waiting)), ["3"]);
        assert!(Batch::of(&mut waiting).is_none());
    }

    #[test]
    fn nothing_is_asked_without_a_waiter() {
        let (mut waiting, mut receivers): (Vec<_>, Vec<_>) =
            (0..3).map(|number| item(number, BatchOp::Acquire, 100)).unzip();
        receivers.remove(1);
        assert_eq!(owners(Batch::of(&mut waiting)), ["0", "2"]);
    }

    #[test]
    fn a_batch_has_an_end_and_the_rest_stays() {
        let many = LARGEST as u64 + 3;
        let (mut waiting, _receivers): (Vec<_>, Vec<_>) =
            (0..many).map(|number| item(number, BatchOp::Release, 100)).unzip();
        assert_eq!(owners(Batch::of(&mut waiting)).len(), LARGEST);
        assert_eq!(owners(Batch::of(&mut waiting)).len(), 3);
    }
}

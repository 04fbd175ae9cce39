//! Sends the writes of all acquisitions of a session, many in one transaction.
//!
//! A small request costs a server nearly as much as one with many writes, and the client's small packets wait for one
//! another anyway. So writes that come while a transaction is under way gather, and the next one takes them all. A
//! write that comes while none is under way is sent at once.
//!
//! A transaction is carried out as a whole or not at all. If one of its writes cannot be carried out, each is sent
//! again alone.
//!
//! Invariant (I4): an owner that gives up asking for a place knows that the request was sent before its next request, or
//! never will be. A removal is sent in any case. It may come after later requests, which does no harm, since no other node
//! ever has that path.

use super::liveness::Liveness;
use super::transactions::{Enqueued, Order, Write, transactions};
use crate::backend::gather::{Carrier, Gatherer};
use crate::backend::zookeeper::config::settings::Settings;
use crate::backend::zookeeper::{label, path};
use crate::time::Moment;
use futures_util::future::{BoxFuture, FutureExt as _, TryFutureExt as _, ready};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;
use zookeeper::{Client, CreateMode, Error, MultiWriteError, MultiWriteResult, MultiWriter};

pub(crate) struct Writer {
    client: Client,
    settings: Arc<Settings>,
    liveness: Arc<Liveness>,
    gatherer: Arc<Gatherer<PendingOrder>>,
    /// How many writes were asked for.
    count: AtomicU64,
}

pub(crate) type WriteOutcome = Result<Option<Enqueued>, Error>;
type PendingOrder = Order<oneshot::Sender<WriteOutcome>>;

impl Writer {
    pub(crate) fn new(client: Client, settings: Arc<Settings>, liveness: Arc<Liveness>) -> Self {
        Self { client, settings, liveness, gatherer: Gatherer::new(1), count: AtomicU64::new(0) }
    }

    /// Asks for a write. What is to be run for it comes beside, if nothing is sent for the moment.
    pub(crate) fn ask(self: &Arc<Self>, write: Write) -> (Asked<'_>, Option<BoxFuture<'static, ()>>) {
        let (answer, outcome) = oneshot::channel();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let carrier = self.gatherer.add(Order { number, write, answer, goes_alone: false });
        let asked = Asked { writer: self, number, outcome, is_answered: false };
        (asked, carrier.map(|carrier| Arc::clone(self).carry(carrier).boxed()))
    }

    /// Sends what is asked for. It has a task of its own, so that no owner waits for the future of another owner to be polled.
    async fn carry(self: Arc<Self>, carrier: Carrier<PendingOrder>) {
        // Sent while no owner can give anything up.
        let send =
            |orders: &mut Vec<PendingOrder>| (!orders.is_empty()).then(|| self.send(std::mem::take(orders)));
        // All are on their way, and answers come in the order of the requests.
        let answer = async |sent: Vec<BoxFuture<'_, ()>>| {
            for answered in sent {
                answered.await;
            }
        };
        carrier.carry(send, answer).await;
    }

    fn send(&self, orders: Vec<PendingOrder>) -> Vec<BoxFuture<'_, ()>> {
        transactions(orders).into_iter().map(|together| self.send_together(together).boxed()).collect()
    }

    fn send_together(&self, orders: Vec<PendingOrder>) -> impl Future<Output = ()> {
        let sent = Moment::now();
        let outcome = self.request(&orders);
        async move {
            let outcome = outcome.await;
            if outcome.is_ok() {
                self.liveness.acknowledge(sent);
            }
            self.answer(orders, outcome);
        }
    }

    /// Sent when called.
    fn request(
        &self,
        orders: &[PendingOrder],
    ) -> BoxFuture<'_, Result<Vec<MultiWriteResult>, MultiWriteError>> {
        if let [Order { write: Write::Remove { path }, .. }] = orders {
            let removed = self.client.delete(path, None);
            return removed.map_ok(|()| vec![MultiWriteResult::Delete]).err_into().boxed();
        }
        let mut writer = self.client.new_multi_writer();
        for (index, order) in orders.iter().enumerate() {
            if let Err(source) = self.add(&mut writer, &order.write) {
                return ready(Err(MultiWriteError::OperationFailed { index, source })).boxed();
            }
        }
        writer.commit().boxed()
    }

    fn add(&self, writer: &mut MultiWriter<'_>, write: &Write) -> Result<(), Error> {
        match write {
            Write::Enqueue { dir, prefix, label } => {
                let options = self.settings.node_options(CreateMode::EphemeralSequential);
                writer.add_create(&path::join(dir, prefix), label::written(label.as_ref()), &options)?;
                writer.add_set_data(dir, &[], None)
            }
            Write::Remove { path } => writer.add_delete(path, None),
        }
    }

    fn answer(&self, orders: Vec<PendingOrder>, outcome: Result<Vec<MultiWriteResult>, MultiWriteError>) {
        match outcome {
            Ok(results) => {
                let mut results = results.into_iter();
                for Order { write, answer, .. } in orders {
                    // Who gave up does not listen.
                    let _ = answer.send(write.outcome(&mut results));
                }
            }
            Err(MultiWriteError::OperationFailed { .. }) if orders.len() > 1 => self.put_back(orders),
            Err(cause) => {
                let cause = Error::from(cause);
                for Order { answer, .. } in orders {
                    let _ = answer.send(Err(cause.clone()));
                }
            }
        }
    }

    /// Nothing of it was carried out. What was given up meanwhile is as good as not sent.
    fn put_back(&self, orders: Vec<PendingOrder>) {
        let is_wanted =
            |order: &PendingOrder| !order.answer.is_closed() || matches!(order.write, Write::Remove { .. });
        let wanted = orders.into_iter().filter(is_wanted).map(|order| Order { goes_alone: true, ..order });
        self.gatherer.change(|orders| drop(orders.splice(0..0, wanted)));
    }

    fn give_up(&self, number: u64) {
        let given_up = self.gatherer.change(|orders| {
            let place = orders.iter().position(|order| order.number == number)?;
            Some(orders.remove(place))
        });
        if let Some(Order { write: Write::Remove { path }, .. }) = given_up {
            // Sent when called.
            drop(self.client.delete(&path, None));
        }
    }
}

/// A write that was asked for.
pub(crate) struct Asked<'a> {
    writer: &'a Writer,
    number: u64,
    outcome: oneshot::Receiver<WriteOutcome>,
    is_answered: bool,
}

impl Asked<'_> {
    /// What came of it, and which place in a queue, if one was asked for.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the write made or not, as the invariant above says.
    pub(crate) async fn outcome(mut self) -> WriteOutcome {
        let outcome = (&mut self.outcome).await;
        self.is_answered = true;
        outcome.unwrap_or(Err(Error::ClientClosed))
    }
}

impl Drop for Asked<'_> {
    /// Closed first: a write that is put back meanwhile either is seen to be given up or found.
    fn drop(&mut self) {
        if !self.is_answered {
            self.outcome.close();
            self.writer.give_up(self.number);
        }
    }
}

//! Hearing hand-offs from one node of a cluster.
//!
//! The subscriptions have a connection of their own that carries no commands. A server ends a subscription by itself
//! when its slot moves away, and the client library takes its message for the answer to the command under way. On this
//! connection that can only be another subscription, and the connection is given up at once.

use super::connector::Connector;
use super::heartbeat::Heartbeat;
use super::request::CallError;
use super::timed::TimedConnection;
use crate::backend::redis::failure::breaks_connection;
use crate::backend::redis::notifications::{Broken, Pushes, Receiver};
use crate::error::LockError;
use crate::keeper::Keeper;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The subscriptions at one node: one for each slot in which this process ever waited.
pub(super) struct Listener {
    connector: Connector,
    pushes: Arc<Pushes>,
    live: Mutex<Option<LiveSubscriptions>>,
    subscribing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct LiveSubscriptions {
    connection: TimedConnection,
    broken: Broken,
    slots: Arc<Mutex<HashSet<u16>>>,
    _heartbeat: Arc<Heartbeat>,
}

impl Listener {
    pub(super) fn new(connector: Connector, pushes: Arc<Pushes>) -> Arc<Self> {
        let (live, subscribing) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { connector, pushes, live, subscribing })
    }

    /// Whether hand-offs in `slot` are heard.
    pub(super) fn hears(&self, slot: u16) -> bool {
        self.working().is_some_and(|live| live.slots.lock().contains(&slot))
    }

    /// Makes sure that they are. An error says that this node does not serve the slot, or cannot be reached.
    ///
    /// The keeper does it, so that no subscription waits for the future of another caller.
    pub(super) async fn listen(self: &Arc<Self>, slot: u16) -> Result<(), CallError> {
        let (keeper, this) = (Keeper::here().map_err(CallError::Connect)?, Arc::clone(self));
        let listening = keeper.complete(async move { this.subscribe(slot).await });
        listening.await.map_err(CallError::Failed)?
    }

    async fn subscribe(&self, slot: u16) -> Result<(), CallError> {
        let _one_at_a_time = self.subscribing.lock().await;
        if self.hears(slot) {
            return Ok(());
        }
        let mut live = self.get().await.map_err(CallError::Connect)?;
        let channel = self.pushes.naming.channel_prefix(slot) + &self.pushes.inbox.name();
        let subscribed = redis::cmd("SSUBSCRIBE").arg(channel).exec_async(&mut live.connection).await;
        subscribed.map_err(|cause| {
            if breaks_connection(&cause) {
                live.broken.store(true, Ordering::Release);
            }
            CallError::Redis(cause)
        })?;
        live.slots.lock().insert(slot);
        Ok(())
    }

    fn working(&self) -> Option<LiveSubscriptions> {
        self.live.lock().clone().filter(|live| !live.broken.load(Ordering::Acquire))
    }

    async fn get(&self) -> Result<LiveSubscriptions, LockError> {
        if let Some(live) = self.working() {
            return Ok(live);
        }
        let broken = Broken::default();
        let pushes = Some(Arc::clone(&self.pushes));
        let receiver = Receiver { pushes, broken: Arc::clone(&broken), beside: None };
        let connection = self.connector.connect(Some(receiver)).await?;
        let heartbeat = Arc::new(Heartbeat::start(Keeper::here()?, &connection, &broken, &self.pushes));
        let live = LiveSubscriptions { connection, broken, slots: Arc::default(), _heartbeat: heartbeat };
        *self.live.lock() = Some(live.clone());
        Ok(live)
    }
}

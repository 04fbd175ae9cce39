//! The nodes of a Redis Cluster, and which of them a request goes to.

use super::address::Address;
use super::connection::{Connection, Opening, Source};
use super::connector::Connector;
use super::listener::Listener;
use super::request::{CallError, Reply, Request};
use super::slots::SlotMap;
use crate::error::{ErrorKind, LockError};
use crate::time::Moment;
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, RedisError, Value};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A Redis Cluster.
pub(crate) struct Cluster {
    /// Where the cluster was said to be.
    seeds: Vec<Address>,
    connector: Connector,
    opening: Opening,
    map: Mutex<SlotMap>,
    nodes: Mutex<HashMap<Address, Arc<ClusterNode>>>,
    /// When the map was asked for last.
    asking: tokio::sync::Mutex<Moment>,
}

/// What there is towards one node.
struct ClusterNode {
    address: Address,
    commands: Connection,
    listener: Listener,
}

/// How many redirections one request follows.
const REDIRECTIONS: usize = 8;
/// Whoever finds the map younger than this does not ask for another one.
const FRESH: Duration = Duration::from_millis(100);

impl Cluster {
    /// `opening` is that of the connections that carry commands.
    pub(crate) fn new(seeds: Vec<Address>, connector: Connector, opening: Opening) -> Self {
        let (map, nodes) = (Mutex::default(), Mutex::default());
        Self { seeds, connector, opening, map, nodes, asking: tokio::sync::Mutex::new(Moment::START) }
    }

    /// Makes sure that the cluster can be reached, and serves.
    pub(super) async fn ensure(&self) -> Result<(), LockError> {
        self.refresh().await
    }

    /// Sends a request to the node of `slot`, wherever that is by now.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        slot: u16,
        request: Request<'_>,
    ) -> Result<Reply<T>, CallError> {
        let outcome = self.follow(slot, |node| async move { node.commands.call(request).await }).await;
        let Err(CallError::Redis(cause)) = outcome else { return outcome };
        let asked = self.node(slot).await.map_err(CallError::Failed)?;
        match Redirection::of(&cause, &asked.address) {
            Redirection::Ask(address) => self.node_at(&address).ask(request, cause).await,
            Redirection::Moved(_) | Redirection::None => Err(CallError::Redis(cause)),
        }
    }

    /// Has the node of `slot` attempt something, and whichever node it says has the slot instead.
    async fn follow<T, F>(&self, slot: u16, attempt: impl Fn(Arc<ClusterNode>) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut node = self.node(slot).await.map_err(CallError::Connect)?;
        for _ in 0..REDIRECTIONS {
            let error = match attempt(Arc::clone(&node)).await {
                Err(error) => error,
                done => return done,
            };
            match error.redirection(&node.address) {
                Redirection::Moved(address) => {
                    self.map.lock().set(slot, &address);
                    node = self.node_at(&address);
                }
                Redirection::Ask(_) | Redirection::None => {
                    self.after_failure(&error).await;
                    return Err(error);
                }
            }
        }
        Err(CallError::Connect(unavailable("the cluster's nodes send us from one to the other")))
    }

    /// The slots of a node that failed, or that says that the cluster is not whole, may be another's by now. What
    /// comes of asking matters to the next attempt.
    async fn after_failure(&self, error: &CallError) {
        let may_have_moved = match error {
            CallError::Connect(_) | CallError::Failed(_) => true,
            CallError::Redis(cause) => {
                cause.is_io_error() || matches!(cause.code(), Some("CLUSTERDOWN" | "READONLY"))
            }
        };
        if may_have_moved {
            let _ = self.refresh().await;
        }
    }

    pub(super) fn hears(&self, slot: u16) -> bool {
        let address = self.map.lock().node(slot).cloned();
        address.is_some_and(|address| self.node_at(&address).listener.hears(slot))
    }

    /// Subscribes at the node of `slot`.
    pub(super) async fn listen(&self, slot: u16) -> Result<(), LockError> {
        let listening = self.follow(slot, |node| async move { node.listener.listen(slot).await });
        Ok(listening.await?)
    }

    /// Sends a request to every node that can be reached. The error of one, if none can.
    pub(super) async fn call_each<T: FromRedisValue>(
        &self,
        request: Request<'_>,
    ) -> Result<Vec<T>, LockError> {
        let addresses = self.map.lock().addresses().to_vec();
        let (mut answers, mut failure) = (Vec::new(), unavailable("no node of the cluster serves a slot"));
        for address in addresses {
            match self.node_at(&address).commands.call(request).await {
                Ok(reply) => answers.push(reply.value),
                Err(error) => failure = error.into(),
            }
        }
        if answers.is_empty() { Err(failure) } else { Ok(answers) }
    }

    /// Where the node of `slot` is.
    pub(super) async fn address(&self, slot: u16) -> Result<Address, LockError> {
        Ok(self.node(slot).await?.address.clone())
    }

    pub(super) fn connector(&self, address: &Address) -> Connector {
        self.connector.at(address)
    }

    /// Takes in what a node answered that does not serve `slot` any more.
    pub(super) fn learn(&self, slot: u16, cause: &RedisError, asked: &Address) {
        if let Redirection::Moved(address) = Redirection::of(cause, asked) {
            self.map.lock().set(slot, &address);
        }
    }

    async fn node(&self, slot: u16) -> Result<Arc<ClusterNode>, LockError> {
        if let Some(node) = self.known_node(slot) {
            return Ok(node);
        }
        self.refresh().await?;
        self.known_node(slot).ok_or_else(|| unavailable("no node of the cluster serves the key's slot"))
    }

    fn known_node(&self, slot: u16) -> Option<Arc<ClusterNode>> {
        let address = self.map.lock().node(slot).cloned()?;
        Some(self.node_at(&address))
    }

    fn node_at(&self, address: &Address) -> Arc<ClusterNode> {
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(address) {
            return Arc::clone(node);
        }
        let connector = self.connector.at(address);
        let node = Arc::new(ClusterNode {
            address: address.clone(),
            commands: Connection::new(Source::Fixed(Box::new(connector.clone())), self.opening.clone()),
            listener: Listener::new(connector, Arc::clone(&self.opening.pushes)),
        });
        nodes.insert(address.clone(), Arc::clone(&node));
        node
    }

    /// Asks the cluster which node serves which slot, once for all who wait for the answer.
    async fn refresh(&self) -> Result<(), LockError> {
        let called = Moment::now();
        let mut asked = self.asking.lock().await;
        if *asked >= called || called.since(*asked) < FRESH && *asked > Moment::START {
            return Ok(());
        }
        let map = self.ask_anybody().await?;
        self.nodes.lock().retain(|address, _| map.addresses().contains(address));
        *self.map.lock() = map;
        *asked = Moment::now();
        Ok(())
    }

    async fn ask_anybody(&self) -> Result<SlotMap, LockError> {
        let mut addresses = self.map.lock().addresses().to_vec();
        addresses.extend(self.seeds.iter().cloned());
        let mut failure = unavailable("no node of the cluster is named");
        for address in addresses {
            match self.ask_for_map(&address).await {
                Ok(map) => return Ok(map),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn ask_for_map(&self, address: &Address) -> Result<SlotMap, LockError> {
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let reply = self.node_at(address).commands.call::<Vec<Value>>((&question).into()).await?;
        let strange = || LockError::new(ErrorKind::Unsupported, "CLUSTER SLOTS has a form that is not known");
        SlotMap::parse(&reply.value, address).ok_or_else(strange)
    }
}

impl ClusterNode {
    /// Sends a request about a slot that is on its way to this node, whose other node refused it with `cause`.
    async fn ask<T: FromRedisValue>(
        &self,
        request: Request<'_>,
        cause: RedisError,
    ) -> Result<Reply<T>, CallError> {
        // A pipeline waits until the move is over: only the command right after ASKING is let through.
        let Request::Command(command) = request else { return Err(CallError::Redis(cause)) };
        let mut asking = redis::pipe();
        asking.cmd("ASKING").ignore().add_command(Cmd::clone(command));
        let reply = self.commands.call::<(T,)>((&asking).into()).await?;
        Ok(Reply { value: reply.value.0, repeated: reply.repeated })
    }
}

/// Where a node says that a slot is.
enum Redirection {
    /// For good.
    Moved(Address),
    /// For the one request; the slot is on its way there.
    Ask(Address),
    None,
}

impl Redirection {
    /// What `asked` answered. A node that does not know the other's host names only its port.
    fn of(cause: &RedisError, asked: &Address) -> Self {
        let address = cause.redirect_node().and_then(|(address, _)| match address.strip_prefix(':') {
            Some(port) => Some(Address { host: asked.host.clone(), port: port.parse().ok()? }),
            None => Address::parse(address, 0),
        });
        match (address, cause.code()) {
            (Some(address), Some("ASK")) => Self::Ask(address),
            (Some(address), _) => Self::Moved(address),
            (None, _) => Self::None,
        }
    }
}

impl CallError {
    fn redirection(&self, asked: &Address) -> Redirection {
        match self {
            Self::Redis(cause) => Redirection::of(cause, asked),
            Self::Connect(_) | Self::Failed(_) => Redirection::None,
        }
    }
}

fn unavailable(detail: &'static str) -> LockError {
    LockError::new(ErrorKind::Unavailable, detail)
}

//! The nodes of a Redis Cluster, and which of them a request goes to.

use super::address::Address;
use super::address_map::AddressMap;
use super::connection::Connection;
use super::connector::Connector;
use super::listener::Listener;
use super::live::{Opening, Source};
use super::per_runtime::Route;
use super::request::{Asking, CallError, Copies, Request};
use super::slots::SlotMap;
use crate::backend::redis::notifications::Pushes;
use crate::error::{ErrorKind, LockError};
use crate::keeper::Keeper;
use crate::time::{Moment, before, sleep};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use parking_lot::Mutex;
use redis::{FromRedisValue, RedisError, Value};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A Redis Cluster.
pub(crate) struct Cluster {
    /// Where the cluster was said to be.
    seeds: Vec<Address>,
    /// Where its nodes are reached.
    address_map: AddressMap,
    connector: Connector,
    opening: Opening,
    pushes: Arc<Pushes>,
    map: Mutex<SlotMap>,
    nodes: Mutex<HashMap<Address, Arc<ClusterNode>>>,
    asking: tokio::sync::Mutex<LastMap>,
}

/// The map that there is.
struct LastMap {
    asked: Moment,
    told_by: Option<Address>,
}

/// What there is towards one node.
struct ClusterNode {
    address: Address,
    commands: Connection,
    listener: Arc<Listener>,
}

/// How many redirections one request follows.
pub(super) const REDIRECTIONS: usize = 8;
/// A map that is younger than this is not asked for again.
const FRESH: Duration = Duration::from_millis(100);
/// How long the first node is asked alone before the next one is asked as well.
const ALONE: Duration = Duration::from_millis(250);

impl Cluster {
    /// `opening` is that of the connections that carry commands.
    pub(crate) fn new(
        seeds: Vec<Address>,
        address_map: AddressMap,
        connector: Connector,
        opening: Opening,
        pushes: Arc<Pushes>,
    ) -> Arc<Self> {
        let (map, nodes) = (Mutex::default(), Mutex::default());
        let asking = tokio::sync::Mutex::new(LastMap { asked: Moment::START, told_by: None });
        Arc::new(Self { seeds, address_map, connector, opening, pushes, map, nodes, asking })
    }

    /// How long finding the cluster may take, and some more.
    pub(super) fn patience(&self) -> Duration {
        let each = Source::Fixed(Box::new(self.connector.clone())).patience();
        each.saturating_mul(u32::try_from(self.seeds.len()).unwrap_or(u32::MAX))
    }

    /// Makes sure that the cluster can be reached, and serves.
    pub(super) async fn ensure(self: &Arc<Self>) -> Result<(), LockError> {
        self.refresh().await
    }

    /// What the channel of a hand-off in `slot` begins with.
    pub(super) fn channel_prefix(&self, slot: u16) -> String {
        self.pushes.naming.channel_prefix(slot)
    }

    /// Sends a request to the node of `slot`, wherever that is by now.
    pub(super) async fn call<T: FromRedisValue>(
        self: &Arc<Self>,
        slot: u16,
        request: Request<'_>,
        copies: &Copies,
    ) -> Result<T, CallError> {
        let send = |node: Arc<ClusterNode>, asking| async move {
            match asking {
                Asking::No => node.commands.call(&Route::Keeper, request, copies).await,
                Asking::Yes => node.ask(request, copies).await,
            }
        };
        self.follow(slot, send).await
    }

    /// Has the node of `slot` attempt something, and whichever node it says has the slot instead.
    async fn follow<T, F>(
        self: &Arc<Self>,
        slot: u16,
        attempt: impl Fn(Arc<ClusterNode>, Asking) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut place = self.place(slot).await.map_err(CallError::Connect)?;
        let mut outcome = attempt(self.node_at(&place.address), place.asking).await;
        for _ in 0..REDIRECTIONS {
            match outcome {
                Err(error) => place = self.next_place(slot, &place, error).await?,
                done => return done,
            }
            let next = attempt(self.node_at(&place.address), place.asking).await;
            outcome = next.map_err(CallError::of_second_copy);
        }
        Err(CallError::Failed(in_a_circle()))
    }

    /// Where the slot is by the map.
    pub(super) async fn place(self: &Arc<Self>, slot: u16) -> Result<Place, LockError> {
        Ok(Place { address: self.node(slot).await?.address.clone(), asking: Asking::No })
    }

    /// Where a request goes that failed at `asked`.
    ///
    /// # Errors
    /// `error` itself, if the node did not say that the slot is elsewhere.
    pub(super) async fn next_place(
        self: &Arc<Self>,
        slot: u16,
        asked: &Place,
        error: CallError,
    ) -> Result<Place, CallError> {
        match error.redirection(&asked.address) {
            Redirection::Moved(announced) => {
                let address = self.reach(&announced)?;
                self.map.lock().set(slot, &address);
                Ok(Place { address, asking: Asking::No })
            }
            Redirection::Ask(announced) => {
                Ok(Place { address: self.reach(&announced)?, asking: Asking::Yes })
            }
            Redirection::None => {
                self.after_failure(&error).await;
                Err(error)
            }
        }
    }

    fn reach(&self, announced: &Address) -> Result<Address, CallError> {
        self.address_map.reach(announced).map_err(CallError::Failed)
    }

    /// The slots of a node that failed, or that says that the cluster is not whole, may be another's by now. What
    /// comes of asking matters to the next attempt.
    async fn after_failure(self: &Arc<Self>, error: &CallError) {
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
    pub(super) async fn listen(self: &Arc<Self>, slot: u16) -> Result<(), LockError> {
        let listening = self.follow(slot, |node, _| async move { node.listener.listen(slot).await });
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
            match self.node_at(&address).commands.call(&Route::Keeper, request, &Copies::default()).await {
                Ok(answer) => answers.push(answer),
                Err(error) => failure = error.into(),
            }
        }
        if answers.is_empty() { Err(failure) } else { Ok(answers) }
    }

    /// The first slot that is served.
    pub(super) async fn first_primary(self: &Arc<Self>) -> Result<u16, LockError> {
        self.refresh().await?;
        self.map.lock().next_primary(None).ok_or_else(|| unavailable("no node of the cluster serves a slot"))
    }

    /// The first slot after this one whose node serves no earlier one.
    pub(super) fn next_primary(&self, slot: u16) -> Option<u16> {
        self.map.lock().next_primary(Some(slot))
    }

    pub(super) fn connector(&self, address: &Address) -> Connector {
        self.connector.at(address)
    }

    async fn node(self: &Arc<Self>, slot: u16) -> Result<Arc<ClusterNode>, LockError> {
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
            listener: Listener::new(connector, Arc::clone(&self.pushes)),
        });
        nodes.insert(address.clone(), Arc::clone(&node));
        node
    }

    /// Asks the cluster which node serves which slot, once for all who wait for the answer.
    ///
    /// The keeper does it, so that no request waits for the future of another caller.
    async fn refresh(self: &Arc<Self>) -> Result<(), LockError> {
        let (called, this) = (Moment::now(), Arc::clone(self));
        Keeper::here()?.complete(async move { this.refresh_since(called).await }).await?
    }

    async fn refresh_since(&self, called: Moment) -> Result<(), LockError> {
        let mut last = self.asking.lock().await;
        if last.asked >= called || called.since(last.asked) < FRESH && last.asked > Moment::START {
            return Ok(());
        }
        let nodes = self.map.lock().addresses().to_vec();
        let (told_by, map) = self.ask_one_of(&in_turn(&nodes, &self.seeds, last.told_by.as_ref())).await?;
        self.nodes.lock().retain(|address, _| map.addresses().contains(address));
        *self.map.lock() = map;
        *last = LastMap { asked: Moment::now(), told_by: Some(told_by) };
        Ok(())
    }

    /// The first map that a node gives. The nodes are asked one after the other. A node that does not answer for a while holds
    /// nothing up: the next one is asked beside it.
    async fn ask_one_of(&self, addresses: &[Address]) -> Result<(Address, SlotMap), LockError> {
        let (mut asking, mut next) = (FuturesUnordered::new(), addresses.iter());
        let mut failure = unavailable("no node of the cluster is named");
        loop {
            asking.extend(next.next().map(|address| self.ask_for_map(address)));
            let answer = match next.len() {
                0 => asking.next().await,
                _ => match before(sleep(ALONE), asking.next()).await {
                    Some(answer) => answer,
                    None => continue,
                },
            };
            match answer {
                Some(Ok(told)) => return Ok(told),
                Some(Err(error)) if failure.kind() == ErrorKind::Unavailable => failure = error,
                Some(Err(_)) => {}
                None => return Err(failure),
            }
        }
    }

    async fn ask_for_map(&self, address: &Address) -> Result<(Address, SlotMap), LockError> {
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let (node, copies) = (self.node_at(address), Copies::default());
        let slots: Vec<Value> = node.commands.call(&Route::Keeper, (&question).into(), &copies).await?;
        let strange = || LockError::new(ErrorKind::Unsupported, "CLUSTER SLOTS has a form that is not known");
        let map = SlotMap::parse(&slots, address).ok_or_else(strange)?;
        Ok((address.clone(), map.reached_by(|node| self.address_map.reach(node))?))
    }
}

/// Which nodes are asked for the map, in this order. The one that gave the last map is asked last: one that is cut off from
/// the others goes on telling an old one.
fn in_turn(nodes: &[Address], seeds: &[Address], told_by: Option<&Address>) -> Vec<Address> {
    let further = seeds.iter().filter(|seed| !nodes.contains(seed));
    let all = nodes.iter().chain(further).cloned();
    let (last, mut first): (Vec<_>, Vec<_>) = all.partition(|address| Some(address) == told_by);
    first.extend(last);
    first
}

impl ClusterNode {
    /// Sends a request about a slot that is still on its way to this node.
    async fn ask<T: FromRedisValue>(&self, request: Request<'_>, copies: &Copies) -> Result<T, CallError> {
        let asking = request.asking().ok_or_else(|| CallError::Failed(on_its_way()))?;
        let (answer,) = self.commands.call(&Route::Keeper, (&asking).into(), copies).await?;
        Ok(answer)
    }
}

/// Where a request about a slot goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) asking: Asking,
}

/// Where a node says that a slot is.
#[derive(Debug, PartialEq, Eq)]
enum Redirection {
    /// For good.
    Moved(Address),
    /// For the one request; the slot is on its way there.
    Ask(Address),
    None,
}

impl Redirection {
    /// What `asked` answered. A node that does not know the other's host names only its port, or `?` and its port.
    fn of(cause: &RedisError, asked: &Address) -> Self {
        let address = cause.redirect_node().and_then(|(address, _)| {
            match address.strip_prefix('?').unwrap_or(address).strip_prefix(':') {
                Some(port) if !port.contains(':') => Address::of(&asked.host, port.parse().ok()?),
                _ => Address::parse_announced(address),
            }
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

/// The nodes contradict each other, as they do for a moment when a slot has moved.
pub(super) fn in_a_circle() -> LockError {
    unavailable("the cluster's nodes redirect the request in a circle")
}

fn on_its_way() -> LockError {
    unavailable("the key's slot is being moved to another node")
}

fn unavailable(detail: &'static str) -> LockError {
    LockError::new(ErrorKind::Unavailable, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::script_error::of_line;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    #[test]
    fn the_node_that_told_last_is_asked_last() {
        let [a, b, c] = ["a", "b", "c"].map(|host| address(host, 7000));
        let (nodes, seeds) = ([a.clone(), b.clone()], [b.clone(), c.clone()]);
        assert_eq!(in_turn(&nodes, &seeds, None), [a.clone(), b.clone(), c.clone()]);
        assert_eq!(in_turn(&nodes, &seeds, Some(&a)), [b.clone(), c.clone(), a.clone()]);
        assert_eq!(in_turn(&[], &seeds, Some(&a)), [b, c]);
    }

    #[test]
    fn a_redirection_names_a_node_or_only_its_port() {
        let said = |line| Redirection::of(&of_line(line).unwrap(), &address("asked", 7000));
        assert_eq!(said("MOVED 1 10.0.0.5:7001"), Redirection::Moved(address("10.0.0.5", 7001)));
        for bare_or_not in ["ASK 1 ::1:7001", "ASK 1 [::1]:7001"] {
            assert_eq!(said(bare_or_not), Redirection::Ask(address("::1", 7001)), "{bare_or_not}");
        }
        assert_eq!(said("MOVED 1 fd00::2:7001"), Redirection::Moved(address("fd00::2", 7001)));
        for nameless in ["MOVED 1 :7001", "MOVED 1 ?:7001"] {
            assert_eq!(said(nameless), Redirection::Moved(address("asked", 7001)), "{nameless}");
        }
        for other in ["MOVED 1 ?:port", "MOVED", "TRYAGAIN later", "ERR ask 1 10.0.0.5:7001"] {
            assert_eq!(said(other), Redirection::None, "{other}");
        }
    }
}

//! A Redis Cluster.

use super::cluster_nodes::ClusterNodes;
use super::nodes::{Nodes, no_such_node};
use super::ports::with_free_ports;
use super::redis::{RedisServer, RedisServerBuilder};
use super::redis_kind::RedisKind;
use super::replication::{follows, has_good_replicas, keeps_up};
use crate::error::{HarnessError, OrFail};
use std::net::SocketAddr;

/// Three primaries with a replica each, on loopback ports. Needs Redis 7.0, for shard channels and `cluster-port`.
///
/// A node that is silent for a second is given up by the others, and its replica takes its place.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Nodes,
}

impl RedisCluster {
    /// Starts the nodes without passwords, and returns once all serve and the replicas are in sync.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Nodes to be configured before they start.
    pub fn builder() -> RedisClusterBuilder {
        RedisClusterBuilder::default()
    }

    /// `redis+cluster://HOST:PORT,HOST:PORT,HOST:PORT`, the nodes that were primaries at the start,
    /// without a password.
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", self.nodes.hosts(PRIMARIES))
    }

    /// The addresses of all nodes.
    pub fn nodes(&self) -> Vec<SocketAddr> {
        self.nodes.addresses()
    }

    /// The nodes that own slots, as all nodes that run say. They may be dead.
    #[track_caller]
    pub fn primaries(&self) -> Vec<SocketAddr> {
        self.await_view("agree on the primaries", |view| Some(view.primaries())).or_fail()
    }

    /// The slot of a key.
    #[track_caller]
    pub fn slot_of(&self, key: &str) -> u16 {
        let ask = || self.nodes.running().next()?.probe(&["CLUSTER", "KEYSLOT", key])?.parse().ok();
        self.nodes.await_that("tell a key's slot", ask).or_fail()
    }

    /// The node that owns a slot, as all nodes that run say; waits while they differ. It may be dead.
    #[track_caller]
    pub fn owner_of(&self, slot: u16) -> SocketAddr {
        self.await_owner(slot).or_fail()
    }

    /// The replica of a primary.
    #[track_caller]
    pub fn replica_of(&self, primary: SocketAddr) -> SocketAddr {
        self.await_replica(primary).or_fail()
    }

    /// The node at `address`, to be asked; its answers may be redirections, which are errors.
    #[track_caller]
    pub fn node(&self, address: SocketAddr) -> &RedisServer {
        match self.nodes.find(address) {
            Some(node) => node,
            None => no_such_node(address),
        }
    }

    /// Sends a command to one node, as [`RedisServer::command`] does.
    #[track_caller]
    pub fn command_on(&self, address: SocketAddr, command: &[&str]) -> String {
        self.node(address).command(command)
    }

    /// Sends a command to the node that owns the slot of `key`.
    #[track_caller]
    pub fn command_for(&self, key: &str, command: &[&str]) -> String {
        self.command_on(self.owner_of(self.slot_of(key)), command)
    }

    /// Moves a slot with its keys, in the three steps below.
    #[track_caller]
    pub fn migrate(&self, slot: u16, to: SocketAddr) {
        self.begin_migration(slot, to);
        self.move_keys(slot, to);
        self.end_migration(slot, to);
    }

    /// From here on the slot's owner answers `ASK` for keys that it does not have.
    #[track_caller]
    pub fn begin_migration(&self, slot: u16, to: SocketAddr) {
        let from = self.owner_of(slot);
        self.set_slot(to, slot, &["IMPORTING", &self.id_of(from)]);
        self.set_slot(from, slot, &["MIGRATING", &self.id_of(to)]);
    }

    /// Moves the keys of a slot whose migration has begun.
    #[track_caller]
    pub fn move_keys(&self, slot: u16, to: SocketAddr) {
        let from = self.node(self.owner_of(slot));
        let (slot, port) = (slot.to_string(), to.port().to_string());
        loop {
            let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            if keys.is_empty() {
                return;
            }
            let head = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
            let login = from.login_words();
            from.command(&[&head[..], &login, &["KEYS"], &keys.lines().collect::<Vec<_>>()].concat());
        }
    }

    /// Makes `to` the owner of a slot whose keys have moved, and returns once all nodes know. Others than
    /// the two may know it last, so that they redirect to the old owner until then.
    #[track_caller]
    pub fn end_migration(&self, slot: u16, to: SocketAddr) {
        let (from, id) = (self.owner_of(slot), self.id_of(to));
        let others = self.primaries().into_iter().filter(|node| ![from, to].contains(node));
        for node in [to, from].into_iter().chain(others) {
            self.set_slot(node, slot, &["NODE", &id]);
        }
        self.await_owner_that(slot, |owner| owner == to).or_fail();
    }

    /// Makes the replica of a slot's owner its owner (CLUSTER FAILOVER, which loses nothing), and returns
    /// it once all nodes know.
    #[track_caller]
    pub fn fail_over(&self, slot: u16) -> SocketAddr {
        self.await_settled().or_fail();
        let replica = self.replica_of(self.owner_of(slot));
        self.command_on(replica, &["CLUSTER", "FAILOVER"]);
        self.await_owner_that(slot, |owner| owner == replica).or_fail()
    }

    /// Kills the owner of a slot (SIGKILL), and returns its address without waiting for another.
    #[track_caller]
    pub fn kill_owner_of(&mut self, slot: u16) -> SocketAddr {
        let owner = self.owner_of(slot);
        self.kill(owner);
        owner
    }

    /// Waits until all nodes that run name an owner of the slot other than `old`, and serve.
    #[track_caller]
    pub fn await_new_owner(&self, slot: u16, old: SocketAddr) -> SocketAddr {
        self.await_owner_that(slot, |owner| owner != old).or_fail()
    }

    /// Kills the node at `address` (SIGKILL), and returns when it has ended.
    #[track_caller]
    pub fn kill(&mut self, address: SocketAddr) {
        self.node_mut(address).kill();
    }

    /// Starts the node at `address` on its old port, after killing it when it still runs.
    /// [`await_in_sync`](Self::await_in_sync) waits until it has its place in the cluster.
    #[track_caller]
    pub fn restart(&mut self, address: SocketAddr) {
        self.node_mut(address).restart();
    }

    /// Stops the node at `address` where it is (SIGSTOP).
    #[track_caller]
    pub fn pause(&mut self, address: SocketAddr) {
        self.node_mut(address).pause();
    }

    /// Lets a paused node go on (SIGCONT).
    #[track_caller]
    pub fn resume(&mut self, address: SocketAddr) {
        self.node_mut(address).resume();
    }

    /// Waits until all nodes that run serve and agree, and the replicas among them have what their
    /// primaries have.
    #[track_caller]
    pub fn await_in_sync(&self) {
        self.await_settled().or_fail();
    }

    #[track_caller]
    fn node_mut(&mut self, address: SocketAddr) -> &mut RedisServer {
        match self.nodes.find_mut(address) {
            Some(node) => node,
            None => no_such_node(address),
        }
    }

    #[track_caller]
    fn set_slot(&self, node: SocketAddr, slot: u16, change: &[&str]) {
        let slot = slot.to_string();
        self.command_on(node, &[&["CLUSTER", "SETSLOT", &slot], change].concat());
    }

    #[track_caller]
    fn id_of(&self, address: SocketAddr) -> String {
        let id = |view: &ClusterNodes| view.id_of(address).map(str::to_owned);
        self.await_view("tell a node's id", id).or_fail()
    }

    fn await_owner(&self, slot: u16) -> Result<SocketAddr, HarnessError> {
        self.await_view(&format!("agree on the owner of slot {slot}"), |view| view.owner_of(slot))
    }

    fn await_owner_that(
        &self,
        slot: u16,
        is_right: impl Fn(SocketAddr) -> bool,
    ) -> Result<SocketAddr, HarnessError> {
        self.nodes.await_that(&format!("serve with another owner of slot {slot}"), || {
            let owner = self.nodes.agreed(view)?.owner_of(slot)?;
            (is_right(owner) && self.nodes.running().all(serves)).then_some(owner)
        })
    }

    fn await_replica(&self, primary: SocketAddr) -> Result<SocketAddr, HarnessError> {
        self.await_view(&format!("tell the replica of {primary}"), |view| {
            view.replicas_of(primary).first().copied()
        })
    }

    /// What `answer` finds in the view that all nodes share.
    fn await_view<T>(
        &self,
        what: &str,
        answer: impl Fn(&ClusterNodes) -> Option<T>,
    ) -> Result<T, HarnessError> {
        self.nodes.await_that(what, || answer(&self.nodes.agreed(view)?))
    }

    fn await_settled(&self) -> Result<(), HarnessError> {
        let settled = || self.is_settled(&self.nodes.agreed(view)?).then_some(());
        self.nodes.await_that("serve with all replicas in sync", settled)
    }

    fn is_settled(&self, view: &ClusterNodes) -> bool {
        let primaries = view.primaries();
        view.len() == NODES
            && primaries.len() == PRIMARIES
            && self.nodes.running().all(serves)
            && primaries.iter().all(|primary| self.replicas_keep_up(view, *primary))
    }

    fn replicas_keep_up(&self, view: &ClusterNodes, primary: SocketAddr) -> bool {
        let info = |node| self.nodes.find(node).and_then(RedisServer::replication);
        let Some(info_of_primary) = info(primary) else { return false };
        let replicas = view.replicas_of(primary).into_iter();
        let mut running = replicas.filter(|node| self.nodes.find(*node).is_some_and(RedisServer::is_running));
        running.all(|replica| {
            keeps_up(&info_of_primary, replica.port()) && info(replica).is_some_and(|info| follows(&info))
        }) && has_good_replicas(&info_of_primary)
    }
}

/// Configures a [`RedisCluster`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct RedisClusterBuilder {
    node: RedisServerBuilder,
}

impl RedisClusterBuilder {
    /// Which server each node is, if not the one that this process runs over.
    pub fn kind(mut self, kind: RedisKind) -> Self {
        self.node = self.node.kind(kind);
        self
    }

    /// Adds a line of `redis.conf` to all nodes, such as `min-replicas-to-write 1`.
    pub fn config(mut self, line: &str) -> Self {
        self.node = self.node.config(line);
        self
    }

    /// Requires a password at all nodes, and uses it between them and in the commands of the harness.
    pub fn password(mut self, password: &str) -> Self {
        self.node = self.node.password(password);
        self
    }

    /// Has the nodes listen for TLS, too, as [`RedisServerBuilder::tls`] does, speak it to each other, and name their ports
    /// for it to clients over TLS.
    pub fn tls(mut self, certificate: &str, key: &str, clients: Option<&str>) -> Self {
        let node = self.node.tls(certificate, key, clients);
        self.node = node.config("tls-cluster yes").config("tls-replication yes");
        self
    }

    /// Starts the nodes, and returns once all serve and the replicas are in sync.
    #[track_caller]
    pub fn start(self) -> RedisCluster {
        with_free_ports(|ports| self.start_on(ports)).or_fail()
    }

    fn start_on(&self, ports: [u16; 2 * NODES]) -> Result<RedisCluster, HarnessError> {
        let (pairs, _) = ports.as_chunks();
        let nodes: Result<_, _> = pairs.iter().map(|&[port, bus]| self.node(bus).start_on(port)).collect();
        let cluster = RedisCluster { nodes: Nodes(nodes?) };
        let bus_ports: Vec<u16> = pairs.iter().map(|[_, bus]| *bus).collect();
        share_slots(&cluster.nodes)?;
        introduce(&cluster.nodes, &bus_ports)?;
        replicate(&cluster)?;
        cluster.await_settled()?;
        Ok(cluster)
    }

    fn node(&self, bus: u16) -> RedisServerBuilder {
        let port = format!("cluster-port {bus}");
        let lines = ["cluster-enabled yes", "cluster-node-timeout 1000", &port];
        lines.iter().fold(self.node.clone(), |node, line| node.config(line))
    }
}

/// Gives each primary its part, and an epoch of its own so that none has to be found.
fn share_slots(nodes: &Nodes) -> Result<(), HarnessError> {
    for (node, (epoch, (first, last))) in nodes.0.iter().zip((1..).zip(SLOTS)) {
        let (epoch, first, last): (u16, _, _) = (epoch, first.to_string(), last.to_string());
        node.try_command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()])?;
        node.try_command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
    }
    Ok(())
}

/// Tells each node of all that come after it, because gossip takes longer.
fn introduce(nodes: &Nodes, bus_ports: &[u16]) -> Result<(), HarnessError> {
    for (index, node) in nodes.0.iter().enumerate() {
        for (other, bus) in nodes.0.iter().zip(bus_ports).skip(index + 1) {
            let (port, bus) = (other.port().to_string(), bus.to_string());
            node.try_command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
    }
    Ok(())
}

/// Makes the later nodes replicas of the first ones, once all know all.
fn replicate(cluster: &RedisCluster) -> Result<(), HarnessError> {
    cluster.await_view("know each other", |view| (view.len() == NODES).then_some(()))?;
    let (primaries, replicas) = cluster.nodes.0.split_at(PRIMARIES);
    for (primary, replica) in primaries.iter().zip(replicas) {
        let id = primary.try_command(&["CLUSTER", "MYID"])?;
        replica.try_command(&["CLUSTER", "REPLICATE", &id])?;
    }
    Ok(())
}

fn view(node: &RedisServer) -> Option<ClusterNodes> {
    Some(ClusterNodes::parse(&node.probe(&["CLUSTER", "NODES"])?))
}

fn serves(node: &RedisServer) -> bool {
    node.probe(&["CLUSTER", "INFO"]).is_some_and(|info| info.contains("cluster_state:ok"))
}

const PRIMARIES: usize = 3;
const NODES: usize = 2 * PRIMARIES;

/// The first and the last slot of each primary.
const SLOTS: [(u16, u16); PRIMARIES] = [(0, 5460), (5461, 10922), (10923, 16383)];

#[cfg(test)]
mod tests {
    use super::super::ports::{free_ports, loopback};
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_taken_bus_port_is_reported() {
        let ports: [u16; 2 * NODES] = free_ports().unwrap();
        let _owner = TcpListener::bind(loopback(ports[3])).unwrap();
        let error = RedisCluster::builder().start_on(ports).unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
    }
}

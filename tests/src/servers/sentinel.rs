//! A replicated Redis under the watch of Sentinels.

use super::nodes::{Nodes, no_such_node};
use super::ports::{loopback, with_free_ports};
use super::redis::{RedisServer, RedisServerBuilder};
use super::redis_kind::RedisKind;
use super::replication::{has_good_replicas, is_primary, keeps_up};
use crate::error::{HarnessError, OrFail};
use std::net::SocketAddr;

/// A primary, two replicas, and three Sentinels of which two must agree, on loopback ports.
///
/// A primary that is silent for half a second is replaced, on Redis 6.2 for two seconds. One that is replaced while it runs
/// ([`fail_over`](Self::fail_over), or a paused one that goes on) takes writes for some eight seconds more:
/// so long the Sentinels wait before they make it a replica.
#[derive(Debug)]
pub struct RedisSentinel {
    nodes: Nodes,
    sentinels: Nodes,
}

impl RedisSentinel {
    /// Starts the servers without passwords, and returns once a failover would succeed.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Servers to be configured before they start.
    pub fn builder() -> RedisSentinelBuilder {
        RedisSentinelBuilder::default()
    }

    /// The name that the Sentinels know the primary by.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The addresses of the Sentinels.
    pub fn sentinels(&self) -> Vec<SocketAddr> {
        self.sentinels.addresses()
    }

    /// `redis+sentinel://HOST:PORT,HOST:PORT,HOST:PORT/NAME`, without passwords.
    pub fn url(&self) -> String {
        format!("redis+sentinel://{}/{NAME}", self.sentinels.hosts(usize::MAX))
    }

    /// The primary, as all Sentinels that run say; waits while they differ. It may be dead.
    #[track_caller]
    pub fn primary(&self) -> SocketAddr {
        self.await_primary().or_fail()
    }

    /// The servers with data other than the primary, whether they run or not.
    #[track_caller]
    pub fn replicas(&self) -> Vec<SocketAddr> {
        let primary = self.primary();
        self.nodes.addresses().into_iter().filter(|address| *address != primary).collect()
    }

    /// The server with data or the Sentinel at `address`, to be asked.
    #[track_caller]
    pub fn node(&self, address: SocketAddr) -> &RedisServer {
        match self.nodes.find(address).or_else(|| self.sentinels.find(address)) {
            Some(node) => node,
            None => no_such_node(address),
        }
    }

    /// Tells a Sentinel to replace the primary, and returns the new one once all Sentinels name it.
    #[track_caller]
    pub fn fail_over(&self) -> SocketAddr {
        self.try_fail_over().or_fail()
    }

    /// Kills the primary (SIGKILL), and returns its address without waiting for another.
    #[track_caller]
    pub fn kill_primary(&mut self) -> SocketAddr {
        let primary = self.primary();
        self.node_mut(primary).kill();
        primary
    }

    /// Waits until all Sentinels that run name a primary other than `old`, and it is one.
    #[track_caller]
    pub fn await_new_primary(&self, old: SocketAddr) -> SocketAddr {
        self.await_other_primary(old).or_fail()
    }

    /// Kills the server with data or the Sentinel at `address` (SIGKILL), and returns when it has ended.
    #[track_caller]
    pub fn kill(&mut self, address: SocketAddr) {
        self.node_mut(address).kill();
    }

    /// Starts the server with data or the Sentinel at `address` on its old port, after killing it when it
    /// still runs. It comes back as what it was before, so that an old primary takes writes for a while.
    #[track_caller]
    pub fn restart(&mut self, address: SocketAddr) {
        self.node_mut(address).restart();
        self.sentinels.find(address).map_or(Ok(()), ask_often).or_fail();
    }

    /// Stops the server with data or the Sentinel at `address` where it is (SIGSTOP).
    #[track_caller]
    pub fn pause(&mut self, address: SocketAddr) {
        self.node_mut(address).pause();
    }

    /// Lets a paused server go on (SIGCONT).
    #[track_caller]
    pub fn resume(&mut self, address: SocketAddr) {
        self.node_mut(address).resume();
    }

    /// Waits until all that run follow the primary and the Sentinels see it, so that a failover would
    /// succeed.
    #[track_caller]
    pub fn await_in_sync(&self) {
        self.await_settled().or_fail();
    }

    #[track_caller]
    fn node_mut(&mut self, address: SocketAddr) -> &mut RedisServer {
        match self.nodes.find_mut(address).or_else(|| self.sentinels.find_mut(address)) {
            Some(node) => node,
            None => no_such_node(address),
        }
    }

    fn await_primary(&self) -> Result<SocketAddr, HarnessError> {
        self.sentinels.await_that("agree on a primary", || self.sentinels.agreed(named_primary))
    }

    /// Asks one Sentinel only: two that replace the primary may end with the old one.
    fn try_fail_over(&self) -> Result<SocketAddr, HarnessError> {
        let old = self.await_primary()?;
        self.sentinels.await_that("start a failover", || {
            self.sentinels.running().next()?.probe(&["SENTINEL", "FAILOVER", NAME])
        })?;
        self.await_other_primary(old)
    }

    fn await_other_primary(&self, old: SocketAddr) -> Result<SocketAddr, HarnessError> {
        self.sentinels.await_that(&format!("agree on a primary other than {old}"), || {
            let new = self.sentinels.agreed(named_primary).filter(|new| *new != old)?;
            is_primary(&self.nodes.find(new)?.replication()?).then_some(new)
        })
    }

    fn await_settled(&self) -> Result<(), HarnessError> {
        let settled = || self.replicas_keep_up() && self.sentinels.running().all(|each| self.sees_all(each));
        self.sentinels.await_that("see all replicas in sync", || settled().then_some(()))
    }

    fn replicas_keep_up(&self) -> bool {
        let Some(primary) = self.sentinels.agreed(named_primary) else { return false };
        let Some(info) = self.nodes.find(primary).and_then(RedisServer::replication) else { return false };
        let mut replicas = self.nodes.running().filter(|node| node.address() != primary);
        is_primary(&info)
            && has_good_replicas(&info)
            && replicas.all(|replica| keeps_up(&info, replica.port()))
    }

    /// Whether a Sentinel is connected to all others that run, and knows that all replicas that run follow.
    fn sees_all(&self, sentinel: &RedisServer) -> bool {
        let ask = |list| sentinel.probe(&["SENTINEL", list, NAME]).unwrap_or_default();
        let (others, replicas) = (ask("SENTINELS"), ask("REPLICAS"));
        connected("sentinel", &others) + 1 == self.sentinels.running().count()
            && connected("slave", &replicas) + 1 == self.nodes.running().count()
            && replicas.matches("master-link-status\nok\n").count() + 1 >= self.nodes.running().count()
    }
}

/// Configures a [`RedisSentinel`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct RedisSentinelBuilder {
    node: RedisServerBuilder,
    kind: RedisKind,
    password: Option<String>,
    sentinel_password: Option<String>,
    /// Certificate, key, and the clients' authority.
    tls: Option<(String, String, Option<String>)>,
}

impl RedisSentinelBuilder {
    /// Which servers and Sentinels they are, if not those that this process runs over.
    pub fn kind(mut self, kind: RedisKind) -> Self {
        self.node = self.node.kind(kind);
        self.kind = kind;
        self
    }

    /// Adds a line of `redis.conf` to the servers with data, such as `min-replicas-to-write 1`.
    pub fn config(mut self, line: &str) -> Self {
        self.node = self.node.config(line);
        self
    }

    /// Requires a password at the servers with data, and uses it in the commands of the harness.
    pub fn password(mut self, password: &str) -> Self {
        self.node = self.node.password(password);
        self.password = Some(password.to_owned());
        self
    }

    /// Requires a password at the Sentinels, and uses it in the commands of the harness.
    pub fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinel_password = Some(password.to_owned());
        self
    }

    /// Has the servers with data and the Sentinels listen for TLS, too, as [`RedisServerBuilder::tls`] does. The Sentinels
    /// name the other ports.
    pub fn tls(mut self, certificate: &str, key: &str, clients: Option<&str>) -> Self {
        self.node = self.node.tls(certificate, key, clients);
        self.tls = Some((certificate.to_owned(), key.to_owned(), clients.map(str::to_owned)));
        self
    }

    /// Starts the servers, and returns once a failover would succeed.
    #[track_caller]
    pub fn start(self) -> RedisSentinel {
        with_free_ports(|ports| self.start_on(ports)).or_fail()
    }

    fn start_on(&self, ports: [u16; NODES + SENTINELS]) -> Result<RedisSentinel, HarnessError> {
        let (nodes, sentinels) = ports.split_at(NODES);
        let nodes = self.start_nodes(nodes)?;
        let sentinels: Result<_, _> =
            sentinels.iter().map(|port| self.sentinel(&nodes, *port, sentinels).start_on(*port)).collect();
        let servers = RedisSentinel { nodes, sentinels: Nodes(sentinels?) };
        servers.sentinels.0.iter().try_for_each(ask_often)?;
        servers.await_settled()?;
        servers.sentinels.0.iter().try_for_each(lose_patience)?;
        Ok(servers)
    }

    /// The replicas follow before the Sentinels start, because those ask healthy replicas every ten seconds.
    fn start_nodes(&self, ports: &[u16]) -> Result<Nodes, HarnessError> {
        let primary = ports.first().copied().unwrap_or_default();
        let start = |port: &u16| {
            let node = self.node.clone();
            let node = if *port == primary { node } else { node.replica_of_address(loopback(primary)) };
            node.start_on(*port)
        };
        let servers: Result<_, _> = ports.iter().map(start).collect();
        Ok(Nodes(servers?))
    }

    fn sentinel(&self, nodes: &Nodes, port: u16, all: &[u16]) -> RedisServerBuilder {
        let primary = nodes.addresses().first().map_or(0, SocketAddr::port);
        let lines = sentinel_lines(primary, port, all).into_iter().chain(self.password_lines());
        let sentinel = lines
            .fold(RedisServerBuilder::default().kind(self.kind).sentinel(), |all, line| all.config(&line));
        let sentinel = match &self.tls {
            Some((certificate, key, clients)) => sentinel.tls(certificate, key, clients.as_deref()),
            None => sentinel,
        };
        match &self.sentinel_password {
            Some(password) => sentinel.login("default", password),
            None => sentinel,
        }
    }

    fn password_lines(&self) -> Vec<String> {
        let of_nodes = self.password.iter().map(|password| format!("sentinel auth-pass {NAME} {password}"));
        let of_sentinels = self.sentinel_password.iter().flat_map(|password| {
            [format!("requirepass {password}"), format!("sentinel sentinel-pass {password}")]
        });
        of_nodes.chain(of_sentinels).collect()
    }
}

/// The Sentinels know each other from the beginning; they would find each other in a few seconds. None
/// takes another server for dead while they get acquainted.
fn sentinel_lines(primary: u16, port: u16, all: &[u16]) -> Vec<String> {
    let own = [
        format!("sentinel myid {}", sentinel_id(port)),
        format!("sentinel monitor {NAME} 127.0.0.1 {primary} 2"),
        format!("sentinel down-after-milliseconds {NAME} 60000"),
        format!("sentinel failover-timeout {NAME} 3000"),
        format!("sentinel parallel-syncs {NAME} 2"),
    ];
    let others = all.iter().filter(|other| **other != port);
    let others = others
        .map(|other| format!("sentinel known-sentinel {NAME} 127.0.0.1 {other} {}", sentinel_id(*other)));
    own.into_iter().chain(others).collect()
}

fn sentinel_id(port: u16) -> String {
    format!("{port:040x}")
}

/// Lets a Sentinel ask a new primary before half a second without an answer makes it replace that one as
/// well, and see within a second what by default it may notice in ten. Before Redis 7.0 it cannot be told.
fn ask_often(sentinel: &RedisServer) -> Result<(), HarnessError> {
    if sentinel.kind().is_before_7() {
        return Ok(());
    }
    sentinel.try_command(&["SENTINEL", "DEBUG", "PING-PERIOD", "250", "INFO-PERIOD", "500"]).map(|_| ())
}

/// A Sentinel that asks once a second needs longer to tell a dead primary.
fn lose_patience(sentinel: &RedisServer) -> Result<(), HarnessError> {
    let patience = if sentinel.kind().is_before_7() { "2000" } else { "500" };
    sentinel.try_command(&["SENTINEL", "SET", NAME, "down-after-milliseconds", patience]).map(|_| ())
}

/// How many of a kind a Sentinel is connected to, by its list of them. That one of them once took the primary for dead
/// does not count: Valkey never forgets it.
fn connected(kind: &str, list: &str) -> usize {
    let lines = list.lines().zip(list.lines().skip(1));
    let flags = lines.filter(|(name, _)| *name == "flags").map(|(_, flags)| flags.strip_prefix(kind));
    flags.filter(|rest| matches!(rest, Some("" | ",master_down"))).count()
}

/// The primary that a Sentinel names.
fn named_primary(sentinel: &RedisServer) -> Option<SocketAddr> {
    let answer = sentinel.probe(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
    answer.replace('\n', ":").parse().ok()
}

const NAME: &str = "dlock";
const NODES: usize = 3;
const SENTINELS: usize = 3;

#[cfg(test)]
mod tests {
    use super::super::ports::free_ports;
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_taken_sentinel_port_is_reported() {
        let ports: [u16; NODES + SENTINELS] = free_ports().unwrap();
        let _owner = TcpListener::bind(loopback(ports[4])).unwrap();
        let error = RedisSentinel::builder().start_on(ports).unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
    }

    #[test]
    fn a_sentinel_tells_which_others_it_is_connected_to() {
        let list = "name\na\nflags\nsentinel\nname\nb\nflags\nsentinel,master_down\n\
            name\nc\nflags\ns_down,sentinel\nname\nflags\nflags\nsentinel,disconnected\n";
        assert_eq!(connected("sentinel", list), 2);
        assert_eq!(connected("slave", list), 0);
    }

    #[test]
    fn a_sentinel_knows_the_others_but_not_itself() {
        let lines = sentinel_lines(1, 3, &[2, 3, 4]).join("\n");
        assert!(lines.contains("sentinel monitor dlock 127.0.0.1 1 2"), "{lines}");
        let known: Vec<&str> = lines.lines().filter(|line| line.contains("known-sentinel")).collect();
        assert_eq!(known.len(), 2);
        assert!(known.iter().all(|line| !line.contains("127.0.0.1 3 ")), "{lines}");
    }
}

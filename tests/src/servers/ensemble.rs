//! Three ZooKeeper servers that elect a leader.

use super::ports::{loopback, with_free_ports};
use super::wire::PROBE_PATIENCE;
use super::zoo_cfg::ZooCfg;
use super::zookeeper::ZooKeeperServer;
use crate::error::{Doing, HarnessError, OrFail, fail};
use crate::link::Link;
use crate::wait::poll;
use std::net::SocketAddr;
use std::time::Duration;

/// An ensemble of three ZooKeeper servers on loopback ports, numbered from 0.
#[derive(Debug)]
pub struct ZooKeeperEnsemble {
    servers: Vec<ZooKeeperServer>,
    /// By which each of them reaches the others when it follows one, if that goes by links.
    ways: Vec<(usize, Link)>,
}

impl ZooKeeperEnsemble {
    /// Starts the servers, and returns once all serve and one leads.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_by_detours(|address| address)
    }

    /// Starts the servers, of which server 0 goes to the others, each at the address where it listens for its
    /// followers, by way of the address that `detour` gives: a relay's. Of servers that start together it is the
    /// last one to lead.
    #[track_caller]
    pub fn start_by_detours(detour: impl Fn(SocketAddr) -> SocketAddr) -> Self {
        let aside = |from, to| Ok(if from == 0 { detour(to) } else { to });
        with_free_ports(|ports| Self::start_on(ports, aside)).or_fail()
    }

    /// Starts the servers, with a link between each and any leader that it follows: for
    /// [`cut_off`](Self::cut_off) and [`slow_down`](Self::slow_down).
    #[track_caller]
    pub fn start_with_links() -> Self {
        with_free_ports(Self::start_linked_on).or_fail()
    }

    /// `127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT`, as ZooKeeper clients take it.
    pub fn hosts(&self) -> String {
        let hosts: Vec<String> = self.servers.iter().map(ZooKeeperServer::hosts).collect();
        hosts.join(",")
    }

    /// One of the servers.
    #[track_caller]
    pub fn server(&self, index: usize) -> &ZooKeeperServer {
        match self.servers.get(index) {
            Some(server) => server,
            None => no_such_server(index),
        }
    }

    /// The server that leads. Waits while there is none, or two that say so; while the servers that run
    /// are no majority, none ever leads, and the test fails.
    #[track_caller]
    pub fn leader(&self) -> usize {
        self.await_leader().or_fail()
    }

    /// Kills one server (SIGKILL) and returns when it has ended.
    #[track_caller]
    pub fn kill(&mut self, index: usize) {
        self.server_mut(index).kill();
    }

    /// Starts one server on its old port and data, after killing it when it still runs. Returns once all
    /// that run serve, or at once while they are no majority, because then none can serve.
    #[track_caller]
    pub fn restart(&mut self, index: usize) {
        self.server_mut(index).spawn().or_fail();
        if self.has_majority() {
            self.await_serving().or_fail();
        }
    }

    /// Stops one server where it is (SIGSTOP). A leader's followers give it up after five seconds.
    #[track_caller]
    pub fn pause(&mut self, index: usize) {
        self.server_mut(index).pause();
    }

    /// Lets a paused server go on (SIGCONT).
    #[track_caller]
    pub fn resume(&mut self, index: usize) {
        self.server_mut(index).resume();
    }

    /// Cuts one server off from its leader: nothing gets through, and neither is told. Clients and this server still
    /// reach each other, until it gives its leader up after five seconds. Elections still reach it as well.
    #[track_caller]
    pub fn cut_off(&self, index: usize) {
        self.ways(index).for_each(Link::block);
    }

    /// Takes back what [`cut_off`](Self::cut_off) did.
    #[track_caller]
    pub fn reconnect(&self, index: usize) {
        self.ways(index).for_each(Link::open);
    }

    /// Makes one server learn so much later what the leader did, and the leader what its clients ask for.
    #[track_caller]
    pub fn slow_down(&self, index: usize, each_way: Duration) {
        self.ways(index).for_each(|way| way.delay(each_way));
    }

    #[track_caller]
    fn ways(&self, index: usize) -> impl Iterator<Item = &Link> {
        if !self.ways.iter().any(|(from, _)| *from == index) {
            fail(&"this ensemble was started without links, or has no such server");
        }
        self.ways.iter().filter(move |(from, _)| *from == index).map(|(_, link)| link)
    }

    fn start_linked_on(ports: [u16; PORTS]) -> Result<Self, HarnessError> {
        let mut ways = Vec::new();
        let ensemble = Self::start_on(ports, |from, to| {
            let link = Link::try_to(to).doing("make a link between two ZooKeeper servers")?;
            let address = link.address();
            ways.push((from, link));
            Ok(address)
        })?;
        Ok(Self { ways, ..ensemble })
    }

    /// Where a server with an index goes to reach the quorum port of another is for `way` to say.
    fn start_on(
        ports: [u16; PORTS],
        mut way: impl FnMut(usize, SocketAddr) -> Result<SocketAddr, HarnessError>,
    ) -> Result<Self, HarnessError> {
        let members = members(&ports);
        let mut ensemble = Self { servers: Vec::new(), ways: Vec::new() };
        for (index, member) in members.iter().enumerate() {
            let lines = ensemble_lines(&seen_from(index, &members, &mut way)?);
            let cfg = ZooCfg { lines, ..ZooCfg::default() };
            ensemble.servers.push(start_member(index + 1, *member, &cfg)?);
        }
        ensemble.await_serving()?;
        Ok(ensemble)
    }

    #[track_caller]
    fn server_mut(&mut self, index: usize) -> &mut ZooKeeperServer {
        match self.servers.get_mut(index) {
            Some(server) => server,
            None => no_such_server(index),
        }
    }

    fn has_majority(&self) -> bool {
        self.servers.iter().filter(|server| server.is_running()).count() > self.servers.len() / 2
    }

    /// Waits until all that run serve and one of them leads.
    fn await_serving(&mut self) -> Result<(), HarnessError> {
        for server in self.servers.iter_mut().filter(|server| server.is_running()) {
            server.await_serving()?;
        }
        self.await_leader().map(|_| ())
    }

    fn await_leader(&self) -> Result<usize, HarnessError> {
        poll(ELECTION_LIMIT, || self.only_leader()).ok_or_else(|| self.no_leader())
    }

    fn only_leader(&self) -> Option<usize> {
        let indexed = self.servers.iter().enumerate();
        let mut leaders =
            indexed.filter(|(_, server)| server.mode_within(PROBE_PATIENCE).as_deref() == Some("leader"));
        let (leader, _) = leaders.next()?;
        leaders.next().is_none().then_some(leader)
    }

    fn no_leader(&self) -> HarnessError {
        let logs: Vec<String> = self.servers.iter().map(ZooKeeperServer::log_tail).collect();
        HarnessError::NotServing {
            server: format!("the ZooKeeper ensemble {}", self.hosts()),
            trouble: format!("had no leader within {ELECTION_LIMIT:?}"),
            address_in_use: false,
            log: logs.join("\n\n"),
        }
    }
}

#[track_caller]
fn no_such_server(index: usize) -> ! {
    fail(&format_args!("the ensemble has servers 0 to {}, not {index}", SIZE - 1))
}

/// The ports of one server: for clients, for the quorum, and for the election.
#[derive(Debug, Clone, Copy)]
struct Member {
    client: u16,
    quorum: u16,
    election: u16,
}

fn members(ports: &[u16; PORTS]) -> Vec<Member> {
    let (each, _) = ports.as_chunks();
    each.iter().map(|&[client, quorum, election]| Member { client, quorum, election }).collect()
}

/// The members as the one at `index` is told of them.
fn seen_from(
    index: usize,
    members: &[Member],
    mut way: impl FnMut(usize, SocketAddr) -> Result<SocketAddr, HarnessError>,
) -> Result<Vec<Member>, HarnessError> {
    let seen = |(other, member): (usize, &Member)| match other == index {
        true => Ok(*member),
        false => Ok(Member { quorum: way(index, loopback(member.quorum))?.port(), ..*member }),
    };
    members.iter().enumerate().map(seen).collect()
}

fn ensemble_lines(members: &[Member]) -> Vec<String> {
    let limits = ["initLimit=50", "syncLimit=25"].map(str::to_owned);
    let servers = (1..).zip(members).map(|(id, Member { quorum, election, .. })| {
        let id: usize = id;
        format!("server.{id}=127.0.0.1:{quorum}:{election}")
    });
    limits.into_iter().chain(servers).collect()
}

fn start_member(id: usize, member: Member, cfg: &ZooCfg) -> Result<ZooKeeperServer, HarnessError> {
    let mut server = ZooKeeperServer::prepare(member.client, cfg)?;
    server.write_id(id)?;
    server.spawn()?;
    Ok(server)
}

const SIZE: usize = 3;
const PORTS: usize = 3 * SIZE;

const ELECTION_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::ports::free_ports;
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_taken_election_port_is_reported() {
        let ports: [u16; PORTS] = free_ports().unwrap();
        let _owner = TcpListener::bind(loopback(ports[2])).unwrap();
        let error = ZooKeeperEnsemble::start_on(ports, |_, to| Ok(to)).unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
    }

    #[test]
    fn every_member_knows_the_others_ports() {
        let lines = ensemble_lines(&members(&[1, 2, 3, 4, 5, 6, 7, 8, 9]));
        let servers = ["server.1=127.0.0.1:2:3", "server.2=127.0.0.1:5:6", "server.3=127.0.0.1:8:9"];
        assert_eq!(lines, [&["initLimit=50", "syncLimit=25"], &servers[..]].concat());
    }
}

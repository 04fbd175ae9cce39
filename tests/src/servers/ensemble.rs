//! Three ZooKeeper servers that elect a leader.

use super::ports::with_free_ports;
use super::wire::PROBE_PATIENCE;
use super::zoo_cfg::ZooCfg;
use super::zookeeper::ZooKeeperServer;
use crate::error::{HarnessError, OrFail, fail};
use crate::wait::poll;
use std::time::Duration;

/// An ensemble of three ZooKeeper servers on loopback ports, numbered from 0.
#[derive(Debug)]
pub struct ZooKeeperEnsemble {
    servers: Vec<ZooKeeperServer>,
}

impl ZooKeeperEnsemble {
    /// Starts the servers, and returns once all serve and one leads.
    #[track_caller]
    pub fn start() -> Self {
        with_free_ports(Self::start_on).or_fail()
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

    fn start_on(ports: [u16; PORTS]) -> Result<Self, HarnessError> {
        let members = members(&ports);
        let cfg = ZooCfg { lines: ensemble_lines(&members), ..ZooCfg::default() };
        let servers: Result<_, _> =
            (1..).zip(members).map(|(id, member)| start_member(id, member, &cfg)).collect();
        let mut ensemble = Self { servers: servers? };
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
    use super::super::ports::{free_ports, loopback};
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_taken_election_port_is_reported() {
        let ports: [u16; PORTS] = free_ports().unwrap();
        let _owner = TcpListener::bind(loopback(ports[2])).unwrap();
        let error = ZooKeeperEnsemble::start_on(ports).unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
    }

    #[test]
    fn every_member_knows_the_others_ports() {
        let lines = ensemble_lines(&members(&[1, 2, 3, 4, 5, 6, 7, 8, 9]));
        let servers = ["server.1=127.0.0.1:2:3", "server.2=127.0.0.1:5:6", "server.3=127.0.0.1:8:9"];
        assert_eq!(lines, [&["initLimit=50", "syncLimit=25"], &servers[..]].concat());
    }
}

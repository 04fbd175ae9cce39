//! Several Redis servers that work together, told apart by their addresses.

use super::redis::RedisServer;
use crate::error::{HarnessError, fail};
use crate::wait::poll;
use std::net::SocketAddr;
use std::time::Duration;

/// The servers, in the order of their start.
#[derive(Debug)]
pub(super) struct Nodes(pub(super) Vec<RedisServer>);

impl Nodes {
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(RedisServer::address).collect()
    }

    /// `HOST:PORT,HOST:PORT`, of the first `count`, as URLs take them.
    pub(super) fn hosts(&self, count: usize) -> String {
        let hosts: Vec<String> = self.addresses().iter().take(count).map(SocketAddr::to_string).collect();
        hosts.join(",")
    }

    /// Those that run and are not paused.
    pub(super) fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.0.iter().filter(|server| server.is_running())
    }

    pub(super) fn find(&self, address: SocketAddr) -> Option<&RedisServer> {
        self.0.iter().find(|server| server.address() == address)
    }

    pub(super) fn find_mut(&mut self, address: SocketAddr) -> Option<&mut RedisServer> {
        self.0.iter_mut().find(|server| server.address() == address)
    }

    /// What all that run say; none while one says nothing or something else.
    pub(super) fn agreed<T: PartialEq>(&self, say: impl Fn(&RedisServer) -> Option<T>) -> Option<T> {
        let mut answers = self.running().map(say);
        let first = answers.next()??;
        answers.all(|answer| answer.as_ref() == Some(&first)).then_some(first)
    }

    /// The first value `attempt` gives, or the failure of them all, with what each logged.
    pub(super) fn await_that<T>(
        &self,
        what: &str,
        attempt: impl FnMut() -> Option<T>,
    ) -> Result<T, HarnessError> {
        poll(LIMIT, attempt).ok_or_else(|| HarnessError::NotServing {
            server: format!("the Redis servers {}", self.hosts(usize::MAX)),
            trouble: format!("did not, within {LIMIT:?}, {what}"),
            address_in_use: false,
            log: self.0.iter().map(RedisServer::log_tail).collect::<Vec<_>>().join("\n\n"),
        })
    }
}

#[track_caller]
pub(super) fn no_such_node(address: SocketAddr) -> ! {
    fail(&format_args!("no server of this test listens on {address}"))
}

const LIMIT: Duration = Duration::from_secs(60);

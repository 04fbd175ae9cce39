//! Port numbers that are free now and stay free of clients.
//!
//! A number counts as free when it refuses a connection. Until the server binds it another program may
//! take it; the server then says so, and [`with_free_ports`] tries others. (Binding it to find out would
//! be no better, and worse with threads: a child that another thread is just starting holds a copy of
//! the socket for a moment.)
//!
//! Test processes run side by side, and a killed server is to find its port again. So each process takes
//! its numbers from a block of its own.
//!
//! The system would choose from its ephemeral range, which it also serves outgoing connections from: a
//! client that keeps knocking at a killed server could be given the server's own port, connect to
//! itself, and keep the server from coming back. So the numbers come from below that range.

use crate::error::{Doing, HarnessError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Whether nothing listens on this loopback port, so that a connection is refused.
pub fn port_refuses(port: u16) -> bool {
    let attempt = TcpStream::connect_timeout(&loopback(port), Duration::from_secs(1));
    attempt.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Starts something on `N` free ports, and again on others while it finds them taken.
pub(crate) fn with_free_ports<T, const N: usize>(
    start: impl Fn([u16; N]) -> Result<T, HarnessError>,
) -> Result<T, HarnessError> {
    let mut outcome = start(free_ports()?);
    for _ in 1..ATTEMPTS {
        match outcome {
            Err(error) if error.is_address_in_use() => outcome = start(free_ports()?),
            settled => return settled,
        }
    }
    outcome
}

/// A number drawn at random, as good as a hash map's seed.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

pub(super) fn free_ports<const N: usize>() -> Result<[u16; N], HarnessError> {
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free_port()?;
    }
    Ok(ports)
}

fn free_port() -> Result<u16, HarnessError> {
    static BLOCK: LazyLock<Block> = LazyLock::new(Block::reserve);
    let free = (1..BLOCK_SIZE).map(|_| BLOCK.next()).find(|port| port_refuses(*port));
    free.ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse)).doing("find a free loopback port")
}

/// Candidates that no other test process takes while this one runs.
struct Block {
    first: u16,
    count: AtomicU16,
    /// Listens on the first port: that is the reservation. None if all blocks were reserved.
    _reservation: Option<TcpListener>,
}

impl Block {
    /// Looks for a block from a random one on.
    fn reserve() -> Self {
        let blocks = (CANDIDATES.end - CANDIDATES.start) / BLOCK_SIZE;
        let start = u16::try_from(random_u64() % u64::from(blocks)).unwrap_or(0);
        let mut firsts = (0..blocks).map(|block| CANDIDATES.start + (start + block) % blocks * BLOCK_SIZE);
        let reserved = firsts.find_map(|first| Some((first, TcpListener::bind(loopback(first)).ok()?)));
        let (first, reservation) = reserved.unzip();
        let first = first.unwrap_or(CANDIDATES.start + start * BLOCK_SIZE);
        Self { first, count: AtomicU16::new(0), _reservation: reservation }
    }

    /// Counts through the block, so that this process uses no port twice before all are used up.
    fn next(&self) -> u16 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        self.first + 1 + count % (BLOCK_SIZE - 1)
    }
}

/// Below the ephemeral ranges of Linux (32768 and up) and of other systems (49152 and up).
const CANDIDATES: Range<u16> = 20_000..32_000;

/// No test program starts as many servers.
const BLOCK_SIZE: u16 = 1_000;

const ATTEMPTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::HashSet;

    fn taken() -> HarnessError {
        let (server, trouble, log) = ("it".into(), "ended".into(), String::new());
        HarnessError::NotServing { server, trouble, address_in_use: true, log }
    }

    #[test]
    fn taken_ports_are_replaced_by_others() {
        let seen = Cell::new(0);
        let ports = with_free_ports(|[port]| {
            let first = seen.replace(port) == 0;
            if first { Err(taken()) } else { Ok(port) }
        });
        assert_eq!(ports.ok(), Some(seen.get()));
    }

    #[test]
    fn gives_up_when_all_are_taken() {
        let calls = Cell::new(0);
        let outcome = with_free_ports(|[_]| -> Result<(), _> {
            calls.set(calls.get() + 1);
            Err(taken())
        });
        assert!(outcome.is_err_and(|error| error.is_address_in_use()));
        assert_eq!(calls.get(), ATTEMPTS);
    }

    #[test]
    fn other_failures_are_not_retried() {
        let calls = Cell::new(0);
        let outcome = with_free_ports(|[_]| -> Result<(), _> {
            calls.set(calls.get() + 1);
            Err(HarnessError::Missing("the program".into()))
        });
        assert!(outcome.is_err());
        assert_eq!(calls.get(), 1);
    }

    #[test]
    fn two_processes_have_blocks_of_their_own() {
        let (one, other) = (Block::reserve(), Block::reserve());
        let ports = |block: &Block| (1..BLOCK_SIZE).map(|_| block.next()).collect::<HashSet<_>>();
        let (mut ports, others) = (ports(&one), ports(&other));
        assert_eq!(ports.len(), usize::from(BLOCK_SIZE - 1));
        assert!(ports.is_disjoint(&others) && !ports.contains(&one.first));
        ports.extend(others);
        assert!(ports.iter().all(|port| CANDIDATES.contains(port)));
    }

    #[test]
    fn a_free_port_refuses_until_it_is_listened_to() {
        let [port] = free_ports().unwrap();
        assert!(port_refuses(port));
        let _listener = TcpListener::bind(loopback(port)).unwrap();
        assert!(!port_refuses(port));
    }
}

//! Port numbers that are free now and stay free of clients.
//!
//! A number counts as free when it refuses a connection. Until the server binds it another process may
//! take it; the server then says so, and [`with_free_ports`] tries others. (Binding it to find out would
//! be no better, and worse with threads: a child that another thread is just starting holds a copy of
//! the socket for a moment.)
//!
//! The system would choose from its ephemeral range, which it also serves outgoing connections from: a
//! client that keeps knocking at a killed server could be given the server's own port, connect to
//! itself, and keep the server from coming back. So the numbers come from below that range.

use crate::error::{Doing, HarnessError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
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
    let free = CANDIDATES.clone().map(|_| next_candidate()).find(|port| port_refuses(*port));
    free.ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse)).doing("find a free loopback port")
}

/// Counts through the candidates from a random one on, so that this process uses none twice before all
/// are used up, and processes that run at the same time rarely meet.
fn next_candidate() -> u16 {
    static START: LazyLock<u64> = LazyLock::new(|| random_u64() >> 32);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = *START + COUNT.fetch_add(1, Ordering::Relaxed);
    let offset = count % u64::from(CANDIDATES.end - CANDIDATES.start);
    CANDIDATES.start + u16::try_from(offset).unwrap_or(0)
}

/// Below the ephemeral ranges of Linux (32768 and up) and of other systems (49152 and up).
const CANDIDATES: Range<u16> = 20_000..32_000;

const ATTEMPTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::net::TcpListener;

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
    fn a_free_port_refuses_until_it_is_listened_to() {
        let [port] = free_ports().unwrap();
        assert!(port_refuses(port));
        let _listener = TcpListener::bind(loopback(port)).unwrap();
        assert!(!port_refuses(port));
    }
}

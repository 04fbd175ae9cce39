//! Names that stand for several servers.
//!
//! The client library looks a name up each time it connects, and tries its addresses in their order, all within the time of
//! one attempt. If the first address never answers, it takes all of that time, at every attempt. So the client gets the
//! addresses beside such a name, and tries them one by one. The name stays in the list, to find servers that are added
//! later.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use crate::time::within;
use futures_util::future::join_all;

/// `hosts`, with the addresses of each name that has several. One that is not found in time stays as it is.
pub(crate) async fn with_addresses(hosts: &str, limit: Duration) -> String {
    let looked_up = hosts.split(',').map(async |host| {
        let addresses = within(limit, look_up(host)).await.unwrap_or_default();
        spread(host, &addresses)
    });
    join_all(looked_up).await.concat().join(",")
}

/// The addresses of a host, in a thread that may block. None if it is an address itself.
async fn look_up(host: &str) -> Vec<SocketAddr> {
    let Some(name) = name_and_port(host) else { return Vec::new() };
    let looking = tokio::task::spawn_blocking(move || name.to_socket_addrs().map(Iterator::collect));
    match looking.await {
        Ok(Ok(addresses)) => addresses,
        // The client says what is wrong.
        _ => Vec::new(),
    }
}

/// What is to be looked up.
fn name_and_port(host: &str) -> Option<(String, u16)> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !host.ends_with(']') => (name, port.parse().ok()?),
        _ => (host, PORT),
    };
    let is_address = name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok();
    (!is_address).then(|| (name.to_owned(), port))
}

const PORT: u16 = 2181;

/// What the client is given instead of `host`.
fn spread(host: &str, addresses: &[SocketAddr]) -> Vec<String> {
    let distinct: BTreeSet<_> = addresses.iter().collect();
    let beside = distinct.iter().filter(|_| distinct.len() > 1).map(ToString::to_string);
    std::iter::once(host.to_owned()).chain(beside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_addresses() {
        let name = |host| name_and_port(host);
        assert_eq!(name("zk"), Some(("zk".to_owned(), 2181)));
        assert_eq!(name("zk.example:7"), Some(("zk.example".to_owned(), 7)));
        for address in ["127.0.0.1", "127.0.0.1:7", "[::1]", "[::1]:7"] {
            assert_eq!(name(address), None, "{address}");
        }
    }

    #[test]
    fn a_name_of_several_servers_is_given_with_their_addresses() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(spread("zk:7", &[]), ["zk:7"]);
        assert_eq!(spread("zk:7", &[address("10.0.0.1:7"), address("10.0.0.1:7")]), ["zk:7"]);
        let several = [address("10.0.0.1:7"), address("[::1]:7"), address("10.0.0.1:7")];
        assert_eq!(spread("zk:7", &several), ["zk:7", "10.0.0.1:7", "[::1]:7"]);
    }

    #[tokio::test]
    async fn what_is_not_found_stays_as_it_is() {
        let hosts = "127.0.0.1:1,[::1]:2,no-such-host.invalid";
        assert_eq!(with_addresses(hosts, Duration::from_secs(30)).await, hosts);
    }
}

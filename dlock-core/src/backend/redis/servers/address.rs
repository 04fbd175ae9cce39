//! Where servers are, as URLs and servers write it. Pure.

use crate::error::{ErrorKind, LockError};
use std::fmt;

/// A server's host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Reads `host:port`, `[host]:port` or a bare host, whose port is then `default_port`.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || is_bracketed(host) => (host, port.parse().ok()?),
            _ => (text, default_port),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }
}

fn is_bracketed(host: &str) -> bool {
    host.starts_with('[') && host.ends_with(']')
}

/// Errors and traces show it; it holds no password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A URL that may name several servers: `scheme://[user:password@]host[:port][,…][/path]`.
pub(crate) struct ServersUrl<'a> {
    pub(crate) scheme: &'a str,
    /// `user:password`, as it stands in the URL.
    login: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
}

impl<'a> ServersUrl<'a> {
    pub(crate) fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = servers.rsplit_once('@').unwrap_or(("", servers));
        Some(Self { scheme, login, hosts: hosts.split(',').map(str::trim).collect(), path })
    }

    /// Whether the servers are to be spoken to in TLS.
    fn is_encrypted(&self) -> bool {
        self.scheme.starts_with("rediss")
    }

    /// The servers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if one is not of the form `host[:port]`.
    pub(crate) fn addresses(&self, default_port: u16) -> Result<Vec<Address>, LockError> {
        let wrong = || LockError::new(ErrorKind::InvalidOption, "a server in the URL is not host[:port]");
        self.hosts.iter().map(|host| Address::parse(host, default_port).ok_or_else(wrong)).collect()
    }

    /// What stands between the first slash and the next, and after it.
    pub(crate) fn path(&self) -> (&'a str, &'a str) {
        self.path.split_once('/').unwrap_or((self.path, ""))
    }

    /// The same login at one server, in the form that the client library reads.
    pub(crate) fn to_one(&self, server: &str, database: &str) -> String {
        let scheme = if self.is_encrypted() { "rediss" } else { "redis" };
        let at = if self.login.is_empty() { "" } else { "@" };
        format!("{scheme}://{}{at}{server}/{database}", self.login)
    }

    /// A URL for each server, in the form that the client library reads.
    pub(crate) fn one_by_one(&self) -> Vec<String> {
        self.hosts.iter().map(|host| self.to_one(host, self.path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Option<Address> {
        Some(Address { host: host.to_owned(), port })
    }

    #[test]
    fn addresses_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("redis1", address("redis1", 6379)),
            ("10.0.0.5:7000", address("10.0.0.5", 7000)),
            ("[::1]:7000", address("::1", 7000)),
            ("::1", address("::1", 6379)),
            ("redis1:port", None),
            (":7000", None),
            ("", None),
        ] {
            assert_eq!(Address::parse(text, 6379), expected, "{text:?}");
        }
        assert_eq!(Address::parse("[::1]:7000", 0).unwrap().to_string(), "[::1]:7000");
    }

    #[test]
    fn a_url_of_several_servers_is_taken_apart() {
        let url = ServersUrl::parse("rediss+sentinel://me:p%40ss@a:1,b/orders/2").unwrap();
        assert_eq!(url.scheme, "rediss+sentinel");
        assert_eq!(url.addresses(26379).unwrap(), [address("a", 1).unwrap(), address("b", 26379).unwrap()]);
        assert_eq!(url.path(), ("orders", "2"));
        assert_eq!(url.to_one("c:3", "2"), "rediss://me:p%40ss@c:3/2");
        let plain = ServersUrl::parse("redlock://a,b:2/1").unwrap();
        assert_eq!(plain.one_by_one(), ["redis://a/1", "redis://b:2/1"]);
        assert!(ServersUrl::parse("redis:a").is_none());
        assert!(ServersUrl::parse("redis://a,:b").unwrap().addresses(1).is_err());
    }
}

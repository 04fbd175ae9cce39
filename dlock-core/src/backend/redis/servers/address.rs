//! Where servers are, as URLs and servers write it. Pure.

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
        Self::of(host, port)
    }

    /// Reads what a server says of another: `host:port`, where the host may be IPv6 without brackets.
    pub(super) fn parse_announced(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Self::of(host, port.parse().ok()?)
    }

    /// A host, in brackets or not, and its port.
    pub(super) fn of(host: &str, port: u16) -> Option<Self> {
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
    fn what_servers_say_of_each_other_needs_no_brackets() {
        for (text, expected) in [
            ("10.0.0.5:7001", address("10.0.0.5", 7001)),
            ("redis1:7001", address("redis1", 7001)),
            ("::1:7001", address("::1", 7001)),
            ("[::1]:7001", address("::1", 7001)),
            ("fd00::2:7001", address("fd00::2", 7001)),
            ("fe80::1%eth0:7001", address("fe80::1%eth0", 7001)),
            ("redis1", None),
            ("::1:", None),
            ("[]:7001", None),
            (":7001", None),
            ("", None),
        ] {
            assert_eq!(Address::parse_announced(text), expected, "{text:?}");
        }
    }
}

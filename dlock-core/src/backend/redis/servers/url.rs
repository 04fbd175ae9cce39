//! URLs that name Redis servers, one or several. Pure.

use super::address::Address;
use crate::backend::redis::failure::classify;
use crate::error::{ErrorKind, LockError};
use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};
use std::borrow::Cow;

/// `scheme://[user:password@]host[:port][,…][/path]`, without the options that may follow.
pub(crate) struct ServersUrl<'a> {
    pub(crate) names: Names,
    /// Whether the servers are to be spoken to in TLS.
    is_encrypted: bool,
    /// `user:password`, as it stands in the URL.
    login: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
}

/// What a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Server,
    Socket,
    Sentinels,
    Cluster,
    Majority,
}

impl<'a> ServersUrl<'a> {
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if it is of another form.
    pub(crate) fn parse(url: &'a str) -> Result<Self, LockError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(of_another_form)?;
        let (names, is_encrypted) = scheme_meaning(scheme).ok_or_else(of_another_form)?;
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = servers.rsplit_once('@').unwrap_or(("", servers));
        let hosts = hosts.split(',').map(str::trim).collect();
        Ok(Self { names, is_encrypted, login, hosts, path })
    }

    /// The servers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if one is not of the form `host[:port]`.
    pub(crate) fn addresses(&self, default_port: u16) -> Result<Vec<Address>, LockError> {
        self.hosts.iter().map(|host| Address::parse(host, default_port).ok_or_else(no_server)).collect()
    }

    /// What stands between the first slash and the next, and after it.
    pub(crate) fn path(&self) -> (&'a str, &'a str) {
        self.path.split_once('/').unwrap_or((self.path, ""))
    }

    /// How the one server is reached.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if there are several, or the URL is of another form.
    pub(crate) fn one(&self) -> Result<ConnectionInfo, LockError> {
        match (self.names, self.hosts.as_slice()) {
            (Names::Socket, _) => self.socket(),
            (_, [host]) => self.to_one(host, self.path),
            _ => Err(invalid(
                "the URL names several servers; write redis+sentinel://, redis+cluster:// or redlock://",
            )),
        }
    }

    /// How each of the servers is reached.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if one is of another form.
    pub(crate) fn one_by_one(&self) -> Result<Vec<ConnectionInfo>, LockError> {
        self.hosts.iter().map(|host| self.to_one(host, self.path)).collect()
    }

    /// The same login at one server. The client library reads the rest of it.
    pub(crate) fn to_one(&self, server: &str, database: &str) -> Result<ConnectionInfo, LockError> {
        if self.is_encrypted && !cfg!(feature = "redis-tls") {
            let detail =
                "the URL asks for TLS, which is not built in; turn on the feature `redis-tls` of dlock-core";
            return Err(LockError::new(ErrorKind::Unsupported, detail));
        }
        let server = Address::parse(server, PORT).ok_or_else(no_server)?;
        let scheme = if self.is_encrypted { "rediss" } else { "redis" };
        let at = if self.login.is_empty() { "" } else { "@" };
        let url = format!("{scheme}://{}{at}{server}/{database}", self.login);
        url.into_connection_info().map_err(classify)
    }

    fn socket(&self) -> Result<ConnectionInfo, LockError> {
        if self.path.is_empty() || self.hosts != [""] {
            return Err(invalid("the URL does not say where the socket is; write unix:///path"));
        }
        let path = decoded(self.path).ok_or_else(of_another_form)?;
        let address = ConnectionAddr::Unix(format!("/{path}").into());
        let info = address.into_connection_info().map_err(classify)?;
        Ok(info.set_redis_settings(self.login().ok_or_else(of_another_form)?))
    }

    fn login(&self) -> Option<RedisConnectionInfo> {
        let login = RedisConnectionInfo::default();
        let (user, password) = self.login.split_once(':').unwrap_or((self.login, ""));
        let login = if user.is_empty() { login } else { login.set_username(decoded(user)?) };
        Some(if password.is_empty() { login } else { login.set_password(decoded(password)?) })
    }
}

/// What a scheme says, in any case: what is named, and whether in TLS.
fn scheme_meaning(scheme: &str) -> Option<(Names, bool)> {
    let scheme = scheme.to_ascii_lowercase();
    let (base, names) = scheme.split_once('+').map_or((&*scheme, None), |(base, names)| (base, Some(names)));
    let is_encrypted = match (base, names) {
        ("redis" | "valkey", _) => false,
        ("rediss" | "valkeys", _) => true,
        ("unix", None) => return Some((Names::Socket, false)),
        ("redlock", None) => return Some((Names::Majority, false)),
        _ => return None,
    };
    let names = match names {
        None => Names::Server,
        Some("unix") if !is_encrypted => Names::Socket,
        Some("sentinel") => Names::Sentinels,
        Some("cluster") => Names::Cluster,
        Some("redlock") => Names::Majority,
        Some(_) => return None,
    };
    Some((names, is_encrypted))
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

/// Of a server, where the URL does not say it.
const PORT: u16 = 6_379;

fn no_server() -> LockError {
    invalid("a server in the URL is not of the form host[:port]")
}

fn of_another_form() -> LockError {
    invalid(
        "the URL is not of the form redis://[user:password@]host[:port][/db], with redis, rediss, valkey, valkeys or \
         unix, or one of redis+sentinel, redis+cluster and redlock",
    )
}

fn invalid(detail: &'static str) -> LockError {
    LockError::new(ErrorKind::InvalidOption, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(url: &str) -> ConnectionInfo {
        ServersUrl::parse(url).and_then(|url| url.one()).unwrap()
    }

    #[test]
    fn schemes_are_read_in_any_case() {
        for (scheme, expected) in [
            ("redis", (Names::Server, false)),
            ("REDISS", (Names::Server, true)),
            ("valkey", (Names::Server, false)),
            ("Valkeys", (Names::Server, true)),
            ("unix", (Names::Socket, false)),
            ("redis+unix", (Names::Socket, false)),
            ("valkey+unix", (Names::Socket, false)),
            ("Redis+Sentinel", (Names::Sentinels, false)),
            ("valkeys+sentinel", (Names::Sentinels, true)),
            ("redis+cluster", (Names::Cluster, false)),
            ("redlock", (Names::Majority, false)),
            ("rediss+redlock", (Names::Majority, true)),
        ] {
            assert_eq!(scheme_meaning(scheme), Some(expected), "{scheme}");
        }
        for wrong in
            ["", "redi", "http", "rediss+unix", "unix+unix", "redlock+cluster", "redis+", "redis+tls"]
        {
            assert_eq!(scheme_meaning(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_of_several_servers_is_taken_apart() {
        let address = |host: &str, port| Address { host: host.to_owned(), port };
        let url = ServersUrl::parse("rediss+sentinel://me:p%40ss@a:1,b/orders/2").unwrap();
        assert_eq!(url.addresses(26379).unwrap(), [address("a", 1), address("b", 26379)]);
        assert_eq!(url.path(), ("orders", "2"));
        let plain = ServersUrl::parse("redlock://:p%40ss@a,b:2/1").unwrap().one_by_one().unwrap();
        assert_eq!(plain.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>(), ["a:6379", "b:2"]);
        for info in plain {
            assert_eq!((info.redis_settings().password(), info.redis_settings().db()), (Some("p@ss"), 1));
        }
        let bare = ServersUrl::parse("redlock://::1,[fd00::2]:7").unwrap().one_by_one().unwrap();
        assert_eq!(
            bare.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>(),
            ["::1:6379", "fd00::2:7"]
        );
        for wrong in ["redis:a", "redis//a", "mysql://a", ""] {
            assert!(ServersUrl::parse(wrong).is_err(), "{wrong}");
        }
        assert!(ServersUrl::parse("redis://a,:b").unwrap().addresses(1).is_err());
        for wrong in ["redis://a,b", "redis://", "redis://a:", "redis://a:99999", "redis://:1"] {
            assert!(ServersUrl::parse(wrong).unwrap().one().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_socket_has_a_path_and_may_have_a_login() {
        let plain = read("unix:///run/redis%20one.sock");
        assert_eq!(plain.addr().to_string(), "/run/redis one.sock");
        assert_eq!((plain.redis_settings().username(), plain.redis_settings().password()), (None, None));
        let with_login = read("redis+unix://me:p%40ss@/run/redis.sock");
        let login = with_login.redis_settings();
        assert_eq!((login.username(), login.password()), (Some("me"), Some("p@ss")));
        assert_eq!(read("valkey+unix://:p@/r").redis_settings().password(), Some("p"));
        for wrong in ["unix://run/redis.sock", "unix://", "unix:///", "unix:///%ff", "unix://%ff@/r"] {
            assert!(ServersUrl::parse(wrong).and_then(|url| url.one()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_url_is_too_odd(rest in ".{0,40}", scheme in "(redis|unix|redlock|redis\\+cluster)") {
            let url = format!("{scheme}://{rest}");
            if let Ok(url) = ServersUrl::parse(&url) {
                let _ = (url.one(), url.one_by_one(), url.addresses(1), url.path());
            }
        }
    }
}

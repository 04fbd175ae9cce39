//! The servers that are measured with, and their counters.

use crate::contenders::Contender;
use crate::machine;
use anyhow::{Context as _, Result};
use dlock_tests::{Link, RedisServer, ZooKeeperServer};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a contender's locks are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    ZooKeeper,
    /// In the worker itself.
    Nowhere,
}

/// Servers, started when they are first needed. Those that are pinned share one processor with the workers.
#[derive(Default)]
pub(crate) struct Servers {
    redis: [Option<RedisServer>; 2],
    zookeeper: [Option<ZooKeeperServer>; 2],
}

/// A server that was started.
#[derive(Clone, Copy)]
pub(crate) enum Server<'a> {
    Redis(&'a RedisServer),
    ZooKeeper(&'a ZooKeeperServer),
    /// At the other end of a link.
    FarZooKeeper(&'a ZooKeeperServer, &'a Link),
    Nowhere,
}

impl Servers {
    pub(crate) fn get(&mut self, kind: Kind, pinned: bool) -> Server<'_> {
        let place = usize::from(pinned);
        match kind {
            Kind::Redis => started(self.redis.get_mut(place), pinned, RedisServer::start).map(Server::Redis),
            Kind::ZooKeeper => {
                started(self.zookeeper.get_mut(place), pinned, start_zookeeper).map(Server::ZooKeeper)
            }
            Kind::Nowhere => None,
        }
        .unwrap_or(Server::Nowhere)
    }
}

impl Servers {
    /// The names and versions of those that were started.
    pub(crate) fn versions(&self) -> Vec<String> {
        let redis = self.redis.iter().flatten().next().and_then(redis_version);
        let zookeeper = self.zookeeper.iter().flatten().next().and_then(zookeeper_version);
        redis.into_iter().chain(zookeeper).collect()
    }
}

fn redis_version(server: &RedisServer) -> Option<String> {
    let info = server.command(&["INFO", "server"]);
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
    Some(format!("Redis {}", version.trim()))
}

/// `Zookeeper version: 3.8.0-5a02a05, built on …`.
fn zookeeper_version(server: &ZooKeeperServer) -> Option<String> {
    let answer = server.four_letter("srvr");
    let version = answer.lines().find_map(|line| line.strip_prefix("Zookeeper version: "))?;
    Some(format!("ZooKeeper {}", version.split(['-', ',']).next()?))
}

fn started<S>(slot: Option<&mut Option<S>>, pinned: bool, start: fn() -> S) -> Option<&S> {
    slot.map(|slot| &*slot.get_or_insert_with(|| if pinned { start_pinned(start) } else { start() }))
}

fn start_pinned<S>(start: fn() -> S) -> S {
    let (server, is_pinned) = machine::pinned(start);
    if !is_pinned {
        println!("NOT PINNED: the system does not let this program choose its processor");
    }
    server
}

fn start_zookeeper() -> ZooKeeperServer {
    ZooKeeperServer::builder().tick_time(Duration::from_secs(2)).start()
}

impl<'a> Server<'a> {
    /// A link to the server, so long; none where there is nothing to be far from.
    pub(crate) fn link(self, each_way: Duration) -> Option<Link> {
        let Self::ZooKeeper(server) = self else { return None };
        let link = Link::to(server.address());
        link.delay(each_way);
        Some(link)
    }

    /// The same server at the other end of a link.
    pub(crate) fn behind(self, link: &'a Link) -> Self {
        match self {
            Self::ZooKeeper(server) => Self::FarZooKeeper(server, link),
            other => other,
        }
    }

    pub(crate) fn address(self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::ZooKeeper(server) => server.hosts(),
            Self::FarZooKeeper(_, link) => link.address().to_string(),
            Self::Nowhere => String::new(),
        }
    }

    /// Forgets what the measurement before has left.
    pub(crate) fn clear(self) {
        if let Self::Redis(server) = self {
            server.command(&["FLUSHALL"]);
        }
    }

    pub(crate) fn counters(self) -> Result<Counters> {
        match self {
            Self::Redis(server) => redis_counters(server),
            Self::ZooKeeper(server) => zookeeper_counters(server),
            Self::FarZooKeeper(server, link) => {
                Ok(Counters { flights: Some(link.flights() as f64), ..zookeeper_counters(server)? })
            }
            Self::Nowhere => Ok(Counters::default()),
        }
    }
}

/// What a server counted since it was started.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counters {
    /// How often each command was called, by clients and scripts; with ZooKeeper, what was received at all.
    calls: BTreeMap<String, Calls>,
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
    pub(crate) cpu_micros: f64,
    /// How often clients waited for a way forth and back, if that was counted.
    pub(crate) flights: Option<f64>,
    /// Of all clients of this moment.
    pub(crate) subscriptions: f64,
    /// What is kept at this moment: with Redis all of its memory, with ZooKeeper the names and contents of nodes.
    pub(crate) bytes_kept: f64,
    /// What clients of ZooKeeper wait to be told of, at this moment.
    watches: f64,
}

/// The calls of one command, and how long the server worked on them.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Calls {
    count: f64,
    micros: f64,
}

impl Counters {
    /// How many commands clients sent since `before`. What scripts call counts as called, too: so only those
    /// commands are counted that this contender's scripts do not call.
    pub(crate) fn commands_since(&self, before: &Self, contender: Contender) -> f64 {
        self.calls_since(before, |command| contender.sends(command)).count
    }

    /// How many leases were made longer, where nothing else is done. One script may do that for many locks, and some
    /// clients set the lock again.
    pub(crate) fn renewals_since(&self, before: &Self) -> f64 {
        self.calls_since(before, |command| matches!(command, "pexpire" | "set")).count
    }

    fn scripts_since(&self, before: &Self) -> f64 {
        self.calls_since(before, is_script).count
    }

    /// How long the server worked on scripts, with the commands that they called.
    pub(crate) fn script_micros_since(&self, before: &Self) -> f64 {
        self.calls_since(before, is_script).micros
    }

    /// How many have taken a place in a server's queue since `before`, where nothing else is done: with Redis each
    /// calls a script for it, with ZooKeeper it watches the one ahead.
    pub(crate) fn places_since(&self, before: &Self) -> f64 {
        self.scripts_since(before) + self.watches - before.watches
    }

    fn calls_since(&self, before: &Self, counts: impl Fn(&str) -> bool) -> Calls {
        let counted = self.calls.iter().filter(|(name, _)| counts(name));
        counted.fold(Calls::default(), |sum, (name, calls)| {
            let before = before.calls.get(name).copied().unwrap_or_default();
            Calls {
                count: sum.count + calls.count - before.count,
                micros: sum.micros + calls.micros - before.micros,
            }
        })
    }
}

fn is_script(command: &str) -> bool {
    matches!(command, "evalsha" | "eval" | "fcall")
}

fn redis_counters(server: &RedisServer) -> Result<Counters> {
    let info = server.command(&["INFO", "everything"]);
    let fields: BTreeMap<&str, &str> = info.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let number = |name: &str| -> Result<f64> {
        Ok(fields.get(name).with_context(|| format!("INFO does not tell {name}"))?.parse()?)
    };
    let clients = server.command(&["CLIENT", "LIST"]);
    let subscriptions = clients.split_whitespace().filter_map(subscribed).sum();
    Ok(Counters {
        calls: fields.iter().filter_map(|(name, value)| calls(name, value)).collect(),
        bytes_in: number("total_net_input_bytes")?,
        bytes_out: number("total_net_output_bytes")?,
        cpu_micros: (number("used_cpu_user")? + number("used_cpu_sys")?) * 1e6,
        flights: None,
        subscriptions,
        bytes_kept: number("used_memory")?,
        watches: 0.0,
    })
}

/// `cmdstat_get:calls=1,usec=2,…`.
fn calls(name: &str, value: &str) -> Option<(String, Calls)> {
    let mut fields = value.split(',');
    let mut next = |name: &str| fields.next()?.strip_prefix(name)?.parse().ok();
    let calls = Calls { count: next("calls=")?, micros: next("usec=")? };
    Some((name.strip_prefix("cmdstat_")?.to_owned(), calls))
}

/// To how many channels a client listens, by a field of `CLIENT LIST`.
fn subscribed(field: &str) -> Option<f64> {
    ["sub=", "ssub=", "psub="].iter().find_map(|name| field.strip_prefix(name))?.parse().ok()
}

fn zookeeper_counters(server: &ZooKeeperServer) -> Result<Counters> {
    let monitored = server.four_letter("mntr");
    let number = |name: &str| -> Result<f64> {
        let value = monitored.lines().find_map(|line| line.strip_prefix(name));
        Ok(value.with_context(|| format!("mntr does not tell {name}"))?.trim().parse()?)
    };
    let packets = Calls { count: number("zk_packets_received")?, micros: 0.0 };
    Ok(Counters {
        calls: BTreeMap::from([("packets".to_owned(), packets)]),
        bytes_kept: number("zk_approximate_data_size")?,
        watches: number("zk_watch_count")?,
        ..Counters::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_redis_are_read() {
        assert_eq!(
            calls("cmdstat_evalsha", "calls=12,usec=3,usec_per_call=0.25"),
            Some(("evalsha".to_owned(), Calls { count: 12.0, micros: 3.0 }))
        );
        assert_eq!(calls("used_cpu_sys", "0.5"), None);
        assert_eq!(subscribed("ssub=3"), Some(3.0));
        assert_eq!(subscribed("name=sub"), None);
    }

    #[test]
    fn what_was_counted_since_is_told_by_kind() {
        let counters = |evalsha: Calls, pexpire: f64, watches| Counters {
            calls: BTreeMap::from([
                ("evalsha".to_owned(), evalsha),
                ("pexpire".to_owned(), Calls { count: pexpire, micros: pexpire }),
            ]),
            watches,
            ..Counters::default()
        };
        let before = counters(Calls { count: 10.0, micros: 50.0 }, 10.0, 1.0);
        let after = counters(Calls { count: 14.0, micros: 62.0 }, 30.0, 3.0);
        assert_eq!((after.scripts_since(&before), after.script_micros_since(&before)), (4.0, 12.0));
        assert_eq!(after.commands_since(&before, Contender::Dlock), 4.0, "scripts call the rest");
        assert_eq!(after.renewals_since(&before), 20.0);
        assert_eq!(after.places_since(&before), 6.0);
    }
}

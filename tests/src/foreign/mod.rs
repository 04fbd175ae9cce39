//! Locks of other languages, to share keys with: a program each that takes and gives locks as told.

mod dialogue;
mod programs;

use crate::error::{HarnessError, fail};
use crate::servers::{RedisServer, ZooKeeperServer};
use dialogue::Dialogue;
use programs::Program;
use std::future::Future;
use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

/// A process that locks in Redis or ZooKeeper with a client of another language, one lock at a time.
///
/// It ends when this value is dropped or the test process ends, and needs a Tokio runtime. A method panics
/// with all that was said to the process and by it if it answers nothing that the method knows.
#[derive(Debug)]
pub struct ForeignClient(Dialogue);

/// Which client locks in ZooKeeper, and in which manner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZooKeeperKind {
    /// Java's `InterProcessMutex`, of Apache Curator.
    Curator,
    /// The same with a driver that takes every node's number for its place, in whichever dialect the node is named.
    CuratorByNumber,
    /// Python's `Lock`, of the package kazoo.
    Kazoo,
    /// The same with `extra_lock_patterns=["lock-"]`.
    KazooKnowingCurator,
    /// A subclass of it whose nodes have Curator's names.
    KazooNamedAsCurator,
    /// kazoo's `ReadLock`.
    KazooReading,
    /// kazoo's `WriteLock`.
    KazooWriting,
    /// dlock in the process of this program, told this manner.
    Dlock(PathBuf, &'static str),
}

impl ZooKeeperKind {
    fn program(self) -> (Program, String) {
        let (program, manner) = match self {
            Self::Curator => (programs::curator(), "standard"),
            Self::CuratorByNumber => (programs::curator(), "by-number"),
            Self::Kazoo => (programs::kazoo(), "standard"),
            Self::KazooKnowingCurator => (programs::kazoo(), "knowing-curator"),
            Self::KazooNamedAsCurator => (programs::kazoo(), "named-as-curator"),
            Self::KazooReading => (programs::kazoo(), "reading"),
            Self::KazooWriting => (programs::kazoo(), "writing"),
            Self::Dlock(program, manner) => (programs::own("dlock", program), manner),
        };
        (program, manner.to_owned())
    }
}

/// What a [`ForeignClient`] counts, and under which lock.
#[derive(Debug, Clone)]
pub struct Counting {
    /// The lock's key.
    pub lock: String,
    /// The lease of each of its locks.
    pub ttl: Duration,
    /// What is read, and then set to one more: in Redis a string key, with ZooKeeper a file.
    pub counter: String,
    /// The list, or file of lines, that gets the client's name between the two.
    pub journal: String,
    /// How often.
    pub times: usize,
}

impl ForeignClient {
    /// Python's `redis.lock.Lock`, from the package redis.
    #[track_caller]
    pub fn redis_py(server: &RedisServer) -> impl Future<Output = Self> {
        Self::start(programs::redis_py(), vec![server.url()])
    }

    /// JavaScript's `Redlock`, from the package redlock, over ioredis.
    #[track_caller]
    pub fn redlock(server: &RedisServer) -> impl Future<Output = Self> {
        Self::start(programs::redlock(), vec![server.url()])
    }

    /// One that locks in ZooKeeper, with sessions that end after this time.
    #[track_caller]
    pub fn in_zookeeper(
        kind: ZooKeeperKind,
        server: &ZooKeeperServer,
        session_timeout: Duration,
    ) -> impl Future<Output = Self> {
        let (program, manner) = kind.program();
        let session_timeout = session_timeout.as_millis().to_string();
        Self::start(program, vec![server.hosts(), session_timeout, manner])
    }

    /// Acquires the lock if it is free; whether it was. A ttl of zero is a lock that never expires, where the
    /// client knows such.
    #[track_caller]
    pub fn try_acquire(&mut self, key: &str, ttl: Duration) -> impl Future<Output = bool> {
        self.either(Some(format!("try {key} {}", ttl.as_millis())), ["held", "busy"])
    }

    /// Acquires the lock, after waiting for it if it is another's.
    #[track_caller]
    pub fn acquire(&mut self, key: &str, ttl: Duration) -> impl Future<Output = ()> {
        let (caller, order) = (Location::caller(), format!("acquire {key} {}", ttl.as_millis()));
        async move {
            let asked = self.0.exchange(Some(order), &["held", "waiting"]);
            if or_fail_at(caller, asked.await) == "waiting" {
                or_fail_at(caller, self.0.exchange(None, &["held"]).await);
            }
        }
    }

    /// Begins to acquire a lock that is another's, and returns when it was refused once.
    #[track_caller]
    pub fn wait_for(&mut self, key: &str, ttl: Duration) -> impl Future<Output = ()> {
        self.one(Some(format!("acquire {key} {}", ttl.as_millis())), "waiting")
    }

    /// Returns when the lock is held that the client [waits for](Self::wait_for).
    #[track_caller]
    pub fn granted(&mut self) -> impl Future<Output = ()> {
        self.one(None, "held")
    }

    /// Releases the lock; whether the client still had it.
    #[track_caller]
    pub fn release(&mut self) -> impl Future<Output = bool> {
        self.either(Some("release".to_owned()), ["released", "lost"])
    }

    /// Counts under a lock. The counting itself trusts in the lock.
    #[track_caller]
    pub fn count(&mut self, what: &Counting) -> impl Future<Output = ()> {
        let Counting { lock, ttl, counter, journal, times } = what;
        self.one(Some(format!("count {lock} {} {counter} {journal} {times}", ttl.as_millis())), "counted")
    }

    /// Kills the process (SIGKILL), and returns when it has ended.
    #[track_caller]
    pub fn kill(mut self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move { or_fail_at(caller, self.0.kill().await) }
    }

    #[track_caller]
    fn start(program: Program, server: Vec<String>) -> impl Future<Output = Self> {
        let caller = Location::caller();
        async move {
            let server: Vec<_> = server.iter().map(String::as_str).collect();
            let started = Dialogue::start(program, &server).await;
            or_fail_at(caller, started.map(Self))
        }
    }

    #[track_caller]
    fn one(&mut self, order: Option<String>, answer: &'static str) -> impl Future<Output = ()> {
        let answered = self.either(order, [answer; 2]);
        async {
            answered.await;
        }
    }

    /// Gives an order, or none, and listens; whether the answer is the first of `answers`.
    #[track_caller]
    fn either(&mut self, order: Option<String>, answers: [&'static str; 2]) -> impl Future<Output = bool> {
        let caller = Location::caller();
        async move {
            let answered = self.0.exchange(order, &answers);
            or_fail_at(caller, answered.await) == answers[0]
        }
    }
}

fn or_fail_at<T>(caller: &Location<'_>, result: Result<T, HarnessError>) -> T {
    result.unwrap_or_else(|error| fail(&format_args!("{error} ({caller})")))
}

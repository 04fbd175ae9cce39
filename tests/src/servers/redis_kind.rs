//! The servers with Redis's protocol that tests run over.

use crate::error::fail;
use std::env;

/// A server with Redis's protocol.
///
/// A test names one with `builder().kind(…)`. The others run over the one that `DLOCK_REDIS_KIND` names for the whole
/// process, [`Installed`](Self::Installed) if it names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisKind {
    /// What `DLOCK_REDIS_SERVER` names, or else the `redis-server` on the `PATH`. Debian's is Redis 7.0.
    Installed,
    /// Redis 6.2, the oldest that dlock works with.
    Redis62,
    /// Redis 8.2.
    Redis82,
    /// Valkey 9.1.
    Valkey91,
}

impl RedisKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Installed, Self::Redis62, Self::Redis82, Self::Valkey91];

    /// The one that this process runs over.
    #[track_caller]
    pub fn of_process() -> Self {
        let Some(name) = env::var_os(VARIABLE) else { return Self::Installed };
        match Self::ALL.into_iter().find(|kind| name == kind.name()) {
            Some(kind) => kind,
            None => fail(&format_args!(
                "{VARIABLE} is {name:?}; use one of {}",
                Self::ALL.map(Self::name).join(", ")
            )),
        }
    }

    /// What `DLOCK_REDIS_KIND` calls it, and `scripts/servers.sh`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Redis62 => "redis-6.2",
            Self::Redis82 => "redis-8.2",
            Self::Valkey91 => "valkey-9.1",
        }
    }

    /// Whether it is older than Redis 7.0, which counts errors inside scripts differently, and knows neither
    /// `SENTINEL DEBUG` nor shard channels.
    pub fn is_before_7(self) -> bool {
        self == Self::Redis62
    }
}

impl Default for RedisKind {
    fn default() -> Self {
        Self::of_process()
    }
}

const VARIABLE: &str = "DLOCK_REDIS_KIND";

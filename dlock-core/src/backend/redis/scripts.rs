//! The scripts, and the only code that calls them.

use super::connection::{CallError, Connection};
use super::keys::Keys;
use crate::error::{ErrorKind, LockError};
use crate::lease::FencingToken;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult, ServerErrorKind};
use std::sync::LazyLock;
use std::time::Duration;

/// A script and the hash it is called by.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/grant.lua"), include_str!("scripts/acquire.lua")))
});
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/grant.lua"), include_str!("scripts/release.lua")))
});
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/renew.lua")));

/// How long a queue outlives the last sign of life of anybody in it.
const QUEUE_TTL: Duration = Duration::from_secs(60);

/// The answer of `acquire.lua`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted(FencingToken),
    Held(Held),
}

/// A lock that another has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// What is left of its lease; `None` if it never expires.
    pub(super) expires_in: Option<Duration>,
    /// Whether the asking owner is the first in the queue.
    pub(super) first: bool,
    /// Whether the holder is no dlock client, so that nobody will tell of its release.
    pub(super) foreign: bool,
}

pub(super) async fn acquire(
    connection: &Connection,
    keys: &Keys,
    owner: &str,
    ttl_ms: u64,
    wait: bool,
) -> Result<Answer, LockError> {
    let queue_ttl_ms = u64::try_from(QUEUE_TTL.as_millis()).unwrap_or(u64::MAX).max(ttl_ms);
    let reply: Vec<i64> = ACQUIRE
        .run(connection, &[&keys.lock, &keys.queue, &keys.fence], |command| {
            command.arg(owner).arg(ttl_ms).arg(u8::from(wait)).arg(queue_ttl_ms);
        })
        .await?;
    answer(&reply)
}

fn answer(reply: &[i64]) -> Result<Answer, LockError> {
    match *reply {
        [1, token] => Ok(Answer::Granted(FencingToken::new(u64::try_from(token).map_err(|_| strange())?))),
        [0, pttl, rank, foreign] => Ok(Answer::Held(Held {
            expires_in: u64::try_from(pttl).ok().map(Duration::from_millis),
            first: rank == 0,
            foreign: foreign == 1,
        })),
        _ => Err(strange()),
    }
}

fn strange() -> LockError {
    LockError::new(ErrorKind::Unsupported, "the server gave an answer that the script does not give")
}

/// Whether the owner had the lock.
pub(super) async fn release(connection: &Connection, keys: &Keys, owner: &str) -> Result<bool, LockError> {
    let all = [&keys.lock, &keys.queue, &keys.fence];
    RELEASE.run(connection, &all, |command| _ = command.arg(owner)).await
}

/// Whether the owner has the lock.
pub(super) async fn renew(
    connection: &Connection,
    keys: &Keys,
    owner: &str,
    ttl_ms: u64,
) -> Result<bool, LockError> {
    RENEW.run(connection, &[&keys.lock], |command| _ = command.arg(owner).arg(ttl_ms)).await
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// Makes the server know all scripts. A server forgets what only `EVAL` brought.
    pub(super) async fn load_all(connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut pipeline = redis::pipe();
        for script in [&*ACQUIRE, &*RELEASE, &*RENEW] {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text).ignore();
        }
        pipeline.query_async(connection).await
    }

    async fn run<T: FromRedisValue>(
        &self,
        connection: &Connection,
        keys: &[&Vec<u8>],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<T, LockError> {
        let by_hash = command("EVALSHA", &self.hash, keys, &arguments);
        match connection.call(&by_hash).await {
            Err(CallError::Redis(cause)) if cause.kind() == ServerErrorKind::NoScript.into() => {
                Ok(connection.call(&command("EVAL", self.text, keys, &arguments)).await?)
            }
            outcome => Ok(outcome?),
        }
    }
}

fn command(name: &str, script: &str, keys: &[&Vec<u8>], arguments: &impl Fn(&mut Cmd)) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(key.as_slice());
    }
    arguments(&mut command);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_strange_ones_refused() {
        assert_eq!(answer(&[1, 7]).unwrap(), Answer::Granted(FencingToken::new(7)));
        let held = Held { expires_in: Some(Duration::from_millis(5)), first: true, foreign: false };
        assert_eq!(answer(&[0, 5, 0, 0]).unwrap(), Answer::Held(held));
        let for_ever = Held { expires_in: None, first: false, foreign: true };
        assert_eq!(answer(&[0, -1, -1, 1]).unwrap(), Answer::Held(for_ever));
        for strange in [&[][..], &[1], &[1, -7], &[2, 0], &[0, 1, 2]] {
            assert_eq!(answer(strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
    }
}

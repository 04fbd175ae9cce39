//! The only code that calls the scripts: one typed function each.

use super::connection::{CallError, Connection, Reply};
use super::keys::Keys;
use super::scripts::{self, Script};
use crate::error::{ErrorKind, LockError};
use crate::lease::FencingToken;
use redis::{Cmd, FromRedisValue, ServerErrorKind};
use std::time::Duration;

/// How long a queue outlives the last sign of life of anybody in it.
const QUEUE_TTL: Duration = Duration::from_secs(60);

/// The answer of `acquire.lua`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted(FencingToken),
    Held(Held),
    /// The owner gave up before; the request came late.
    GivenUp,
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
    /// The last token of the key: a hand-off with no greater one is an old story.
    pub(super) last: FencingToken,
}

pub(super) async fn acquire(
    connection: &Connection,
    keys: &Keys,
    owner: &str,
    ttl_ms: u64,
    wait: bool,
) -> Result<Reply<Answer>, LockError> {
    let queue_ttl_ms = u64::try_from(QUEUE_TTL.as_millis()).unwrap_or(u64::MAX).max(ttl_ms);
    let arguments = |command: &mut Cmd| {
        command.arg(owner).arg(ttl_ms).arg(u8::from(wait)).arg(queue_ttl_ms);
    };
    let Reply { value, repeated } =
        run::<Vec<i64>>(connection, &scripts::ACQUIRE, &all(keys), arguments).await?;
    let value = answer(&value)?;
    Ok(Reply { value, repeated })
}

fn answer(reply: &[i64]) -> Result<Answer, LockError> {
    match *reply {
        [1, last] => Ok(Answer::Granted(token(last)?)),
        [0, pttl, rank, foreign, last] => Ok(Answer::Held(Held {
            expires_in: u64::try_from(pttl).ok().map(Duration::from_millis),
            first: rank == 0,
            foreign: foreign == 1,
            last: token(last)?,
        })),
        [2] => Ok(Answer::GivenUp),
        _ => Err(strange()),
    }
}

fn token(number: i64) -> Result<FencingToken, LockError> {
    u64::try_from(number).map(FencingToken::new).map_err(|_| strange())
}

fn strange() -> LockError {
    LockError::new(ErrorKind::Unsupported, "the server gave an answer that the script does not give")
}

/// Whether the owner had the lock. `late_ms` is for how long a request of the owner may still be under way.
pub(super) async fn release(
    connection: &Connection,
    keys: &Keys,
    owner: &str,
    late_ms: u64,
) -> Result<bool, LockError> {
    let arguments = |command: &mut Cmd| _ = command.arg(owner).arg(late_ms);
    Ok(run(connection, &scripts::RELEASE, &all(keys), arguments).await?.value)
}

/// Whether the owner has the lock.
pub(super) async fn renew(
    connection: &Connection,
    keys: &Keys,
    owner: &str,
    ttl_ms: u64,
) -> Result<bool, LockError> {
    let arguments = |command: &mut Cmd| _ = command.arg(owner).arg(ttl_ms);
    Ok(run(connection, &scripts::RENEW, &[&keys.lock], arguments).await?.value)
}

fn all(keys: &Keys) -> [&[u8]; 4] {
    [&keys.lock, &keys.queue, &keys.fence, &keys.given_up]
}

/// Calls by hash, and once by text if the server does not know the script.
async fn run<T: FromRedisValue>(
    connection: &Connection,
    script: &Script,
    keys: &[&[u8]],
    arguments: impl Fn(&mut Cmd),
) -> Result<Reply<T>, LockError> {
    let with_arguments = |mut command: Cmd| {
        arguments(&mut command);
        command
    };
    match connection.call(&with_arguments(script.by_hash(keys))).await {
        Err(CallError::Redis(cause)) if cause.kind() == ServerErrorKind::NoScript.into() => {
            Ok(connection.call(&with_arguments(script.by_text(keys))).await?)
        }
        outcome => Ok(outcome?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_strange_ones_refused() {
        assert_eq!(answer(&[1, 7]).unwrap(), Answer::Granted(FencingToken::new(7)));
        let last = FencingToken::new(7);
        let held = Held { expires_in: Some(Duration::from_millis(5)), first: true, foreign: false, last };
        assert_eq!(answer(&[0, 5, 0, 0, 7]).unwrap(), Answer::Held(held));
        let for_ever = Held { expires_in: None, first: false, foreign: true, last };
        assert_eq!(answer(&[0, -1, -1, 1, 7]).unwrap(), Answer::Held(for_ever));
        assert_eq!(answer(&[2]).unwrap(), Answer::GivenUp);
        for strange in [&[][..], &[1], &[1, -7], &[2, 0], &[0, 1, 2], &[0, 1, 2, 0, -7]] {
            assert_eq!(answer(strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
    }
}

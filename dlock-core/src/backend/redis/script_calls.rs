//! The only code that calls the scripts of the queue: one typed function each.

use super::batch::{Batches, Errand, Turn};
use super::keys::{self, Keys};
use super::outcome::Held;
use super::scripts::{self, Script};
use super::servers::{CallError, Reply, Servers};
use crate::error::{ErrorKind, LockError};
use crate::lease::FencingToken;
use redis::{Cmd, FromRedisValue, ServerErrorKind, Value};
use std::sync::Arc;
use std::time::Duration;

/// The answer of `acquire.lua`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted(FencingToken),
    Held(Held),
    /// The owner gave up before; the request came late.
    GivenUp,
    /// The server grants nothing for this long.
    Quarantined(Duration),
}

/// How the scripts are to act, the same in every call of one backend value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Conduct {
    /// Whether a free lock goes to whoever asks first.
    pub(super) barging: bool,
    /// How long a server grants nothing after it was started or promoted.
    pub(super) quarantine: Duration,
    /// How often, and for how long, a lock with waiters is left free for clients of other libraries.
    pub(super) gap: Option<Gap>,
}

/// Every `between` at most, for `length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) between: Duration,
    pub(super) length: Duration,
}

/// Calls the scripts.
pub(super) struct Calls {
    pub(super) servers: Arc<Servers>,
    /// How long a server may say that it cannot for the moment.
    pub(super) limit: Duration,
    pub(super) conduct: Conduct,
    /// Where the keys of several locks may stand in one call.
    pub(super) batches: Option<Batches>,
}

/// Who asks, about which lock.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) keys: &'a Keys,
    pub(super) owner: &'a str,
    pub(super) ttl_ms: u64,
}

impl Calls {
    pub(super) async fn acquire(&self, asker: Asker<'_>, wait: bool) -> Result<Reply<Answer>, LockError> {
        let turn = self.turn(Errand::Acquire, asker).await?;
        if let Turn::Done(Reply { value, repeated }) = turn {
            return Ok(Reply { value: Answer::Granted(token(value)?), repeated });
        }
        let prefix = self.servers.channel_prefix(asker.keys.lock());
        let arguments = |command: &mut Cmd| {
            command.arg(asker.owner).arg(asker.ttl_ms);
            if prefix.is_some() || self.conduct != Conduct::default() {
                let Conduct { barging, quarantine, .. } = self.conduct;
                command.arg(u8::from(wait)).arg(u8::from(barging));
                command.arg(prefix.as_deref().unwrap_or("")).arg(millis(quarantine));
            } else if !wait {
                command.arg(0);
            }
        };
        let marker = self.marker(asker.keys, prefix.is_some());
        let keys = all(asker.keys, marker.as_deref());
        let reply = self.run::<Value>(&scripts::ACQUIRE, &keys, arguments).await?;
        Ok(Reply { value: answer(&reply.value)?, repeated: reply.repeated || turn.is_in_doubt() })
    }

    /// Whether the owner had the lock. `late_ms` is for how long a request of the owner may still be under
    /// way.
    pub(super) async fn release(&self, asker: Asker<'_>, late_ms: u64) -> Result<Reply<bool>, LockError> {
        let turn = if late_ms == 0 { self.turn(Errand::Release, asker).await? } else { Turn::ALONE };
        if let Turn::Done(Reply { repeated, .. }) = turn {
            return Ok(Reply { value: true, repeated });
        }
        let prefix = self.servers.channel_prefix(asker.keys.lock());
        let arguments = |command: &mut Cmd| {
            command.arg(asker.owner);
            if prefix.is_some() || self.conduct != Conduct::default() {
                let Conduct { barging, quarantine, gap } = self.conduct;
                command.arg(late_ms).arg(u8::from(barging));
                command.arg(prefix.as_deref().unwrap_or("")).arg(millis(quarantine));
                let Gap { between, length } = gap.unwrap_or(NO_GAP);
                command.arg(millis(between)).arg(millis(length));
            } else if late_ms > 0 {
                command.arg(late_ms);
            }
        };
        let marker = self.marker(asker.keys, prefix.is_some());
        let reply: Reply<bool> =
            self.run(&scripts::RELEASE, &all(asker.keys, marker.as_deref()), arguments).await?;
        Ok(Reply { repeated: reply.repeated || turn.is_in_doubt(), ..reply })
    }

    /// Whether the owner has the lock.
    pub(super) async fn renew(&self, asker: Asker<'_>) -> Result<bool, LockError> {
        let turn = self.turn(Errand::Renew, asker).await?;
        if let Turn::Done(_) = turn {
            return Ok(true);
        }
        let arguments = |command: &mut Cmd| _ = command.arg(asker.owner).arg(asker.ttl_ms);
        Ok(self.run(&scripts::RENEW, &[asker.keys.lock()], arguments).await?.value)
    }

    /// To be kept until the request is answered, so that it counts among those under way.
    async fn turn(&self, errand: Errand, asker: Asker<'_>) -> Result<Turn<'_>, LockError> {
        match &self.batches {
            Some(batches) => batches.turn(errand, asker).await,
            None => Ok(Turn::ALONE),
        }
    }

    fn marker(&self, keys: &Keys, in_cluster: bool) -> Option<Vec<u8>> {
        (!self.conduct.quarantine.is_zero()).then(|| keys::marker(keys.lock(), in_cluster))
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&[u8]],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Reply<T>, LockError> {
        Ok(Box::pin(run(&self.servers, self.limit, script, keys, arguments)).await?)
    }
}

fn all<'a>(keys: &'a Keys, marker: Option<&'a [u8]>) -> Vec<&'a [u8]> {
    keys.all().into_iter().chain(marker).collect()
}

const NO_GAP: Gap = Gap { between: Duration::ZERO, length: Duration::ZERO };

/// Calls by hash, and once by text if the server does not know the script.
pub(super) async fn run<T: FromRedisValue>(
    servers: &Servers,
    limit: Duration,
    script: &Script,
    keys: &[&[u8]],
    arguments: impl Fn(&mut Cmd),
) -> Result<Reply<T>, CallError> {
    let with_arguments = |mut command: Cmd| {
        arguments(&mut command);
        command
    };
    let lock = keys.first().copied().unwrap_or_default();
    match servers.call(lock, &with_arguments(script.by_hash(keys)), limit).await {
        Err(CallError::Redis(cause)) if cause.kind() == ServerErrorKind::NoScript.into() => {
            Box::pin(servers.call(lock, &with_arguments(script.by_text(keys)), limit)).await
        }
        outcome => outcome,
    }
}

fn answer(reply: &Value) -> Result<Answer, LockError> {
    let numbers = match reply {
        Value::Int(first) => return Ok(Answer::Granted(token(*first)?)),
        Value::Array(values) => values.iter().map(number).collect::<Option<Vec<_>>>().ok_or_else(strange)?,
        _ => return Err(strange()),
    };
    match *numbers {
        [0, pttl, rank, foreign, last] => Ok(Answer::Held(Held {
            expires_in: u64::try_from(pttl).ok().map(Duration::from_millis),
            first: rank == 0,
            silent: foreign == 1,
            last: token(last)?,
        })),
        [2] => Ok(Answer::GivenUp),
        [3, left] => {
            Ok(Answer::Quarantined(Duration::from_millis(u64::try_from(left).map_err(|_| strange())?)))
        }
        _ => Err(strange()),
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

pub(super) fn token(number: i64) -> Result<FencingToken, LockError> {
    u64::try_from(number).map(FencingToken::new).map_err(|_| strange())
}

pub(super) fn strange() -> LockError {
    LockError::new(ErrorKind::Unsupported, "the server gave an answer that the script does not give")
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_strange_ones_refused() {
        let answer =
            |numbers: &[i64]| answer(&Value::Array(numbers.iter().copied().map(Value::Int).collect()));
        let last = FencingToken::new(7);
        let held = Held { expires_in: Some(Duration::from_millis(5)), first: true, silent: false, last };
        assert_eq!(answer(&[0, 5, 0, 0, 7]).unwrap(), Answer::Held(held));
        let for_ever = Held { expires_in: None, first: false, silent: true, last };
        assert_eq!(answer(&[0, -1, -1, 1, 7]).unwrap(), Answer::Held(for_ever));
        assert_eq!(answer(&[2]).unwrap(), Answer::GivenUp);
        assert_eq!(answer(&[3, 40]).unwrap(), Answer::Quarantined(Duration::from_millis(40)));
        for strange in [&[][..], &[1], &[1, 7], &[2, 0], &[3], &[3, -1], &[0, 1, 2], &[0, 1, 2, 0, -7]] {
            assert_eq!(answer(strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
    }

    #[test]
    fn a_grant_is_a_token_alone() {
        assert_eq!(answer(&Value::Int(7)).unwrap(), Answer::Granted(FencingToken::new(7)));
        for strange in [Value::Int(-7), Value::Nil, Value::Array(vec![Value::Nil])] {
            assert_eq!(answer(&strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
    }
}

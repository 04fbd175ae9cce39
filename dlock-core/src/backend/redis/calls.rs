//! The only code that calls the scripts of the queue: one typed function each.

use super::attempt::Held;
use super::keys::{self, Keys};
use super::scripts::{self, Script};
use super::servers::{CallError, Reply, Servers};
use crate::error::{ErrorKind, LockError};
use crate::lease::FencingToken;
use redis::{Cmd, FromRedisValue, ServerErrorKind};
use std::sync::Arc;
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
}

impl Calls {
    pub(super) async fn acquire(
        &self,
        keys: &Keys,
        owner: &str,
        ttl_ms: u64,
        wait: bool,
    ) -> Result<Reply<Answer>, LockError> {
        let prefix = self.servers.channel_prefix(&keys.lock);
        let arguments = |command: &mut Cmd| {
            command.arg(owner).arg(ttl_ms).arg(u8::from(wait)).arg(millis(QUEUE_TTL).max(ttl_ms));
            if prefix.is_some() || self.conduct != Conduct::default() {
                let Conduct { barging, quarantine, .. } = self.conduct;
                command.arg(u8::from(barging)).arg(prefix.as_deref().unwrap_or("")).arg(millis(quarantine));
            }
        };
        let marker = self.marker(keys, prefix.is_some());
        let keys = all(keys, marker.as_deref());
        let Reply { value, repeated } = self.run::<Vec<i64>>(&scripts::ACQUIRE, &keys, arguments).await?;
        Ok(Reply { value: answer(&value)?, repeated })
    }

    /// Whether the owner had the lock. `late_ms` is for how long a request of the owner may still be under
    /// way.
    pub(super) async fn release(
        &self,
        keys: &Keys,
        owner: &str,
        late_ms: u64,
    ) -> Result<Reply<bool>, LockError> {
        let prefix = self.servers.channel_prefix(&keys.lock);
        let arguments = |command: &mut Cmd| {
            command.arg(owner).arg(late_ms);
            if prefix.is_some() || self.conduct != Conduct::default() {
                let Conduct { barging, quarantine, gap } = self.conduct;
                command.arg(u8::from(barging)).arg(prefix.as_deref().unwrap_or("")).arg(millis(quarantine));
                let Gap { between, length } = gap.unwrap_or(NO_GAP);
                command.arg(millis(between)).arg(millis(length));
            }
        };
        let marker = self.marker(keys, prefix.is_some());
        self.run(&scripts::RELEASE, &all(keys, marker.as_deref()), arguments).await
    }

    /// Whether the owner has the lock.
    pub(super) async fn renew(&self, keys: &Keys, owner: &str, ttl_ms: u64) -> Result<bool, LockError> {
        let arguments = |command: &mut Cmd| _ = command.arg(owner).arg(ttl_ms);
        Ok(self.run(&scripts::RENEW, &[&keys.lock], arguments).await?.value)
    }

    fn marker(&self, keys: &Keys, in_cluster: bool) -> Option<Vec<u8>> {
        (!self.conduct.quarantine.is_zero()).then(|| keys::marker(&keys.lock, in_cluster))
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&[u8]],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Reply<T>, LockError> {
        run(&self.servers, self.limit, script, keys, arguments).await
    }
}

fn all<'a>(keys: &'a Keys, marker: Option<&'a [u8]>) -> Vec<&'a [u8]> {
    let always: [&[u8]; 4] = [&keys.lock, &keys.queue, &keys.fence, &keys.marks];
    always.into_iter().chain(marker).collect()
}

const NO_GAP: Gap = Gap { between: Duration::ZERO, length: Duration::ZERO };

/// Calls by hash, and once by text if the server does not know the script.
pub(super) async fn run<T: FromRedisValue>(
    servers: &Servers,
    limit: Duration,
    script: &Script,
    keys: &[&[u8]],
    arguments: impl Fn(&mut Cmd),
) -> Result<Reply<T>, LockError> {
    let with_arguments = |mut command: Cmd| {
        arguments(&mut command);
        command
    };
    let lock = keys.first().copied().unwrap_or_default();
    match servers.call(lock, &with_arguments(script.by_hash(keys)), limit).await {
        Err(CallError::Redis(cause)) if cause.kind() == ServerErrorKind::NoScript.into() => {
            Ok(servers.call(lock, &with_arguments(script.by_text(keys)), limit).await?)
        }
        outcome => Ok(outcome?),
    }
}

fn answer(reply: &[i64]) -> Result<Answer, LockError> {
    match *reply {
        [1, last] => Ok(Answer::Granted(token(last)?)),
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
        assert_eq!(answer(&[1, 7]).unwrap(), Answer::Granted(FencingToken::new(7)));
        let last = FencingToken::new(7);
        let held = Held { expires_in: Some(Duration::from_millis(5)), first: true, silent: false, last };
        assert_eq!(answer(&[0, 5, 0, 0, 7]).unwrap(), Answer::Held(held));
        let for_ever = Held { expires_in: None, first: false, silent: true, last };
        assert_eq!(answer(&[0, -1, -1, 1, 7]).unwrap(), Answer::Held(for_ever));
        assert_eq!(answer(&[2]).unwrap(), Answer::GivenUp);
        assert_eq!(answer(&[3, 40]).unwrap(), Answer::Quarantined(Duration::from_millis(40)));
        for strange in [&[][..], &[1], &[1, -7], &[2, 0], &[3], &[3, -1], &[0, 1, 2], &[0, 1, 2, 0, -7]] {
            assert_eq!(answer(strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
    }
}

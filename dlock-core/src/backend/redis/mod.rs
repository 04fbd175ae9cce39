//! Locks in Redis: one string key each, with expiry, owner-checked release and a queue.

mod builder;
mod calls;
mod connection;
mod doubts;
mod failure;
mod keys;
mod owner;
mod scripts;
mod startup;

use super::wakeups::{Waiter, Wakeups};
use super::{AcquireRequest, Backend, BackendFuture, Claim, Grant, Mode};
use crate::error::{ErrorKind, LockError, Operation};
use crate::lease::{FencingToken, Ttl};
use crate::time::{Moment, backoff, jittered, sleep};
use calls::{Answer, Held};
use connection::Connection;
use doubts::Doubts;
use keys::Keys;
use owner::Inbox;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::RedisBackendBuilder;

/// Keeps the locks in one Redis server.
///
/// The lock is the plain string key of the user's name, so it excludes every client that locks with
/// `SET key value NX PX` on the same name. One script acquires and hands out the fencing token, one releases
/// and grants the lock to the next waiter, whose process is told by a push on the one connection that also
/// carries the commands, and needs to ask no more; waiters ask by themselves in case a push is lost. A free
/// lock costs one command, its release another, and a hand-off none.
///
/// The pattern is that of the [Redis documentation][pattern], with the queue, the token and the checks it
/// leaves to the reader.
///
/// **Assumptions.** Exclusion of valid guards holds while the server keeps its memory (a restart without
/// `appendfsync always`, an eviction or a failover may forget a lock), its clock does not jump forward, and
/// clocks run at rates that differ by less than 1 %. Fencing tokens rise unless the server's clock had run
/// ahead *and* its data was lost. A dead holder's lock is free after its lease. Keys that begin with `dlock:`
/// are dlock's own.
///
/// **Rights.** An account needs the keys it locks and the keys `dlock:*`, the channels `dlock:i:*`, and no more
/// commands than these:
///
/// ```text
/// ACL SETUSER dlock on >… resetkeys ~order:* ~dlock:* resetchannels &dlock:i:* -@all
///   +hello +auth +select +ping +script|load +evalsha +eval +get +set +del +exists +pttl +pexpire
///   +zadd +zrem +zrange +zrank +zscore +zremrangebyscore +time +publish +subscribe
/// ```
///
/// With `+info` as well, a server that may evict locks is warned of when the backend is built.
///
/// Clones share the connection. Needs Redis 6.2 or newer and a Tokio runtime; a connection whose runtime has
/// ended is made anew in the next one.
///
/// [pattern]: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
#[derive(Clone)]
pub struct RedisBackend(Arc<Shared>);

struct Shared {
    address: String,
    inbox: Inbox,
    wakeups: Arc<Wakeups<FencingToken>>,
    doubts: Doubts,
    connection: Connection,
}

impl RedisBackend {
    /// Settings, to be built.
    pub fn builder() -> RedisBackendBuilder {
        RedisBackendBuilder::default()
    }

    async fn attempt(&self, claim: &Claim, mode: Mode) -> Result<Attempt, LockError> {
        let (keys, owner) = self.names(claim)?;
        let (doubt, sent) = (self.0.doubts.about(claim.owner), Moment::now());
        let (ttl_ms, wait) = (claim.ttl.as_millis(), mode == Mode::Wait);
        let reply = calls::acquire(&self.0.connection, &keys, &owner, ttl_ms, wait).await?;
        if !reply.repeated {
            doubt.settle();
        }
        match reply.value {
            Answer::Granted(token) => Ok(Attempt::Granted(Grant::new(token, claim.ttl.valid_until(sent)))),
            Answer::Held(held) => Ok(Attempt::Held { held, sent }),
            Answer::GivenUp => Err(LockError::new(ErrorKind::Lost, "the acquisition was given up before")),
        }
    }

    /// Asks until granted. A push says that it is; the pauses are for the pushes that get lost, and each
    /// question is a sign of life.
    async fn wait(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let claim = &request.claim;
        let waiter = self.0.wakeups.enter(claim.owner);
        let mut failure_pauses = failure_pauses();
        loop {
            match self.attempt(claim, Mode::Wait).await {
                Ok(Attempt::Granted(grant)) => return Ok(grant),
                Ok(Attempt::Held { held, sent }) => {
                    request.progress.queued();
                    failure_pauses = self::failure_pauses();
                    let push = woken_or_after(&waiter, pause_before_next_question(&held)).await;
                    let grant =
                        push.and_then(|token| believe(token, held.last, claim.ttl, sent, Moment::now()));
                    if let Some(grant) = grant {
                        return Ok(grant);
                    }
                }
                Err(error) if error.kind().is_retryable() => {
                    request.progress.failing(error);
                    woken_or_after(&waiter, failure_pauses.next().unwrap_or(SIGN_OF_LIFE)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        if request.mode == Mode::Wait {
            return self.wait(request).await;
        }
        match self.attempt(&request.claim, Mode::Try).await? {
            Attempt::Granted(grant) => Ok(grant),
            Attempt::Held { .. } => Err(self.refuse(&request.claim).await),
        }
    }

    /// The error of a try that was refused. It leaves nothing, not even a copy under way (I4).
    async fn refuse(&self, claim: &Claim) -> LockError {
        let undone = match self.0.doubts.is_in_doubt(claim.owner) {
            true => self.release(claim).await,
            false => Ok(()),
        };
        match undone {
            Err(error) if error.kind() != ErrorKind::Lost => error,
            _ => LockError::new(
                ErrorKind::Busy,
                "another owner has it or waits for it; try again later or wait",
            ),
        }
    }

    async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let (keys, owner) = self.names(claim)?;
        let sent = Moment::now();
        let renewed = calls::renew(&self.0.connection, &keys, &owner, claim.ttl.as_millis()).await?;
        renewed.then(|| claim.ttl.valid_until(sent)).ok_or_else(not_owner)
    }

    async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let (keys, owner) = self.names(claim)?;
        let late_ms = if self.0.doubts.is_in_doubt(claim.owner) { claim.ttl.as_millis() } else { 0 };
        let released = calls::release(&self.0.connection, &keys, &owner, late_ms).await?;
        self.0.doubts.forget(claim.owner);
        released.then_some(()).ok_or_else(not_owner)
    }

    fn names(&self, claim: &Claim) -> Result<(Keys, String), LockError> {
        Ok((Keys::of(&claim.key)?, self.0.inbox.owner(claim)))
    }
}

enum Attempt {
    Granted(Grant),
    /// Another has it, by the answer to a request sent at this moment.
    Held {
        held: Held,
        sent: Moment,
    },
}

/// The grant that a push with `token` tells of, if the push can be believed by itself.
///
/// It cannot say how long it was on its way. But the last request, sent at `sent`, was answered with "held",
/// so the grant came after that was carried out: its lease lasts until at least a ttl after `sent` (I3). And a
/// token that is no greater than the last one in that answer belongs to a grant from before it, long over
/// (I2). A grant with less than half of its lease left is asked about instead, which also renews it.
fn believe(token: FencingToken, last: FencingToken, ttl: Ttl, sent: Moment, now: Moment) -> Option<Grant> {
    let valid_until = ttl.valid_until(sent);
    let fresh = token > last && valid_until.since(now) >= ttl.as_duration() / 2;
    fresh.then(|| Grant::new(token, valid_until))
}

fn not_owner() -> LockError {
    LockError::new(ErrorKind::Lost, "the key is gone or another owner's; acquire the lock again")
}

/// How often a waiter asks when nothing tells it to.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// The same while the holder is a client that tells nobody of its release.
const FOREIGN_HOLDER: Duration = Duration::from_millis(100);

/// How long to wait for a push. The first waiter also asks when the holder's lease ends: a dead holder tells
/// nobody.
fn pause_before_next_question(held: &Held) -> Duration {
    let regular = jittered(if held.foreign { FOREIGN_HOLDER } else { SIGN_OF_LIFE });
    match held.expires_in {
        Some(left) if held.first => regular.min(left + Duration::from_millis(1)),
        _ => regular,
    }
}

fn failure_pauses() -> impl Iterator<Item = Duration> + Send {
    backoff(Duration::from_millis(20), SIGN_OF_LIFE)
}

/// Waits for a push, or this long. The push's token, if it was one.
async fn woken_or_after(waiter: &Waiter<'_, FencingToken>, pause: Duration) -> Option<FencingToken> {
    tokio::select! {
        push = waiter.woken() => push,
        () = sleep(pause) => None,
    }
}

impl Backend for RedisBackend {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.acquire(request))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            self.renew(claim)
                .await
                .map_err(|error| error.with_operation(Operation::Renew).with_key(&claim.key))
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            self.release(claim)
                .await
                .map_err(|error| error.with_operation(Operation::Release).with_key(&claim.key))
        })
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("address", &self.0.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_waiter_asks_at_the_end_of_the_lease() {
        let soon = Duration::from_millis(10);
        let held =
            |first, foreign, expires_in| Held { expires_in, first, foreign, last: FencingToken::new(7) };
        assert_eq!(pause_before_next_question(&held(true, false, Some(soon))), Duration::from_millis(11));
        assert!(pause_before_next_question(&held(false, false, Some(soon))) > FOREIGN_HOLDER);
        assert!(pause_before_next_question(&held(true, true, None)) <= FOREIGN_HOLDER);
    }

    #[test]
    fn a_push_is_believed_only_if_it_is_newer_than_the_last_answer_and_its_lease_is_long() {
        let at = |millis| Moment::START.after(Duration::from_millis(millis));
        let (token, ttl) = (FencingToken::new, Ttl::new(Duration::from_secs(10)).unwrap());
        let believed = |push, now| believe(token(push), token(7), ttl, at(1_000), at(now));
        let grant = believed(8, 1_500).unwrap();
        assert_eq!((grant.token, grant.valid_until), (token(8), ttl.valid_until(at(1_000))));
        assert!(believed(7, 1_500).is_none(), "a grant from before the answer");
        assert!(believed(8, 5_800).is_some());
        assert!(believed(8, 6_000).is_none(), "less than half is left");
        assert!(believed(8, 20_000).is_none(), "it is over");
    }
}

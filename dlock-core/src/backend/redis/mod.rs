//! Locks in Redis: one string key each, with expiry, owner-checked release and a queue.

mod builder;
mod calls;
mod connection;
mod failure;
mod keys;
mod owner;
mod scripts;

use super::wakeups::{Waiter, Wakeups};
use super::{AcquireRequest, Backend, BackendFuture, Claim, Grant, Mode};
use crate::error::{ErrorKind, LockError, Operation};
use crate::time::{Moment, backoff, jittered, sleep};
use calls::{Answer, Held};
use connection::Connection;
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
/// and hands the lock to the next waiter, whose process is told by a push on the one connection that also
/// carries the commands; waiters ask again by themselves in case a push is lost.
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
/// Clones share the connection. Needs Redis 6.2 or newer and a Tokio runtime; a connection whose runtime has
/// ended is made anew in the next one.
///
/// [pattern]: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
#[derive(Clone)]
pub struct RedisBackend(Arc<Shared>);

struct Shared {
    address: String,
    inbox: Inbox,
    wakeups: Arc<Wakeups>,
    connection: Connection,
}

impl RedisBackend {
    /// Settings, to be built.
    pub fn builder() -> RedisBackendBuilder {
        RedisBackendBuilder::default()
    }

    async fn attempt(&self, claim: &Claim, mode: Mode) -> Result<Attempt, LockError> {
        let (keys, owner) = self.names(claim)?;
        let sent = Moment::now();
        let wait = mode == Mode::Wait;
        match calls::acquire(&self.0.connection, &keys, &owner, claim.ttl.as_millis(), wait).await? {
            Answer::Granted(token) => Ok(Attempt::Granted(Grant::new(token, claim.ttl.valid_until(sent)))),
            Answer::Held(held) => Ok(Attempt::Held(held)),
        }
    }

    /// Asks until granted. A push says when to ask; the pauses are for the pushes that get lost, and each
    /// question is a sign of life.
    async fn wait(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let claim = &request.claim;
        let waiter = self.0.wakeups.enter(claim.owner);
        let mut failure_pauses = failure_pauses();
        loop {
            let pause = match self.attempt(claim, Mode::Wait).await {
                Ok(Attempt::Granted(grant)) => return Ok(grant),
                Ok(Attempt::Held(held)) => {
                    request.progress.queued();
                    failure_pauses = self::failure_pauses();
                    pause_before_next_question(&held)
                }
                Err(error) if error.kind().is_retryable() => {
                    request.progress.failing(error);
                    failure_pauses.next().unwrap_or(SIGN_OF_LIFE)
                }
                Err(error) => return Err(error),
            };
            woken_or_after(&waiter, pause).await;
        }
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        if request.mode == Mode::Wait {
            return self.wait(request).await;
        }
        match self.attempt(&request.claim, Mode::Try).await? {
            Attempt::Granted(grant) => Ok(grant),
            Attempt::Held(_) => Err(LockError::new(
                ErrorKind::Busy,
                "another owner has it or waits for it; try again later or wait",
            )),
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
        let released = calls::release(&self.0.connection, &keys, &owner).await?;
        released.then_some(()).ok_or_else(not_owner)
    }

    fn names(&self, claim: &Claim) -> Result<(Keys, String), LockError> {
        Ok((Keys::of(&claim.key)?, self.0.inbox.owner(claim)))
    }
}

enum Attempt {
    Granted(Grant),
    Held(Held),
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

async fn woken_or_after(waiter: &Waiter<'_>, pause: Duration) {
    tokio::select! {
        () = waiter.woken() => {}
        () = sleep(pause) => {}
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
        let held = |first, foreign, expires_in| Held { expires_in, first, foreign };
        assert_eq!(pause_before_next_question(&held(true, false, Some(soon))), Duration::from_millis(11));
        assert!(pause_before_next_question(&held(false, false, Some(soon))) > FOREIGN_HOLDER);
        assert!(pause_before_next_question(&held(true, true, None)) <= FOREIGN_HOLDER);
    }
}

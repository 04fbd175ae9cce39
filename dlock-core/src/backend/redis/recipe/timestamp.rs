//! The recipe from before Redis could expire a key it sets: the value says when the lock ends.

use crate::backend::expiring_map::Expiring;
use crate::backend::redis::keys::Keys;
use crate::backend::redis::not_owner;
use crate::backend::redis::outcome::{Attempt, Held};
use crate::backend::redis::script_calls::{millis, run, strange, token};
use crate::backend::redis::scripts::{self, Script};
use crate::backend::redis::servers::Servers;
use crate::backend::{Claim, Grant};
use crate::error::{ErrorKind, LockError};
use crate::lease::{FencingToken, OwnerId};
use crate::time::{Moment, unix_time};
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// Locks that say themselves when they end.
pub(crate) struct Timestamp {
    server: Server,
    /// What this process holds. The server does not know more of an owner than the end of its lease.
    owners: Mutex<Expiring<Standing>>,
}

/// What one owner holds, locked while a request of it is under way.
type Standing = Arc<AsyncMutex<Option<Tenure>>>;

/// A lock that is held.
#[derive(Debug)]
struct Tenure {
    token: FencingToken,
    /// What the key may hold, in ms since 1970: one value, unless the answer to a renewal was lost.
    values: Vec<u64>,
}

/// Where the scripts run.
#[derive(Clone)]
struct Server {
    servers: Arc<Servers>,
    limit: Duration,
}

impl Timestamp {
    pub(crate) fn new(servers: Arc<Servers>, limit: Duration) -> Self {
        Self { server: Server { servers, limit }, owners: Mutex::default() }
    }

    /// Asks once. An owner that has the lock already is granted it again, with a renewal.
    ///
    /// The value does not say whose it is, so only the answer tells what became of the request. It is waited
    /// for even if this future is dropped (I4).
    pub(crate) async fn ask(&self, claim: &Claim) -> Result<Attempt, LockError> {
        let (key, sent) = (Keys::of(&claim.key)?.lock().to_vec(), Moment::now());
        let standing = self.standing(claim, sent);
        let mut tenure = standing.clone().lock_owned().await;
        if let Some(tenure) = &mut *tenure {
            let valid_until = self.renew_tenure(claim, tenure).await?;
            return Ok(Attempt::Granted(Grant::new(tenure.token, valid_until)));
        }
        let (server, ttl) = (self.server.clone(), claim.ttl);
        let asking = tokio::spawn(async move {
            let now = millis(unix_time());
            let ends = now.saturating_add(ttl.as_millis());
            let taken = server.take_over(&key, now, ends).await?;
            *tenure = taken.as_ref().ok().map(|token| Tenure { token: *token, values: vec![ends] });
            Ok::<_, LockError>(taken)
        });
        let ended =
            |cause| LockError::new(ErrorKind::Unavailable, "the runtime has ended").with_source(cause);
        let attempt = match asking.await.map_err(ended)?? {
            Ok(token) => return Ok(Attempt::Granted(Grant::new(token, claim.ttl.valid_until(sent)))),
            Err(held) => Attempt::Held { held, sent },
        };
        self.owners.lock().remove(claim.owner);
        Ok(attempt)
    }

    pub(crate) async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let standing = self.known(claim.owner).ok_or_else(not_owner)?;
        let mut tenure = standing.lock().await;
        self.renew_tenure(claim, tenure.as_mut().ok_or_else(not_owner)?).await
    }

    async fn renew_tenure(&self, claim: &Claim, tenure: &mut Tenure) -> Result<Moment, LockError> {
        let (key, sent) = (Keys::of(&claim.key)?.lock().to_vec(), Moment::now());
        let ends = millis(unix_time()).saturating_add(claim.ttl.as_millis());
        let known = tenure.values.clone();
        // Before it is sent: without an answer the key may hold either.
        tenure.values.push(ends);
        for value in known {
            if self.server.replace(&key, value, ends).await? {
                tenure.values = vec![ends];
                self.standing(claim, sent);
                return Ok(claim.ttl.valid_until(sent));
            }
        }
        Err(not_owner())
    }

    pub(crate) async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let key = Keys::of(&claim.key)?.lock().to_vec();
        let standing = self.known(claim.owner).ok_or_else(not_owner)?;
        let mut tenure = standing.lock().await;
        let mut released = false;
        for value in tenure.as_ref().map(|tenure| tenure.values.clone()).unwrap_or_default() {
            released |= self.server.remove(&key, value).await?;
        }
        *tenure = None;
        self.owners.lock().remove(claim.owner);
        released.then_some(()).ok_or_else(not_owner)
    }

    fn known(&self, owner: OwnerId) -> Option<Standing> {
        self.owners.lock().get(owner).cloned()
    }

    /// What the owner of this claim holds, remembered for a lease that begins at `now`.
    fn standing(&self, claim: &Claim, now: Moment) -> Standing {
        let mut owners = self.owners.lock();
        let standing = owners.get(claim.owner).cloned().unwrap_or_default();
        owners.set(claim.owner, Arc::clone(&standing), claim.ttl.valid_until(now), now);
        standing
    }
}

impl Server {
    /// The token, if the lock was taken; else who has it. Sent twice, the second copy finds the first one's
    /// value, which may be another's just as well: then it is held until its time is over.
    async fn take_over(
        &self,
        key: &[u8],
        now: u64,
        ends: u64,
    ) -> Result<Result<FencingToken, Held>, LockError> {
        let reply: Vec<i64> = self.run(&scripts::TAKE_OVER, key, &[now, ends]).await?;
        match reply[..] {
            [1, micros] => Ok(Ok(token(micros)?)),
            [0, ends] => {
                let left = u64::try_from(ends).unwrap_or_default().saturating_sub(now);
                let expires_in = Some(Duration::from_millis(left));
                Ok(Err(Held { expires_in, first: true, silent: true, last: FencingToken::new(0) }))
            }
            [-1] => Err(LockError::new(
                ErrorKind::Corrupt,
                "the key holds no time; another recipe or program uses the name, choose another one",
            )),
            _ => Err(strange()),
        }
    }

    async fn replace(&self, key: &[u8], value: u64, ends: u64) -> Result<bool, LockError> {
        self.run(&scripts::REPLACE, key, &[value, ends]).await
    }

    async fn remove(&self, key: &[u8], value: u64) -> Result<bool, LockError> {
        self.run(&scripts::REMOVE, key, &[value]).await
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        key: &[u8],
        arguments: &[u64],
    ) -> Result<T, LockError> {
        let arguments = |command: &mut Cmd| _ = command.arg(arguments);
        Ok(run(&self.servers, self.limit, script, &[key], arguments).await?.value)
    }
}

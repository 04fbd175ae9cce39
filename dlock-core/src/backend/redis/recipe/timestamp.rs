//! The recipe from before Redis could set a key with an expiry: the value says when the lock ends.

use crate::backend::expiring_map::{ExpiringMap, memory};
use crate::backend::redis::keys::Naming;
use crate::backend::redis::number::GrantNumber;
use crate::backend::redis::outcome::not_owner;
use crate::backend::redis::outcome::{AskOutcome, HeldByOther};
use crate::backend::redis::replies::{number, strange};
use crate::backend::redis::scripts::{self, Script};
use crate::backend::redis::servers::{Route, Servers};
use crate::backend::redis::wire::millis;
use crate::backend::{Claim, Grant};
use crate::error::{ErrorKind, LockError};
use crate::keeper::Keeper;
use crate::lease::{FencingToken, OwnerId};
use crate::time::{Moment, unix_time};
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// Locks that say themselves when they end.
pub(crate) struct Timestamp {
    server: ScriptRunner,
    naming: Naming,
    /// What this process holds. The server knows only the end of an owner's lease.
    owners: Mutex<ExpiringMap<OwnerState>>,
}

/// What one owner holds, locked while a request of it is under way.
type OwnerState = Arc<AsyncMutex<Option<TimestampLease>>>;

/// A lock that is held.
#[derive(Debug)]
struct TimestampLease {
    token: FencingToken,
    /// What the key may hold, in ms since 1970: one value, unless the answer to a renewal was lost.
    values: Vec<u64>,
}

/// Where the scripts run.
#[derive(Clone)]
struct ScriptRunner {
    servers: Arc<Servers>,
    limit: Duration,
}

impl Timestamp {
    pub(crate) fn new(servers: Arc<Servers>, naming: Naming, limit: Duration) -> Self {
        Self { server: ScriptRunner { servers, limit }, naming, owners: Mutex::default() }
    }

    /// Asks once. An owner that has the lock already is granted it again, with a renewal.
    ///
    /// The value names no owner, so only the answer tells whether the request took the lock. It is waited for even if
    /// this future is dropped (I4).
    pub(crate) async fn ask(&self, claim: &Claim) -> Result<AskOutcome, LockError> {
        let (key, sent) = (self.naming.keys(&claim.key)?.lock().to_vec(), Moment::now());
        let state = self.state(claim, sent);
        let mut lease = state.clone().lock_owned().await;
        if let Some(lease) = &mut *lease {
            let renewed = self.renew_lease(claim, lease).await;
            let valid_until = renewed.map_err(LockError::after_a_request)?;
            return Ok(AskOutcome::Granted(Grant::new(lease.token, valid_until)));
        }
        let (server, ttl) = (self.server.clone(), claim.ttl);
        let asking = Keeper::here()?.complete(async move {
            let now = millis(unix_time());
            let ends = now.saturating_add(ttl.as_millis());
            let taken = server.take_over(&key, now, ends).await?;
            *lease = taken.as_ref().ok().map(|token| TimestampLease { token: *token, values: vec![ends] });
            Ok::<_, LockError>(taken)
        });
        let asked = asking.await?;
        let holds_nothing = match &asked {
            Ok(taken) => taken.is_err(),
            Err(error) => error.leaves_nothing(),
        };
        if holds_nothing {
            self.owners.lock().remove(claim.owner);
        }
        Ok(match asked? {
            Ok(token) => AskOutcome::Granted(Grant::new(token, claim.ttl.valid_until(sent))),
            Err(held) => AskOutcome::Held { held, sent },
        })
    }

    /// How many owners hold a lock, or may hold one.
    pub(crate) fn remembered(&self) -> usize {
        self.owners.lock().len(Moment::now())
    }

    pub(crate) async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let state = self.known(claim.owner).ok_or_else(not_owner)?;
        let mut lease = state.lock().await;
        self.renew_lease(claim, lease.as_mut().ok_or_else(not_owner)?).await
    }

    async fn renew_lease(&self, claim: &Claim, lease: &mut TimestampLease) -> Result<Moment, LockError> {
        let (key, sent) = (self.naming.keys(&claim.key)?.lock().to_vec(), Moment::now());
        let ends = millis(unix_time()).saturating_add(claim.ttl.as_millis());
        let known = lease.values.clone();
        // Before it is sent: without an answer the key may hold either.
        lease.values.push(ends);
        for value in known {
            if self.server.replace(&key, value, ends).await? {
                lease.values = vec![ends];
                self.state(claim, sent);
                return Ok(claim.ttl.valid_until(sent));
            }
        }
        Err(not_owner())
    }

    pub(crate) async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let key = self.naming.keys(&claim.key)?.lock().to_vec();
        let state = self.known(claim.owner).ok_or_else(not_owner)?;
        let mut lease = state.lock().await;
        let mut released = false;
        for value in lease.as_ref().map(|lease| lease.values.clone()).unwrap_or_default() {
            released |= self.server.remove(&key, value).await?;
        }
        *lease = None;
        self.owners.lock().remove(claim.owner);
        released.then_some(()).ok_or_else(not_owner)
    }

    fn known(&self, owner: OwnerId) -> Option<OwnerState> {
        self.owners.lock().get(owner).cloned()
    }

    /// What the owner of this claim holds, remembered for a lease that begins at `now`.
    fn state(&self, claim: &Claim, now: Moment) -> OwnerState {
        let mut owners = self.owners.lock();
        let state = owners.get(claim.owner).cloned().unwrap_or_default();
        owners.set(claim.owner, Arc::clone(&state), now.after(memory(claim.ttl)), now);
        state
    }
}

impl ScriptRunner {
    /// The token, if the lock was taken; otherwise how long it is held. A second copy finds the value of the first,
    /// which could as well be another owner's. Then the lock counts as held until that time is over.
    async fn take_over(
        &self,
        key: &[u8],
        now: u64,
        ends: u64,
    ) -> Result<Result<FencingToken, HeldByOther>, LockError> {
        let reply: Vec<i64> = self.run(&scripts::TAKE_OVER, key, &[now, ends]).await?;
        match reply[..] {
            [1, micros] => Ok(Ok(number(micros)?.token())),
            [0, ends] => {
                let left = u64::try_from(ends).unwrap_or_default().saturating_sub(now);
                let expires_in = Some(Duration::from_millis(left));
                Ok(Err(HeldByOther { expires_in, first: true, silent: true, last: GrantNumber::NONE }))
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
        Ok(self.servers.run(&Route::Keeper, self.limit, script, &[key], arguments).await?.value)
    }
}

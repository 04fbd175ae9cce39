//! The recipe from before Redis could expire a key it sets: the value says when the lock ends.

use super::attempt::{Attempt, Held};
use super::calls::{millis, run, strange, token};
use super::keys::Keys;
use super::not_owner;
use super::scripts;
use super::servers::Servers;
use crate::backend::{Claim, Grant};
use crate::error::{ErrorKind, LockError};
use crate::lease::{FencingToken, OwnerId};
use crate::time::{Moment, unix_time};
use parking_lot::Mutex;
use redis::Cmd;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Locks that say themselves when they end.
pub(super) struct Timestamp {
    servers: Arc<Servers>,
    limit: Duration,
    /// What this process holds. The server does not know more of an owner than the end of its lease.
    held: Mutex<HashMap<OwnerId, Ends>>,
}

/// A lock that this process holds.
#[derive(Debug, Clone)]
struct Ends {
    token: FencingToken,
    /// What the key may hold, in ms since 1970: one value, unless the answer to a renewal was lost.
    values: Vec<u64>,
}

impl Timestamp {
    pub(super) fn new(servers: Arc<Servers>, limit: Duration) -> Self {
        Self { servers, limit, held: Mutex::default() }
    }

    /// Asks once. An owner that has the lock already is granted it again, with a renewal.
    pub(super) async fn ask(&self, claim: &Claim) -> Result<Attempt, LockError> {
        if let Some(Ends { token, .. }) = self.ends(claim.owner) {
            return Ok(Attempt::Granted(Grant::new(token, self.renew(claim).await?)));
        }
        let (keys, sent, now) = (Keys::of(&claim.key)?, Moment::now(), millis(unix_time()));
        let ends = now.saturating_add(claim.ttl.as_millis());
        let arguments = |command: &mut Cmd| _ = command.arg(now).arg(ends);
        // Sent twice, the second copy finds the first one's value, which may be another's just as well: then it
        // is held until its time is over.
        let reply =
            run::<Vec<i64>>(&self.servers, self.limit, &scripts::TAKE_OVER, &[&keys.lock], arguments).await?;
        match reply.value[..] {
            [1, micros] => {
                let token = token(micros)?;
                self.held.lock().insert(claim.owner, Ends { token, values: vec![ends] });
                Ok(Attempt::Granted(Grant::new(token, claim.ttl.valid_until(sent))))
            }
            [0, ends] => {
                let left = u64::try_from(ends).unwrap_or_default().saturating_sub(now);
                let expires_in = Some(Duration::from_millis(left));
                let held = Held { expires_in, first: true, silent: true, last: FencingToken::new(0) };
                Ok(Attempt::Held { held, sent })
            }
            [-1] => Err(LockError::new(
                ErrorKind::Corrupt,
                "the key holds no time; another recipe or program uses the name, choose another one",
            )),
            _ => Err(strange()),
        }
    }

    pub(super) async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let (keys, sent) = (Keys::of(&claim.key)?, Moment::now());
        let known = self.ends(claim.owner).ok_or_else(not_owner)?;
        let ends = millis(unix_time()).saturating_add(claim.ttl.as_millis());
        self.may_hold(claim.owner, ends);
        for value in known.values {
            let arguments = |command: &mut Cmd| _ = command.arg(value).arg(ends);
            let replaced =
                run::<bool>(&self.servers, self.limit, &scripts::REPLACE, &[&keys.lock], arguments).await?;
            if replaced.value {
                self.held.lock().insert(claim.owner, Ends { values: vec![ends], ..known });
                return Ok(claim.ttl.valid_until(sent));
            }
        }
        Err(not_owner())
    }

    pub(super) async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let keys = Keys::of(&claim.key)?;
        let known = self.ends(claim.owner).ok_or_else(not_owner)?;
        let mut released = false;
        for value in known.values {
            let arguments = |command: &mut Cmd| _ = command.arg(value);
            released |= run::<bool>(&self.servers, self.limit, &scripts::REMOVE, &[&keys.lock], arguments)
                .await?
                .value;
        }
        self.held.lock().remove(&claim.owner);
        released.then_some(()).ok_or_else(not_owner)
    }

    fn ends(&self, owner: OwnerId) -> Option<Ends> {
        self.held.lock().get(&owner).cloned()
    }

    /// Notes a value that is about to be written.
    fn may_hold(&self, owner: OwnerId, ends: u64) {
        if let Some(known) = self.held.lock().get_mut(&owner)
            && !known.values.contains(&ends)
        {
            known.values.push(ends);
        }
    }
}

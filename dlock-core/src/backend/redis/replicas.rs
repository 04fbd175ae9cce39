//! Having replicas acknowledge a grant before it is believed.

use super::keys::Keys;
use super::outcome::not_owner;
use super::scripts;
use super::servers::{Asking, Exclusive, Job, Servers};
use super::wire::Inbox;
use crate::backend::Claim;
use crate::error::{ErrorKind, LockError};
use crate::time::Moment;
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::Duration;

/// How many replicas must have a lease before it counts, and the connections that ask them.
///
/// `WAIT` waits for the writes of its own connection. A grant may have been written by another one, that of
/// whoever handed the lock off; a renewal written by this one comes after it in the one stream that replicas
/// follow, so who has the renewal has the grant.
pub(super) struct Replicas {
    pub(super) required: usize,
    /// How long they may take.
    pub(super) patience: Duration,
    pub(super) servers: Arc<Servers>,
    pub(super) inbox: Inbox,
    pub(super) exclusive: Exclusive,
}

impl Replicas {
    /// Renews the owner's lease and has it acknowledged. Until when it is valid then.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if too few replicas did so in time: the lease is as it was, or longer.
    pub(super) async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let (keys, owner, sent) = (Keys::of(&claim.key)?, self.inbox.owner(claim), Moment::now());
        let job = RenewAndWait { key: keys.lock(), owner: &owner, claim, replicas: self };
        let (renewed, acknowledged) = self.exclusive.run(&self.servers, keys.lock(), &job).await?;
        if !renewed {
            return Err(not_owner());
        }
        if acknowledged < self.required {
            return Err(too_few(acknowledged, self.required));
        }
        Ok(claim.ttl.valid_until(sent))
    }
}

fn too_few(acknowledged: usize, required: usize) -> LockError {
    let detail = format!(
        "{acknowledged} replicas of the {required} required have acknowledged the lease; check the replicas"
    );
    LockError::new(ErrorKind::Unavailable, detail)
}

struct RenewAndWait<'a> {
    key: &'a [u8],
    owner: &'a str,
    claim: &'a Claim,
    replicas: &'a Replicas,
}

impl Job for RenewAndWait<'_> {
    type Output = (bool, usize);

    async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        asking: Asking,
    ) -> RedisResult<(bool, usize)> {
        let mut pipeline = asking.pipeline();
        let mut renewal = scripts::RENEW.by_text(&[self.key]);
        renewal.arg(self.owner).arg(self.claim.ttl.as_millis());
        let patience_ms = super::wire::millis(self.replicas.patience);
        pipeline.add_command(renewal).cmd("WAIT").arg(self.replicas.required).arg(patience_ms);
        pipeline.query_async(connection).await
    }
}

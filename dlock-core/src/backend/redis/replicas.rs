//! Waiting until replicas acknowledge a grant, before it counts.

use super::keys::{Keys, Naming};
use super::outcome::not_owner;
use super::scripts;
use super::servers::{Asking, Exclusive, Job, Servers, TimedConnection};
use super::wire::Inbox;
use crate::backend::Claim;
use crate::error::{ErrorKind, LockError};
use crate::time::Moment;
use redis::{Cmd, RedisResult};
use std::sync::Arc;
use std::time::Duration;

/// How many replicas must have a lease before it counts, and the connections that ask them.
///
/// `WAIT` waits for the writes of its own connection. The grant may have been written over another connection, that of the
/// releaser. A renewal over this one comes after the grant in the one stream that replicas follow. So a replica that has
/// the renewal has the grant.
pub(super) struct Replicas {
    pub(super) required: usize,
    /// How long they may take.
    pub(super) patience: Duration,
    pub(super) servers: Arc<Servers>,
    pub(super) inbox: Inbox,
    pub(super) naming: Naming,
    pub(super) exclusive: Arc<Exclusive>,
}

impl Replicas {
    /// Renews the owner's lease and has it acknowledged. Until when it is valid then.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if too few replicas did so in time: the lease is as it was, or longer.
    pub(super) async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let (keys, sent) = (self.naming.keys(&claim.key)?, Moment::now());
        let renewal = self.renewal(&keys, claim);
        let (renewed, acknowledged) = self.exclusive.run(&self.servers, keys.lock(), renewal).await?;
        if !renewed {
            return Err(not_owner());
        }
        if acknowledged < self.required {
            return Err(too_few(acknowledged, self.required));
        }
        Ok(claim.ttl.valid_until(sent))
    }

    fn renewal(&self, keys: &Keys, claim: &Claim) -> RenewAndWait {
        let mut renewal = scripts::RENEW.by_text(&[keys.lock()]);
        renewal.arg(self.inbox.owner(claim)).arg(claim.ttl.as_millis());
        RenewAndWait { renewal, required: self.required, patience: self.patience }
    }
}

fn too_few(acknowledged: usize, required: usize) -> LockError {
    let detail = format!(
        "{acknowledged} replicas of the {required} required have acknowledged the lease; check the replicas"
    );
    LockError::new(ErrorKind::Unavailable, detail)
}

struct RenewAndWait {
    renewal: Cmd,
    required: usize,
    patience: Duration,
}

impl Job for RenewAndWait {
    type Output = (bool, usize);

    async fn run(&self, connection: &mut TimedConnection, asking: Asking) -> RedisResult<(bool, usize)> {
        let mut pipeline = asking.pipeline();
        let patience_ms = super::wire::millis(self.patience);
        pipeline.add_command(self.renewal.clone()).cmd("WAIT").arg(self.required).arg(patience_ms);
        pipeline.query_async(connection).await
    }
}

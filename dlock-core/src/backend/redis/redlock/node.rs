//! One of the independent servers.

use super::votes::Vote;
use crate::backend::redis::keys::Keys;
use crate::backend::redis::number::GrantNumber;
use crate::backend::redis::replies::{number, strange};
use crate::backend::redis::script_calls::Calls;
use crate::backend::redis::scripts;
use crate::backend::redis::servers::{Reply, Route};
use crate::error::{ErrorKind, LockError};
use redis::Cmd;
use std::time::Duration;

/// A server that knows nothing of the others.
pub(super) struct RedlockServer {
    pub(super) address: String,
    /// Does not wait for a server that answers "not now": the others are asked as well.
    pub(super) calls: Calls,
}

impl RedlockServer {
    /// Makes sure that there is a connection. If this fails, the request was certainly not sent.
    pub(super) async fn ensure(&self) -> Result<(), LockError> {
        self.calls.servers.ensure().await
    }

    /// Takes the lock here, under a token.
    pub(super) async fn propose(
        &self,
        keys: &Keys,
        owner: &str,
        ttl_ms: u64,
        proposed: GrantNumber,
    ) -> Result<Reply<Vote>, LockError> {
        let arguments = |command: &mut Cmd| _ = command.arg(owner).arg(ttl_ms).arg(proposed.as_u64());
        let ([lock, _, marks], fence) = (keys.all(), keys.fence());
        let Calls { servers, limit, .. } = &self.calls;
        let keys = [lock, &fence, marks];
        let proposed = servers.run::<Vec<i64>>(&Route::Keeper, *limit, &scripts::PROPOSE, &keys, arguments);
        let reply = proposed.await?;
        Ok(Reply { value: vote(&reply.value)?, repeated: reply.repeated })
    }
}

fn vote(reply: &[i64]) -> Result<Vote, LockError> {
    match *reply {
        [1] => Ok(Vote::Agreed),
        [2, last] => Ok(Vote::Outbid(number(last)?)),
        [0, pttl] => Ok(Vote::Held(u64::try_from(pttl).ok().map(Duration::from_millis))),
        [3] => Err(LockError::new(ErrorKind::Lost, "the acquisition was already given up")),
        _ => Err(strange()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_read_and_strange_ones_refused() {
        assert_eq!(vote(&[1]).unwrap(), Vote::Agreed);
        assert_eq!(vote(&[2, 7]).unwrap(), Vote::Outbid(GrantNumber::new(7)));
        assert_eq!(vote(&[0, 5]).unwrap(), Vote::Held(Some(Duration::from_millis(5))));
        assert_eq!(vote(&[0, -1]).unwrap(), Vote::Held(None));
        assert_eq!(vote(&[3]).unwrap_err().kind(), ErrorKind::Lost);
        for strange in [&[][..], &[1, 1], &[2], &[2, -7], &[0], &[4]] {
            assert_eq!(vote(strange).unwrap_err().kind(), ErrorKind::Unsupported, "{strange:?}");
        }
    }
}

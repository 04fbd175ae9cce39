//! Releasing and renewing.

use super::acquisitions::Known;
use super::failure::{classify, lost, not_removable};
use super::locks::ZooKeeperLocks;
use super::path;
use super::recipe::Recipe;
use super::recipe::{order, simple};
use crate::backend::Claim;
use crate::error::LockError;
use crate::time::Moment;
use std::time::Duration;
use zookeeper::Error;

/// Removes whatever the claim's owner has at the servers.
///
/// This makes no connection. A new session could only wait: what the owner's session made goes with that session.
pub(super) async fn release(shared: &ZooKeeperLocks, claim: &Claim) -> Result<(), LockError> {
    let Some(known) = shared.acquisitions.look(claim.owner) else { return Err(lost()) };
    if known.session.is_over() {
        shared.acquisitions.leave(claim.owner);
        return Err(lost());
    }
    match remove(shared, claim, &known).await {
        Ok(was_there) => {
            shared.acquisitions.leave(claim.owner);
            if was_there && known.is_granted { Ok(()) } else { Err(lost()) }
        }
        Err(_) if known.session.is_over() => {
            shared.acquisitions.leave(claim.owner);
            Err(lost())
        }
        Err(cause) => Err(fail(shared, claim, cause)),
    }
}

/// How long at most the servers keep what the claim's owner has, if they hear nothing more of its session.
pub(super) fn longest_lease(shared: &ZooKeeperLocks, claim: &Claim) -> Duration {
    let known = shared.acquisitions.look(claim.owner);
    known.map_or(Duration::ZERO, |known| known.session.longest_silence())
}

/// An error that may pass leaves the entry for the next call (I5).
fn fail(shared: &ZooKeeperLocks, claim: &Claim, cause: Error) -> LockError {
    let error = unconfirmed(cause);
    if !error.kind().is_retryable() {
        shared.acquisitions.leave(claim.owner);
    }
    error
}

/// The error of a removal in a session that is not over. The node blocks the key for as long as the session lives,
/// whatever the `ttl` says. So the removal is repeated until it is confirmed, or the session is over.
fn unconfirmed(cause: Error) -> LockError {
    match cause {
        Error::NoAuth => not_removable(cause),
        cause => classify(cause).until_told_gone(),
    }
}

/// Removes the owner's node. If none is known, it removes all that a search finds. The search comes after every request
/// of the owner that is still under way.
async fn remove(shared: &ZooKeeperLocks, claim: &Claim, known: &Known) -> Result<bool, Error> {
    if shared.settings.recipe() == Recipe::Simple {
        return simple::remove(&shared.acquisitions, claim, &shared.dir(&claim.key), &known.session).await;
    }
    if let Some(node) = &known.node {
        return known.session.leave(node).await;
    }
    let (dir, prefix) = (shared.dir(&claim.key), shared.prefix(claim.owner));
    let children = known.session.list_synced(&dir).await?;
    let mut was_there = false;
    for name in order::of_owner(&children, &prefix) {
        was_there |= known.session.delete(&path::join(&dir, name)).await?;
    }
    Ok(was_there)
}

/// Until when the owner's grant is valid. Usually nothing is sent: the session's heartbeats confirm all of its locks,
/// and its monitor looks for nodes that were removed.
pub(super) async fn renew(shared: &ZooKeeperLocks, claim: &Claim) -> Result<Moment, LockError> {
    let session = shared.acquisitions.granted_by(claim.owner).ok_or_else(lost)?;
    session.confirmed().await.map_err(classify)?.ok_or_else(lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_removal_that_may_still_succeed_is_not_given_up_with_the_lease() {
        for cause in [Error::ConnectionLoss, Error::Timeout] {
            let error = unconfirmed(cause);
            assert!(error.kind() == ErrorKind::Unavailable && error.outlives_the_lease(), "{error}");
        }
        assert_eq!(unconfirmed(Error::NoAuth).kind(), ErrorKind::Auth);
    }
}

//! Asking a holder to let go, as Curator does: `__REVOKE__` is written into the data of its node.

use super::failure::{classify, unavailable};
use super::label::REQUEST;
use super::locks::ZooKeeperLocks;
use super::path;
use super::recipe::Recipe;
use super::recipe::{order, simple};
use super::session::requests::Session;
use crate::backend::Claim;
use crate::error::{ErrorKind, LockError};
use crate::key::LockKey;
use crate::time::{Backoff, sleep};
use std::time::Duration;
use zookeeper::Error;

/// Whether a node with this data is asked for. The simple recipe keeps the owner's mark behind the request.
fn is_request(data: &[u8]) -> bool {
    data.starts_with(REQUEST)
}

/// Waits until the claim's owner is asked to let go. Never ends once the owner has no grant: its guard learns of that in
/// other ways.
pub(super) async fn requested(shared: &ZooKeeperLocks, claim: &Claim) {
    let mut pauses = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    while let Some((session, node)) = shared.acquisitions.granted(claim.owner) {
        match session.look_and_watch(&node.path).await {
            Ok(Some((seen, _))) if seen.stat.czxid == node.created && is_request(&seen.data) => return,
            Ok(Some((seen, Some(mut watch)))) if seen.stat.czxid == node.created => watch.fired().await,
            Ok(_) => break,
            Err(_) => {
                sleep(pauses.next_pause()).await;
                session.settled().await;
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Asks the present holder of `key`.
pub(super) async fn ask(shared: &ZooKeeperLocks, key: &LockKey) -> Result<(), LockError> {
    let session = shared.sessions.current().await?;
    let dir = shared.dir(key);
    for _ in 0..MOST_ATTEMPTS {
        let Some((holder, data)) = find(shared, &session, &dir).await? else { return Err(nobody()) };
        match session.set_data(&holder, &data).await {
            // It has let go meanwhile, and the next one may hold the lock.
            Err(Error::NoNode) => {}
            outcome => return outcome.map_err(classify),
        }
    }
    Err(unavailable("the lock changed hands as often as its holder was asked; try again later"))
}

const MOST_ATTEMPTS: u32 = 10;

/// The node of the present holder, and what is to be written there.
async fn find(
    shared: &ZooKeeperLocks,
    session: &Session,
    dir: &str,
) -> Result<Option<(String, Vec<u8>)>, LockError> {
    match shared.settings.recipe() {
        Recipe::Sequential => {
            let children = session.list_synced(dir).await.map_err(classify)?;
            Ok(order::first(&children).map(|name| (path::join(dir, name), REQUEST.to_vec())))
        }
        Recipe::Simple => {
            let Some(seen) = session.look_synced(dir).await.map_err(classify)? else { return Ok(None) };
            if seen.stat.ephemeral_owner == 0 {
                return Err(simple::not_simple());
            }
            let mark = seen.data.strip_prefix(REQUEST).unwrap_or(&seen.data);
            Ok(Some((dir.to_owned(), [REQUEST, mark].concat())))
        }
    }
}

fn nobody() -> LockError {
    LockError::new(ErrorKind::NotHeld, "no client holds the lock, so there is no holder to ask")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_beginning() {
        assert!(is_request(b"__REVOKE__") && is_request(b"__REVOKE__0123"));
        assert!(!is_request(b"") && !is_request(b"__REVOKE") && !is_request(b"x__REVOKE__"));
    }
}

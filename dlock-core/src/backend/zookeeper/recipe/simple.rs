//! The simple recipe: one ephemeral node for each key. Its maker has the lock.
//!
//! The path is the same for all acquisitions. So a node belongs to an owner only if its session made it *and* the
//! node's data names the owner. It is removed without a look only if it cannot be another owner's: by the first request
//! of the release of a grant that was not lost.

use crate::backend::answers::busy;
use crate::backend::zookeeper::acquire::{Acquire, MOST_ATTEMPTS};
use crate::backend::zookeeper::acquisitions::{Acquisitions, Release};
use crate::backend::zookeeper::failure::{classify, unavailable};
use crate::backend::zookeeper::label;
use crate::backend::zookeeper::node::LockNode;
use crate::backend::zookeeper::session::liveness::Link;
use crate::backend::zookeeper::session::requests::{Seen, Session};
use crate::backend::zookeeper::session::watch::NodeWatch;
use crate::backend::{Claim, Mode};
use crate::error::{ErrorKind, LockError};
use crate::lease::OwnerId;
use std::sync::Arc;
use tokio::sync::watch::Receiver;
use zookeeper::Error;

/// What the node of `owner` has as its data.
fn mark(owner: OwnerId) -> String {
    format!("{:032x}", owner.as_u128())
}

/// Whose the node is that stands in the way.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// This owner's own, by an earlier request.
    Own,
    /// The node of another owner, or of this owner by an earlier session. The latter goes with its session, and must
    /// not be removed by its path: when the request arrives, the node may have gone, and the path may belong to another
    /// owner (I8).
    Other,
    /// It is no lock: a directory, perhaps that of the other recipe.
    Nobody,
}

fn whose(seen: &Seen, session: i64, owner: OwnerId) -> Whose {
    match seen.stat.ephemeral_owner {
        0 => Whose::Nobody,
        // A label stands before the mark, and so does what asks the holder to let go.
        maker if maker == session && seen.data.ends_with(mark(owner).as_bytes()) => Whose::Own,
        _ => Whose::Other,
    }
}

impl Acquire<'_> {
    /// Makes the node, once there is none.
    pub(crate) async fn take(&self, session: &Arc<Session>) -> Result<LockNode, LockError> {
        let mut link = session.link();
        if let Some(node) = self.find_own(session).await.map_err(classify)? {
            return Ok(node);
        }
        self.shared.acquisitions.enter(self.owner(), session);
        let mut attempts = 0;
        let data = label::before_mark(self.request.claim.label.as_ref(), &mark(self.owner()));
        while attempts < MOST_ATTEMPTS {
            match session.create_plain(&self.dir, &data).await {
                Ok(node) => return Ok(self.placed(node)),
                Err(Error::NoNode) => session.make_base(self.shared.base()).await.map_err(classify)?,
                Err(Error::NodeExists) => match self.give_way(session, &mut link).await? {
                    Some(node) => return Ok(self.placed(node)),
                    // A waiter may be too late as often as there are others.
                    None if self.request.mode == Mode::Wait => continue,
                    None => {}
                },
                Err(cause) => return Err(classify(cause)),
            }
            attempts += 1;
        }
        Err(unavailable("the node or its root was removed as often as it was looked for; try again later"))
    }

    fn placed(&self, node: LockNode) -> LockNode {
        self.shared.acquisitions.place(self.owner(), Some(&node));
        node
    }

    /// Finds the node that an earlier request of this owner may have made (I5).
    async fn find_own(&self, session: &Arc<Session>) -> Result<Option<LockNode>, Error> {
        if !self.shared.acquisitions.knows(self.owner()) {
            return Ok(None);
        }
        let own = own_node(session, &self.dir, self.owner()).await?;
        self.shared.acquisitions.enter(self.owner(), session);
        self.shared.acquisitions.place(self.owner(), own.as_ref());
        Ok(own)
    }

    /// Waits for the node that is in the way to change, or answers a try. The owner's own node is given back.
    async fn give_way(
        &self,
        session: &Session,
        link: &mut Receiver<Link>,
    ) -> Result<Option<LockNode>, LockError> {
        let looked = match self.request.mode {
            Mode::Try => session.look(&self.dir).await.map(|seen| seen.map(|seen| (seen, None))),
            Mode::Wait => session.look_and_watch(&self.dir).await,
        };
        let Some((seen, watch)) = looked.map_err(classify)? else { return Ok(None) };
        match (whose(&seen, session.id(), self.owner()), watch) {
            (Whose::Own, _) => Ok(Some(LockNode { path: self.dir.clone(), created: seen.stat.czxid })),
            (Whose::Nobody, _) => Err(self.leave_with(not_simple())),
            (Whose::Other, None) => Err(self.leave_with(busy())),
            (Whose::Other, Some(watch)) => {
                self.wait_out(watch, link).await;
                Ok(None)
            }
        }
    }

    /// The node belonged to another owner, so this owner has none, and no request of it is under way.
    fn leave_with(&self, error: LockError) -> LockError {
        self.shared.acquisitions.leave(self.owner());
        error
    }

    async fn wait_out(&self, mut watch: NodeWatch, link: &mut Receiver<Link>) {
        self.request.progress.queued();
        tokio::select! {
            () = watch.fired() => {}
            () = self.link_back(link) => {}
        }
    }
}

/// The node at `path`, if it is the owner's own in this session.
async fn own_node(session: &Session, path: &str, owner: OwnerId) -> Result<Option<LockNode>, Error> {
    let seen = session.look_synced(path).await?;
    let own = seen.filter(|seen| whose(seen, session.id(), owner) == Whose::Own);
    Ok(own.map(|seen| LockNode { path: path.to_owned(), created: seen.stat.czxid }))
}

/// Removes the owner's node. The first request, for a grant that is not lost, needs no look. A later one does: the
/// first may have been carried out, and the node may belong to another owner by now (I8). One session's requests keep
/// their order. So a node that the look finds to be the owner's stays so until the next request removes it.
pub(crate) async fn remove(
    acquisitions: &Acquisitions,
    claim: &Claim,
    path: &str,
    session: &Session,
) -> Result<bool, Error> {
    let node = match acquisitions.begin_release(claim.owner) {
        Release::First(node) => Some(node),
        Release::Again(node) => {
            session.look_synced(path).await?.filter(|seen| seen.stat.czxid == node.created).map(|_| node)
        }
        Release::Unknown => own_node(session, path, claim.owner).await?,
    };
    match node {
        Some(node) => session.delete(&node.path).await,
        None => Ok(false),
    }
}

pub(crate) fn not_simple() -> LockError {
    LockError::new(
        ErrorKind::Corrupt,
        "a node that is not a lock stands at the key's path, perhaps the directory of a lock with \
         Recipe::Sequential; use one recipe for one key, or another root",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use zookeeper::Stat;

    fn seen(data: &str, maker: i64) -> Seen {
        let stat = Stat {
            czxid: 1,
            mzxid: 1,
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: maker,
            data_length: 0,
            num_children: 0,
            pzxid: 1,
        };
        Seen { data: data.as_bytes().to_vec(), stat }
    }

    #[test]
    fn a_node_is_an_owner_s_own_by_its_session_and_its_data() {
        let [owner, other] = [(); 2].map(|()| OwnerId::random().unwrap());
        assert_eq!(whose(&seen(&mark(owner), 7), 7, owner), Whose::Own);
        assert_eq!(whose(&seen(&mark(owner), 8), 7, owner), Whose::Other, "of another session");
        assert_eq!(whose(&seen(&mark(other), 7), 7, owner), Whose::Other, "of the same process");
        assert_eq!(whose(&seen("", 7), 7, owner), Whose::Other);
        assert_eq!(whose(&seen(&format!("__REVOKE__{}", mark(owner)), 7), 7, owner), Whose::Own);
        assert_eq!(whose(&seen("", 0), 7, owner), Whose::Nobody);
        assert_eq!(whose(&seen(&mark(owner), 0), 7, owner), Whose::Nobody);
    }
}

//! Looking at the locks of ZooKeeper from outside.

use super::backend::ZooKeeperBackend;
use super::failure::classify;
use super::locks::ZooKeeperLocks;
use super::recipe::token::{BLOCK, first_token};
use super::recipe::{Recipe, order, simple};
use super::session::requests::{Seen, Session};
use super::{label, path};
use crate::backend::listing::page_of;
use crate::backend::{
    Admin, BackendFuture, Claim, ClientKind, ForcedRelease, HolderView, Inspection, ListCursor, ListedLock,
    LockPage, Reopening, Share, WaiterView, admin,
};
use crate::error::{ErrorKind, LockError};
use crate::keeper::shielded;
use crate::key::LockKey;
use crate::label::Label;
use crate::lease::{FencingToken, OwnerId};
use crate::time::unix_time;
use futures_util::future::try_join_all;
use std::time::Duration;
use zookeeper::Error;

/// How many nodes are read at most: each is a request of its own.
const MOST_NAMED: usize = 100;

impl Admin for ZooKeeperBackend {
    fn inspect<'a>(&'a self, key: &'a LockKey, asker: Option<&'a Claim>) -> BackendFuture<'a, Inspection> {
        Box::pin(shielded(async move {
            let seen = inspect(self.locks(), key, asker.map(|claim| claim.owner)).await;
            seen.map_err(|error| error.with_server(self.locks().settings.hosts()))
        }))
    }

    fn list<'a>(&'a self, prefix: &'a [u8], from: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage> {
        Box::pin(shielded(async move {
            let page = list(self.locks(), prefix, from).await;
            page.map_err(|error| error.with_server(self.locks().settings.hosts()))
        }))
    }

    fn force_release<'a>(
        &'a self,
        key: &'a LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> BackendFuture<'a, ForcedRelease> {
        Box::pin(shielded(async move {
            let forced = force_release(self.locks(), key, token, reopening).await;
            forced.map_err(|error| error.with_server(self.locks().settings.hosts()))
        }))
    }
}

async fn inspect(
    shared: &ZooKeeperLocks,
    key: &LockKey,
    asker: Option<OwnerId>,
) -> Result<Inspection, LockError> {
    shared.check(key)?;
    let session = shared.sessions.current().await?;
    match shared.settings.recipe() {
        Recipe::Sequential => in_queue(shared, &session, &shared.dir(key), asker).await,
        Recipe::Simple => at_node(&session, &shared.dir(key)).await,
    }
}

/// The directories of some keys, in the order of the keys.
async fn list(
    shared: &ZooKeeperLocks,
    prefix: &[u8],
    from: Option<&ListCursor>,
) -> Result<LockPage, LockError> {
    let session = shared.sessions.current().await?;
    let names = session.list_synced(shared.base()).await.map_err(classify)?;
    let (keys, has_more) = page_of(names.iter().filter_map(|name| path::bytes_of(name)), prefix, from);
    let listed = try_join_all(keys.iter().map(|key| listed(shared, &session, key))).await?;
    let next = keys.last().filter(|_| has_more).map(|key| ListCursor::new(key.as_slice()));
    Ok(LockPage::new(listed.into_iter().flatten().collect(), next))
}

/// The lock on a key that has a node, if it is held. The directory of a namespace is none.
async fn listed(
    shared: &ZooKeeperLocks,
    session: &Session,
    key: &[u8],
) -> Result<Option<ListedLock>, LockError> {
    let Ok(key) = LockKey::new(key) else { return Ok(None) };
    let dir = shared.dir(&key);
    let holder = match shared.settings.recipe() {
        Recipe::Sequential => first_holder(session, &dir).await.map_err(classify)?,
        Recipe::Simple => {
            let seen = session.look(&dir).await.map_err(classify)?;
            seen.filter(|seen| seen.stat.ephemeral_owner != 0).map(|seen| simple_node(&seen))
        }
    };
    Ok(holder.map(|node| ListedLock::new(key, node.holder())))
}

/// The first node of a queue that is still there when it is read.
async fn first_holder(session: &Session, dir: &str) -> Result<Option<SeenNode>, Error> {
    let children = match session.list(dir).await {
        Err(Error::NoNode) => return Ok(None),
        children => children?,
    };
    for name in order::in_order(&children) {
        if let Some(node) = node(session, dir, name).await? {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

/// Removes the holder's node. No other node has its path, so what is removed is what was looked at.
async fn force_release(
    shared: &ZooKeeperLocks,
    key: &LockKey,
    token: FencingToken,
    reopening: Reopening,
) -> Result<ForcedRelease, LockError> {
    check_force(shared, reopening)?;
    shared.check(key)?;
    let (session, dir) = (shared.sessions.current().await?, shared.dir(key));
    let children = session.list_synced(&dir).await.map_err(classify)?;
    let first =
        order::first(&children).map(|name| path::join(&dir, name)).ok_or_else(admin::not_held_under_it)?;
    let seen = session.look(&first).await.map_err(classify)?;
    let created = seen.map(|seen| seen.stat.czxid).filter(|created| is_of(*created, token));
    let fence = created.and_then(|created| first_token(created.checked_add(1)?));
    let fence = fence.ok_or_else(admin::not_held_under_it)?;
    match session.delete(&first).await.map_err(classify)? {
        true => Ok(ForcedRelease::new(fence, Duration::ZERO)),
        false => Err(admin::not_held_under_it()),
    }
}

fn check_force(shared: &ZooKeeperLocks, reopening: Reopening) -> Result<(), LockError> {
    let unsupported = |detail| Err(LockError::new(ErrorKind::Unsupported, detail));
    match (shared.settings.recipe(), reopening) {
        (Recipe::Simple, _) => unsupported(
            "with Recipe::Simple the next holder's node has the path of this one's, so it could be the one that is removed; \
             end the holder's process",
        ),
        (Recipe::Sequential, Reopening::Confirmed) => unsupported(
            "a holder on ZooKeeper cannot confirm that its guard is over while its node is there; ask it to let go by \
             ZooKeeperBackend::revoke, end its process, or use force_release_now and a fence",
        ),
        (Recipe::Sequential, Reopening::Now) => Ok(()),
    }
}

/// Whether this token is one of those of the node that this transaction made.
fn is_of(created: i64, token: FencingToken) -> bool {
    first_token(created)
        .is_some_and(|first| first.as_u64() / u64::from(BLOCK) == token.as_u64() / u64::from(BLOCK))
}

/// The nodes of a queue. With an asker only the holder, and where the asker stands.
async fn in_queue(
    shared: &ZooKeeperLocks,
    session: &Session,
    dir: &str,
    asker: Option<OwnerId>,
) -> Result<Inspection, LockError> {
    let children = session.list_synced(dir).await.map_err(classify)?;
    let contenders = order::in_order(&children);
    let most = if asker.is_some() { 1 } else { MOST_NAMED + 1 };
    let nodes = contenders.iter().take(most).map(|name| node(session, dir, name));
    let nodes = try_join_all(nodes).await.map_err(classify)?;
    let place = asker.map(|owner| shared.prefix(owner));
    let place = place.and_then(|prefix| contenders.iter().position(|name| name.starts_with(&prefix)));
    // A node that went meanwhile was read as none, and what was behind it has moved up.
    let mut there = nodes.into_iter().flatten();
    Ok(Inspection {
        holders: there.next().map(SeenNode::holder).into_iter().collect(),
        waiters: there.map(SeenNode::waiter).collect(),
        place: place.filter(|place| *place > 0),
    })
}

async fn node(session: &Session, dir: &str, name: &str) -> Result<Option<SeenNode>, Error> {
    let seen = session.look(&path::join(dir, name)).await?;
    Ok(seen.map(|seen| SeenNode::new(label::read(&seen.data), &seen)))
}

/// The one node of the simple recipe. Its waiters stand nowhere.
async fn at_node(session: &Session, path: &str) -> Result<Inspection, LockError> {
    match session.look_synced(path).await.map_err(classify)? {
        Some(seen) if seen.stat.ephemeral_owner == 0 => Err(simple::not_simple()),
        Some(seen) => Ok(Inspection { holders: vec![simple_node(&seen).holder()], ..Inspection::default() }),
        None => Ok(Inspection::default()),
    }
}

fn simple_node(seen: &Seen) -> SeenNode {
    SeenNode::new(label::read_before_mark(&seen.data), seen)
}

/// What others may see of a node.
struct SeenNode {
    label: Option<Label>,
    created: i64,
    age: Duration,
}

impl SeenNode {
    fn new(label: Option<Label>, seen: &Seen) -> Self {
        let asked = Duration::from_millis(u64::try_from(seen.stat.ctime).unwrap_or_default());
        Self { label, created: seen.stat.czxid, age: unix_time().saturating_sub(asked) }
    }

    fn holder(self) -> HolderView {
        HolderView {
            label: self.label,
            share: Share::All,
            token: first_token(self.created),
            tokens: BLOCK,
            held_for: Some(self.age),
            remaining: None,
            client: ClientKind::Unknown,
            is_taken_away: false,
        }
    }

    fn waiter(self) -> WaiterView {
        WaiterView {
            label: self.label,
            share: Share::All,
            waiting_for: Some(self.age),
            client: ClientKind::Unknown,
        }
    }
}

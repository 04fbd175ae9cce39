//! Acquiring: a node at the end of the queue, and waiting until it is the first.

use super::failure::{classify, unavailable};
use super::locks::ZooKeeperLocks;
use super::node::LockNode;
use super::path;
use super::recipe::Recipe;
use super::recipe::order::{self, Position};
use super::recipe::sequence::{self, NumbersLeft};
use super::recipe::token::{BLOCK, first_token};
use super::session::liveness::Link;
use super::session::requests::Session;
use super::session::transactions::Enqueued;
use crate::backend::answers::busy;
use crate::backend::{AcquireRequest, Grant, Mode};
use crate::error::{ErrorKind, LockError};
use crate::label::Label;
use crate::lease::OwnerId;
use crate::time::{Backoff, Moment, sleep, within};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use zookeeper::Error;

/// One acquire. All that it has made is noted in [`Acquisitions`](super::acquisitions::Acquisitions), so it may be
/// dropped at any await (I4).
pub(super) struct Acquire<'a> {
    pub(super) shared: &'a ZooKeeperLocks,
    pub(super) request: &'a AcquireRequest,
    /// Where the key's nodes are: its directory, or with the simple recipe the node itself.
    pub(super) dir: String,
    prefix: String,
}

/// A place in the queue, and where that is, if it is known.
struct QueuedNode {
    node: LockNode,
    position: Option<Position>,
}

impl<'a> Acquire<'a> {
    pub(super) fn new(shared: &'a ZooKeeperLocks, request: &'a AcquireRequest) -> Self {
        let dir = shared.dir(&request.claim.key);
        Self { shared, request, dir, prefix: shared.prefix(request.claim.owner) }
    }

    pub(super) fn owner(&self) -> OwnerId {
        self.request.claim.owner
    }

    /// What the owner's node is called, and what the owner calls itself.
    fn name(&self) -> (&str, Option<&Label>) {
        (&self.prefix, self.request.claim.label.as_ref())
    }

    /// Tries once, or waits through everything that may pass.
    pub(super) async fn run(&self) -> Result<Grant, LockError> {
        self.start().await?;
        let mut pauses = failure_pauses();
        loop {
            let begun = Moment::now();
            let error = match self.attempt().await {
                Err(error) if self.may_pass(&error) => error,
                outcome => return outcome,
            };
            if Moment::now().since(begun) > LONGEST_PAUSE {
                pauses.reset();
            }
            sleep(self.request.progress.ask_again(error, &mut pauses)?).await;
            if let Some(session) = self.shared.sessions.live() {
                session.settled().await;
            }
        }
    }

    /// A try does not wait for the first connection longer than for any other answer.
    async fn start(&self) -> Result<(), LockError> {
        let started = self.shared.start.before(self.request);
        match self.request.mode {
            Mode::Wait => started.await,
            Mode::Try => {
                let limit = self.shared.settings.request_timeout();
                within(limit, started).await.unwrap_or_else(|| Err(classify(Error::Timeout).unsent()))
            }
        }
    }

    fn may_pass(&self, error: &LockError) -> bool {
        self.request.mode == Mode::Wait && error.kind() == ErrorKind::Unavailable
    }

    /// One pass, from the session to the grant. After an error the next pass takes up what this one has left.
    async fn attempt(&self) -> Result<Grant, LockError> {
        let session = self.session().await?;
        let node = match self.shared.settings.recipe() {
            Recipe::Sequential => self.queue(&session).await?,
            Recipe::Simple => self.take(&session).await?,
        };
        self.grant(&session, &node).await
    }

    /// Takes a place in the queue, and waits until it is the first.
    async fn queue(&self, session: &Arc<Session>) -> Result<LockNode, LockError> {
        let place = match self.adopt(session).await.map_err(classify)? {
            Some(place) => place,
            None => self.enqueue(session).await?,
        };
        let node = place.node.clone();
        self.check_sequence(session, &node).await?;
        self.take_turn(session, place).await?;
        Ok(node)
    }

    /// A try does not wait for a connection longer than for any other answer.
    async fn session(&self) -> Result<Arc<Session>, LockError> {
        let session = self.shared.sessions.current();
        match self.request.mode {
            Mode::Wait => session.await,
            Mode::Try => {
                let limit = self.shared.settings.request_timeout();
                within(limit, session).await.unwrap_or_else(|| Err(classify(Error::Timeout)))
            }
        }
    }

    /// Finds the node that an earlier request of this owner may have made (I5). Without an entry there was none. A node
    /// that another session made is as good as gone. It is removed, so that no waiter waits for it.
    async fn adopt(&self, session: &Arc<Session>) -> Result<Option<QueuedNode>, Error> {
        if !self.shared.acquisitions.knows(self.owner()) {
            return Ok(None);
        }
        let children = session.list_synced(&self.dir).await?;
        let mut own = None;
        for name in order::of_owner(&children, &self.prefix) {
            let path = path::join(&self.dir, name);
            match session.stat(&path).await? {
                Some(stat) if session.owns(&stat) && own.is_none() => {
                    own = Some(LockNode { path, created: stat.czxid });
                }
                Some(_) => drop(session.delete(&path).await?),
                None => {}
            }
        }
        self.shared.acquisitions.enter(self.owner(), session);
        self.shared.acquisitions.place(self.owner(), own.as_ref());
        Ok(own.map(|node| QueuedNode { position: Some(self.position(&node, &children)), node }))
    }

    /// Makes a node, and the directory if there is none.
    async fn enqueue(&self, session: &Arc<Session>) -> Result<QueuedNode, LockError> {
        self.shared.acquisitions.enter(self.owner(), session);
        for attempt in 0..MOST_ATTEMPTS {
            match session.enqueue(&self.dir, self.name(), attempt > 0).await {
                Ok(Enqueued { node, is_alone }) => {
                    self.shared.acquisitions.place(self.owner(), Some(&node));
                    return Ok(QueuedNode { node, position: is_alone.then_some(Position::First) });
                }
                Err(Error::NoNode) if attempt == 0 => {}
                Err(Error::NoNode) => session.make_base(self.shared.base()).await.map_err(classify)?,
                Err(cause) => return Err(classify(cause)),
            }
        }
        Err(unavailable("the lock's directory was removed as often as it was made; try again later"))
    }

    /// Refuses before the numbers end. After that two nodes could have one number, and two acquisitions the lock.
    async fn check_sequence(&self, session: &Session, node: &LockNode) -> Result<(), LockError> {
        match sequence::left_after(node.name().strip_prefix(&self.prefix).unwrap_or_default()) {
            NumbersLeft::Plenty => Ok(()),
            NumbersLeft::Half => {
                self.shared.note_half_used(&self.request.claim.key);
                Ok(())
            }
            NumbersLeft::Nothing => {
                self.give_up_place(session, node).await.map_err(classify)?;
                Err(sequence_exhausted())
            }
        }
    }

    /// Waits until the node is the first. If more than one node was ahead, the queue is read again after every wake-up:
    /// this node need not be the first because the node ahead is gone (I1).
    async fn take_turn(&self, session: &Session, place: QueuedNode) -> Result<(), LockError> {
        let QueuedNode { node, mut position } = place;
        let mut link = session.link();
        loop {
            let (ahead, is_next) = match position.take() {
                None => {
                    position = Some(self.position(&node, &session.list(&self.dir).await.map_err(classify)?));
                    continue;
                }
                Some(Position::First) => return Ok(()),
                Some(Position::Gone) => return Err(self.node_gone()),
                Some(Position::Behind { .. }) if self.request.mode == Mode::Try => {
                    return Err(self.step_back(session, &node).await);
                }
                Some(Position::Behind { nearest, is_next }) => (path::join(&self.dir, &nearest), is_next),
            };
            self.request.progress.queued();
            if is_next {
                match self.wait_next(session, &node, &ahead, &mut link).await.map_err(classify)? {
                    Some(true) => return Ok(()),
                    Some(false) => continue,
                    None => {}
                }
            }
            self.wait_for(session, &ahead, &mut link).await.map_err(classify)?;
        }
    }

    fn position(&self, node: &LockNode, children: &[String]) -> Position {
        self.shared.note_strangers(children);
        order::position(children, node.name())
    }

    /// The node was removed by hand, or the session is over. Nothing is left to adopt, so there will be a new one.
    fn node_gone(&self) -> LockError {
        self.shared.acquisitions.place(self.owner(), None);
        unavailable("the node in the queue was removed; it takes a new place")
    }

    /// Leaves the queue and answers a try. It answers busy only if certainly nothing is left.
    async fn step_back(&self, session: &Session, node: &LockNode) -> LockError {
        match self.give_up_place(session, node).await {
            Ok(()) => busy(),
            Err(cause) => classify(cause),
        }
    }

    async fn give_up_place(&self, session: &Session, node: &LockNode) -> Result<(), Error> {
        session.leave(node).await?;
        self.shared.acquisitions.leave(self.owner());
        Ok(())
    }

    /// Waits until the node ahead changes or goes, or the link comes back: one waiter per node (I6).
    async fn wait_for(&self, session: &Session, ahead: &str, link: &mut Receiver<Link>) -> Result<(), Error> {
        if self.is_own(ahead) {
            // A node of this owner itself, which an earlier search missed. The owner would wait for itself.
            return session.delete(ahead).await.map(drop);
        }
        let mut watch = match session.watch(ahead).await {
            Err(Error::NoNode) => return Ok(()),
            watch => watch?,
        };
        tokio::select! {
            () = watch.fired() => {}
            () = self.link_back(link) => {}
        }
        Ok(())
    }

    /// Waits as the second in the queue. Returns whether the node is certainly the first now: a lower number cannot
    /// come. `None` if the nodes cannot be watched.
    async fn wait_next(
        &self,
        session: &Session,
        node: &LockNode,
        ahead: &str,
        link: &mut Receiver<Link>,
    ) -> Result<Option<bool>, Error> {
        if self.is_own(ahead) {
            return Ok(None);
        }
        let Some(turn) = session.watch_turn(&node.path, ahead).await? else { return Ok(None) };
        tokio::select! {
            is_first = turn.come() => Ok(Some(is_first)),
            () = self.link_back(link) => Ok(Some(false)),
        }
    }

    /// Whether the node at this path is one that an earlier request of this owner made.
    fn is_own(&self, node: &str) -> bool {
        node.rsplit_once('/').is_some_and(|(_, name)| name.starts_with(&self.prefix))
    }

    /// Waits until a lost connection is there again, or the session is over.
    pub(super) async fn link_back(&self, link: &mut Receiver<Link>) {
        while link.changed().await.is_ok() {
            if *link.borrow_and_update() != Link::Down {
                return;
            }
            self.request
                .progress
                .failing(unavailable("the connection to the servers is lost for the moment"));
        }
    }

    /// Gives the grant, if the session is certainly alive. The grant is entered before the session is checked for the
    /// last time. So a session that ends meanwhile is either noticed here, or finds the grant in the table (I1).
    async fn grant(&self, session: &Session, node: &LockNode) -> Result<Grant, LockError> {
        let token = first_token(node.created).ok_or_else(no_token)?;
        session.confirmed().await.map_err(classify)?.ok_or_else(session_ended)?;
        self.shared.acquisitions.grant(self.owner(), self.request.loss());
        session.pass_doubt_on(self.request.loss());
        match session.valid_until() {
            Some(valid_until) => Ok(Grant::new(token, valid_until).with_tokens(BLOCK)),
            None => Err(session_ended()),
        }
    }
}

fn session_ended() -> LockError {
    unavailable("the session ended; it takes a new place in the queue")
}

fn sequence_exhausted() -> LockError {
    LockError::new(
        ErrorKind::SequenceExhausted,
        "the key's directory has given out nearly all of its 2^31 numbers; stop all use of the key until the servers \
         have removed the empty directory, or remove it by hand: then the numbers start again",
    )
}

/// How often a directory is made again after an operator, or the servers themselves, removed it.
pub(super) const MOST_ATTEMPTS: u32 = 10;

const LONGEST_PAUSE: Duration = Duration::from_secs(2);

fn failure_pauses() -> Backoff {
    Backoff::new(Duration::from_millis(50), LONGEST_PAUSE)
}

fn no_token() -> LockError {
    LockError::new(
        ErrorKind::Unsupported,
        "the server does not say which transaction made a node; use ZooKeeper 3.5 or newer",
    )
}

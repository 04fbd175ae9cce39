//! One session with the servers, and the requests that go through it.

use super::abilities::{Abilities, Ability};
use super::liveness::{Link, Liveness};
use super::predecessor::PredecessorWatch;
use super::transactions::{Enqueued, Write, unasked};
use super::watch::{Budget, NodeWatch};
use super::writer::{WriteOutcome, Writer};
use crate::backend::LossSignal;
use crate::backend::zookeeper::config::settings::Settings;
use crate::backend::zookeeper::node::LockNode;
use crate::keeper::{Background, Keeper};
use crate::label::Label;
use crate::time::{Moment, within};
use futures_util::future::{OptionFuture, join};
use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio_util::task::AbortOnDropHandle;
use zookeeper::{Client, CreateMode, Error, SessionState, Stat};

/// A session, from its connect to its end. Dropping it ends it, and with it every node it made.
///
/// Every request is bounded by the request timeout, since without a connection the client keeps requests back for
/// longer than a session lasts. A request that timed out may still be carried out, but before any later one of the same
/// session.
pub(crate) struct Session {
    number: u64,
    client: Client,
    liveness: Arc<Liveness>,
    settings: Arc<Settings>,
    keeper: &'static Keeper,
    /// Tells callers.
    background: Background,
    watches: Arc<Budget>,
    writer: Arc<Writer>,
    abilities: Arc<Abilities>,
    _monitor: AbortOnDropHandle<()>,
    /// The task that sends what is written.
    writing: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// A node, as a request found it.
pub(crate) struct Seen {
    pub(crate) data: Vec<u8>,
    pub(crate) stat: Stat,
}

impl Seen {
    /// A node of which only the stat may be known.
    fn from_outside(stat: Stat) -> Self {
        Self { data: Vec::new(), stat }
    }

    /// A node that exists, but of which the servers tell this account nothing: it belongs to another account.
    fn hidden() -> Self {
        let (unknown, owner) = (-1, -1);
        Self::from_outside(Stat {
            czxid: unknown,
            mzxid: unknown,
            pzxid: unknown,
            ctime: unknown,
            mtime: unknown,
            version: -1,
            cversion: -1,
            aversion: -1,
            ephemeral_owner: owner,
            data_length: 0,
            num_children: 0,
        })
    }
}

impl Session {
    /// A session over `client`, which `monitor` looks after.
    pub(super) fn new(
        number: u64,
        client: Client,
        liveness: Arc<Liveness>,
        (settings, abilities): (Arc<Settings>, Arc<Abilities>),
        (keeper, background): (&'static Keeper, Background),
        monitor: AbortOnDropHandle<()>,
    ) -> Self {
        let writer = Arc::new(Writer::new(client.clone(), Arc::clone(&settings), Arc::clone(&liveness)));
        Self {
            number,
            client,
            liveness,
            settings,
            keeper,
            background,
            watches: Arc::default(),
            writer,
            abilities,
            _monitor: monitor,
            writing: Mutex::default(),
        }
    }

    /// Tells the sessions of one backend value apart.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn is_over(&self) -> bool {
        self.liveness.is_over()
    }

    /// How long at most the servers keep the session, if they hear nothing more of it.
    pub(crate) fn longest_silence(&self) -> Duration {
        self.liveness.longest_silence()
    }

    /// Tells a grant that was just entered if the session is in doubt. The keeper looks again: the doubt may be over by
    /// the time it is told.
    pub(crate) fn pass_doubt_on(&self, grant: LossSignal) {
        if self.liveness.is_doubted() {
            grant.doubt();
            let liveness = Arc::clone(&self.liveness);
            self.background.detach(async move { liveness.pass_doubt_on(&grant) });
        }
    }

    pub(crate) fn link(&self) -> Receiver<Link> {
        self.liveness.link()
    }

    /// Waits until a server answers, or the session is over.
    pub(crate) async fn settled(&self) {
        self.liveness.settled().await;
    }

    /// Until when grants of this session are valid. `None` if it is over.
    pub(crate) fn valid_until(&self) -> Option<Moment> {
        let valid_until = self.liveness.valid_until();
        (!self.is_over()).then_some(valid_until)
    }

    /// Until when grants of this session are valid, after a heartbeat if the last one is old. `None` if the session is
    /// over.
    pub(crate) async fn confirmed(&self) -> Result<Option<Moment>, Error> {
        self.within(self.liveness.confirmed()).await
    }

    /// Its number with the servers.
    pub(crate) fn id(&self) -> i64 {
        self.client.session_id().0
    }

    /// Whether the node with this stat belongs to this session.
    pub(crate) fn owns(&self, stat: &Stat) -> bool {
        stat.ephemeral_owner == self.id()
    }

    /// Makes a node at the end of the queue in `dir`, named and labelled, and before it the directory if it may not be
    /// there.
    pub(crate) async fn enqueue(
        &self,
        dir: &str,
        (prefix, label): (&str, Option<&Label>),
        make_dir: bool,
    ) -> Result<Enqueued, Error> {
        let made =
            make_dir.then(|| self.client.create(dir, &[], &self.settings.dir_options(self.dir_mode())));
        let (dir, prefix, label) = (dir.to_owned(), prefix.to_owned(), label.cloned());
        let written = self.write(Write::Enqueue { dir, prefix, label });
        let (made, written) = self.within(join(OptionFuture::from(made), written)).await?;
        match (written, self.check_made(made)) {
            (Ok(enqueued), _) => enqueued.ok_or_else(unasked),
            (Err(_), Err(cause)) => Err(cause),
            (Err(cause), Ok(())) => Err(cause),
        }
    }

    /// Writes, with what others of this session write at the same time.
    fn write(&self, write: Write) -> impl Future<Output = WriteOutcome> + '_ {
        let (asked, carrying) = self.writer.ask(write);
        if let Some(carrying) = carrying {
            // The task before has nothing left to do.
            let task = AbortOnDropHandle::new(self.keeper.spawn(carrying));
            self.writing.lock().replace(task);
        }
        asked.outcome()
    }

    fn dir_mode(&self) -> CreateMode {
        match self.abilities.has_containers() && !self.settings.dialect().keeps_directories() {
            true => CreateMode::Container,
            false => CreateMode::Persistent,
        }
    }

    /// The create after this tells whether the directory was made, exists, or lacks its own parent. Servers without
    /// container nodes get persistent ones.
    fn check_made<T>(&self, made: Option<Result<T, Error>>) -> Result<(), Error> {
        match made {
            Some(Err(Error::Unimplemented)) => {
                self.abilities.lacks_containers();
                Err(Error::NoNode)
            }
            Some(Err(cause)) if !matches!(cause, Error::NodeExists | Error::NoNode) => Err(cause),
            _ => Ok(()),
        }
    }

    /// Makes the directory that all locks lie in, and those above it.
    pub(crate) async fn make_base(&self, base: &str) -> Result<(), Error> {
        if base == "/" {
            return Ok(());
        }
        let options = self.settings.dir_options(self.dir_mode());
        let made = self.within(self.client.mkdir(base, &options)).await?;
        self.check_made(Some(made))
    }

    /// The queue in `dir`, as the connected server knows it.
    pub(crate) async fn list(&self, dir: &str) -> Result<Vec<String>, Error> {
        self.within(self.client.list_children(dir)).await?
    }

    /// The queue in `dir`, with all that earlier requests of this session did, over any connection. Without that, a
    /// server that lags behind the leader would miss a node made a moment ago.
    pub(crate) async fn list_synced(&self, dir: &str) -> Result<Vec<String>, Error> {
        let sent = Moment::now();
        let synced = self.client.sync(dir);
        let listed = self.client.list_children(dir);
        let (synced, listed) = self.within(join(synced, listed)).await?;
        synced?;
        self.liveness.acknowledge(sent);
        match listed {
            Err(Error::NoNode) => Ok(Vec::new()),
            listed => listed,
        }
    }

    pub(crate) async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        self.within(self.client.check_stat(path)).await?
    }

    /// Makes an ephemeral node.
    pub(crate) async fn create_plain(&self, path: &str, data: &[u8]) -> Result<LockNode, Error> {
        let (sent, options) = (Moment::now(), self.settings.node_options(CreateMode::Ephemeral));
        let (stat, _) = self.within(self.client.create(path, data, &options)).await??;
        self.liveness.acknowledge(sent);
        Ok(LockNode { path: path.to_owned(), created: stat.czxid })
    }

    /// The node at `path`, as the connected server knows it. If the account may not read it, there is no data.
    pub(crate) async fn look(&self, path: &str) -> Result<Option<Seen>, Error> {
        match found(self.within(self.client.get_data(path)).await?) {
            Err(Error::NoAuth) => self.see_from_outside(path).await,
            looked => looked,
        }
    }

    /// The node at `path`, which the account may not read. Servers say whether it exists. From 3.9.3 on ZooKeeper says
    /// no more than that.
    async fn see_from_outside(&self, path: &str) -> Result<Option<Seen>, Error> {
        match self.stat(path).await {
            Err(Error::NoAuth) => Ok(Some(Seen::hidden())),
            looked => Ok(looked?.map(Seen::from_outside)),
        }
    }

    /// The node at `path`, with all that earlier requests of this session did, unless the account may not read it: then
    /// it belongs to another account.
    pub(crate) async fn look_synced(&self, path: &str) -> Result<Option<Seen>, Error> {
        let sent = Moment::now();
        let (synced, looked) = self.within(join(self.client.sync(path), self.client.get_data(path))).await?;
        synced?;
        self.liveness.acknowledge(sent);
        match found(looked) {
            Err(Error::NoAuth) => Ok(None),
            looked => looked,
        }
    }

    /// The node at `path`, and a watch that fires when it changes or goes.
    pub(crate) async fn look_and_watch(
        &self,
        path: &str,
    ) -> Result<Option<(Seen, Option<NodeWatch>)>, Error> {
        let Some(room) = Budget::take(&self.watches, path.len()) else {
            let seen = self.look(path).await?;
            return Ok(seen.map(|seen| (seen, Some(NodeWatch::by_asking_again()))));
        };
        match self.within(self.client.get_and_watch_data(path)).await? {
            Ok((data, stat, watcher)) => {
                Ok(Some((Seen { data, stat }, Some(NodeWatch::new(watcher, room, self.keeper)))))
            }
            Err(Error::NoNode) => Ok(None),
            Err(Error::NoAuth) => self.look_from_outside(path).await,
            Err(cause) => Err(cause),
        }
    }

    /// The same for a node that the account may not read. Servers say whether it is there. But newer ones do not tell such an
    /// account when it goes, though they accept the watch.
    async fn look_from_outside(&self, path: &str) -> Result<Option<(Seen, Option<NodeWatch>)>, Error> {
        let seen = self.see_from_outside(path).await?;
        Ok(seen.map(|seen| (seen, Some(NodeWatch::by_asking_again()))))
    }

    /// Whether this client may read the node at `path`, or there is none.
    pub(crate) async fn check_access(&self, path: &str) -> Result<(), Error> {
        match self.within(self.client.get_data(path)).await? {
            Ok(_) | Err(Error::NoNode) => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    /// Sends a request that changes nothing, and whose answer only says whether the server knows it: it would make a
    /// node whose parent is missing.
    pub(crate) async fn try_out(&self, ability: Ability) -> Result<(), Error> {
        let missing = format!("/dlock-missing-{:016x}/node", self.id());
        let create = async |mode| {
            let options = self.settings.node_options(mode);
            self.client.create(&missing, &[], &options).await.map(drop)
        };
        let tried = async {
            match ability {
                Ability::Sync => self.client.sync("/").await,
                Ability::Transaction => self.try_transaction(&missing).await,
                Ability::Create => create(CreateMode::Ephemeral).await,
                Ability::WatchRemoval => self.try_watch_removal(&missing).await,
                Ability::Container => create(CreateMode::Container).await,
                Ability::ListOfEphemerals => self.client.list_ephemerals("/").await.map(drop),
            }
        };
        self.within(tried).await?
    }

    async fn try_transaction(&self, missing: &str) -> Result<(), Error> {
        let mut writer = self.client.new_multi_writer();
        let options = self.settings.node_options(CreateMode::EphemeralSequential);
        writer.add_create(missing, &[], &options)?;
        writer.commit().await.map(drop).map_err(Error::from)
    }

    #[expect(
        deprecated,
        reason = "the drop of a watch takes it back as well, and tells nothing of the answer"
    )]
    async fn try_watch_removal(&self, missing: &str) -> Result<(), Error> {
        let (_, watcher) = self.client.check_and_watch_stat(missing).await?;
        watcher.remove().await
    }

    pub(crate) fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// Removes an owner's node in a queue, and says whether it was there.
    pub(crate) async fn leave(&self, node: &LockNode) -> Result<bool, Error> {
        let written = self.write(Write::Remove { path: node.path.clone() });
        match self.within(written).await? {
            Err(Error::NoNode) => Ok(false),
            written => written.map(|_| true),
        }
    }

    /// Removes the node at `path`, whichever client made it, and says whether it was there.
    pub(crate) async fn delete(&self, path: &str) -> Result<bool, Error> {
        let sent = Moment::now();
        match self.within(self.client.delete(path, None)).await? {
            Ok(()) => {
                self.liveness.acknowledge(sent);
                Ok(true)
            }
            Err(Error::NoNode) => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    pub(crate) async fn set_data(&self, path: &str, data: &[u8]) -> Result<(), Error> {
        let sent = Moment::now();
        self.within(self.client.set_data(path, data, None)).await??;
        self.liveness.acknowledge(sent);
        Ok(())
    }

    /// Watches the node at `path` for its removal. Unlike a watch by `exists` this leaves none on a node that
    /// is gone already.
    pub(crate) async fn watch(&self, path: &str) -> Result<NodeWatch, Error> {
        let Some(room) = Budget::take(&self.watches, path.len()) else {
            return Ok(NodeWatch::by_asking_again());
        };
        match self.within(self.client.get_and_watch_data(path)).await? {
            Ok((_, _, watcher)) => Ok(NodeWatch::new(watcher, room, self.keeper)),
            Err(Error::NoAuth) => Ok(NodeWatch::by_asking_again()),
            Err(cause) => Err(cause),
        }
    }

    /// Watches a node and the only one ahead of it. `None` if one of them is gone or cannot be watched, or a
    /// connection has come or gone.
    pub(crate) async fn watch_turn(&self, own: &str, ahead: &str) -> Result<Option<PredecessorWatch>, Error> {
        let Some(room) = Budget::take(&self.watches, own.len() + ahead.len()) else { return Ok(None) };
        let mut states = self.client.state_watcher();
        if states.state() != SessionState::SyncConnected {
            return Ok(None);
        }
        let (own, ahead) = (self.client.get_and_watch_data(own), self.client.get_and_watch_data(ahead));
        match self.within(join(own, ahead)).await? {
            (Ok((.., own)), Ok((.., ahead))) => {
                Ok(Some(PredecessorWatch::new(own, ahead, states, room, self.keeper)))
            }
            (Err(Error::NoNode | Error::NoAuth), _) | (_, Err(Error::NoNode | Error::NoAuth)) => Ok(None),
            (Err(cause), _) | (_, Err(cause)) => Err(cause),
        }
    }

    async fn within<T>(&self, request: impl Future<Output = T>) -> Result<T, Error> {
        within(self.settings.request_timeout(), request).await.ok_or(Error::Timeout)
    }
}

fn found(looked: Result<(Vec<u8>, Stat), Error>) -> Result<Option<Seen>, Error> {
    match looked {
        Ok((data, stat)) => Ok(Some(Seen { data, stat })),
        Err(Error::NoNode) => Ok(None),
        Err(cause) => Err(cause),
    }
}

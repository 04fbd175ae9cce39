//! The parts of a [`RedisBackend`], by its settings.

use super::backend::{Kept, RedisBackend, RedisLocks};
use super::batch::Batches;
use super::in_flight::InFlight;
use super::keys::Naming;
use super::notifications::Pushes;
use super::preflight::{self, Asker, Needs};
use super::recipe::Recipe;
use super::recipe::plain::PlainRecipe;
use super::recipe::queue::Queue;
use super::recipe::timestamp::Timestamp;
use super::replicas::Replicas;
use super::script_calls::Calls;
use super::scripts::{self, Script};
use super::servers::{Cluster, Connection, Connector, Exclusive, Names, Opening, Sentinels};
use super::servers::{Servers, ServersUrl, Source};
use super::settings::RedisSettings;
use super::wire::Inbox;
use crate::backend::start::Start;
use crate::error::{ErrorKind, LockError};
use crate::keeper::Keeper;
use crate::key::Namespace;
use crate::lease::OwnerId;
use redis::ConnectionInfo;
use std::sync::Arc;
use std::time::Duration;

/// Where the servers are, and all that is set.
#[derive(Clone)]
pub(super) struct RedisPlan {
    pub(super) place: ServerPlace,
    pub(super) settings: RedisSettings,
}

/// Where the servers are.
#[derive(Clone)]
pub(super) enum ServerPlace {
    Url(String),
    Client(Box<ConnectionInfo>),
}

impl RedisPlan {
    /// Connects, unless the first lock is to.
    pub(super) async fn connect(self) -> Result<RedisBackend, LockError> {
        let options = self.settings.access.start;
        let locks = self.assemble()?;
        locks.start.at_build(options).await.map_err(|error| error.with_server(&locks.address))?;
        Ok(RedisBackend::of(locks))
    }

    /// The same backend for a namespace within its own. The first lock connects.
    fn within_namespace(mut self, inner: &Namespace) -> Result<RedisBackend, LockError> {
        self.settings.access.enter(inner)?;
        Ok(RedisBackend::of(self.assemble()?))
    }

    /// All but the connections.
    fn assemble(mut self) -> Result<Arc<RedisLocks>, LockError> {
        self.settings.check()?;
        self.settings.options.barging = self.settings.recipe == Recipe::Barging;
        let (keeper, inbox) = (Keeper::start()?, Inbox::new(OwnerId::random()?));
        let naming = Naming::new(self.settings.access.namespace.clone());
        let pushes = Arc::new(Pushes::new(inbox, naming));
        let (servers, address) = self.servers(&pushes, keeper)?;
        let servers = Arc::new(servers);
        let start = self.start(&servers, &pushes);
        let (kept, replicas) = (self.kept(&servers, &pushes), self.replicas(&servers, &pushes));
        let guarantees = self.settings.guarantees();
        let in_namespace = Box::new(move |inner: &Namespace| self.clone().within_namespace(inner));
        let locks = Arc::new(RedisLocks { address, start, pushes, kept, replicas, guarantees, in_namespace });
        give_back_strays(&locks);
        release_again(&locks);
        Ok(locks)
    }

    fn start(&self, servers: &Arc<Servers>, pushes: &Pushes) -> Start {
        let (queue, info) = (self.settings.has_queue(), !self.settings.options.quarantine.is_zero());
        let (servers, trusts_url) = (Arc::clone(servers), self.settings.access.trusts_url);
        let needs = Needs { queue, info, limit: self.limit(), trusts_url };
        let asker = Arc::new(Asker { naming: pushes.naming.clone(), inbox: pushes.inbox });
        Start::new(servers.patience(needs.limit), move || {
            let (servers, asker) = (Arc::clone(&servers), Arc::clone(&asker));
            async move {
                servers.ensure().await?;
                preflight::check(&servers, &asker, needs).await
            }
        })
    }

    /// How long a server may take for an answer.
    fn limit(&self) -> Duration {
        self.settings.access.limits.request
    }

    /// The servers that the URL names, and what to call them.
    fn servers(&self, pushes: &Arc<Pushes>, keeper: &'static Keeper) -> Result<(Servers, String), LockError> {
        let url = match &self.place {
            ServerPlace::Url(url) => ServersUrl::parse(url)?,
            ServerPlace::Client(info) => return self.one_server((**info).clone(), pushes, keeper),
        };
        match url.names {
            Names::Server | Names::Socket => self.one_server(url.one()?, pushes, keeper),
            Names::Sentinels => self.behind_sentinels(&url, pushes, keeper),
            Names::Cluster => self.in_cluster(&url, pushes),
            Names::Majority => Err(invalid("redlock:// names independent servers; use RedlockBackend")),
        }
    }

    /// The database is in the URL's path or in its options.
    fn with_database(&self, info: ConnectionInfo) -> Result<ConnectionInfo, LockError> {
        let Some(database) = self.settings.database else { return Ok(info) };
        if info.redis_settings().db() != 0 {
            return Err(invalid("the URL names a database in its path and another one as db; leave one out"));
        }
        let redis = info.redis_settings().clone().set_db(database);
        Ok(info.set_redis_settings(redis))
    }

    fn one_server(
        &self,
        info: ConnectionInfo,
        pushes: &Arc<Pushes>,
        keeper: &'static Keeper,
    ) -> Result<(Servers, String), LockError> {
        let connector = self.connector(info)?;
        let address = connector.server();
        Ok((self.one(Source::Fixed(Box::new(connector)), pushes, keeper), address))
    }

    fn one(&self, source: Source, pushes: &Arc<Pushes>, keeper: &'static Keeper) -> Servers {
        let connection = Connection::new(source, self.opening(pushes, true));
        Servers::One(connection.with_runtimes(keeper, self.settings.caller_connections))
    }

    fn behind_sentinels(
        &self,
        url: &ServersUrl<'_>,
        pushes: &Arc<Pushes>,
        keeper: &'static Keeper,
    ) -> Result<(Servers, String), LockError> {
        let (service, database) = url.path();
        if service.is_empty() {
            return Err(invalid(
                "the URL lacks the service, the sentinels' name for the primary: write redis+sentinel://host/service",
            ));
        }
        let to_servers = self.connector(url.to_one("sentinels", database)?)?;
        let to_sentinels = to_servers.clone().with_login(self.settings.sentinel_login.as_ref()).deaf();
        let (addresses, map) = (url.addresses(26_379)?, self.settings.address_map.clone());
        let sentinels = Sentinels::new(addresses, service.to_owned(), map, to_sentinels, to_servers);
        let servers = self.one(Source::Sentinels(Box::new(sentinels)), pushes, keeper);
        Ok((servers, format!("sentinels of {service}")))
    }

    fn in_cluster(&self, url: &ServersUrl<'_>, pushes: &Arc<Pushes>) -> Result<(Servers, String), LockError> {
        let connector = self.connector(url.to_one("cluster", url.path().0)?)?;
        let seeds = url.addresses(6_379)?;
        let address = seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let (map, opening) = (self.settings.address_map.clone(), self.opening(pushes, false));
        let cluster = Cluster::new(seeds, map, connector, opening, Arc::clone(pushes));
        Ok((Servers::Cluster(cluster), address))
    }

    fn connector(&self, info: ConnectionInfo) -> Result<Connector, LockError> {
        let connector = Connector::new(self.with_database(info)?, &self.settings.access)?;
        Ok(if self.settings.has_queue() { connector } else { connector.deaf() })
    }

    fn opening(&self, pushes: &Arc<Pushes>, may_listen: bool) -> Opening {
        static QUEUE: &[&Script] = &[&scripts::ACQUIRE, &scripts::RELEASE, &scripts::RENEW, &scripts::BATCH];
        static TIMESTAMP: &[&Script] = &[&scripts::TAKE_OVER, &scripts::REPLACE, &scripts::REMOVE];
        let scripts = match self.settings.recipe {
            Recipe::Fair | Recipe::Barging => QUEUE,
            Recipe::Plain => &[],
            Recipe::Timestamp => TIMESTAMP,
        };
        Opening {
            pushes: Some(Arc::clone(pushes)),
            listens: may_listen && self.settings.has_queue(),
            scripts,
            beside: None,
        }
    }

    fn kept(&self, servers: &Arc<Servers>, pushes: &Arc<Pushes>) -> Kept {
        let (servers, limit) = (Arc::clone(servers), self.limit());
        let naming = pushes.naming.clone();
        match self.settings.recipe {
            Recipe::Fair | Recipe::Barging => {
                // In a cluster the keys of one call lie in one slot; and a batch knows no quarantine.
                let in_batches =
                    matches!(*servers, Servers::One(_)) && self.settings.options.quarantine.is_zero();
                let batches = in_batches.then(|| Batches::new(Arc::clone(&servers), naming.clone(), limit));
                let calls = Calls { servers, naming, limit, options: self.settings.options, batches };
                Kept::Queue(Queue::new(calls, Arc::clone(pushes), InFlight::default()))
            }
            Recipe::Plain => Kept::Plain(PlainRecipe::new(servers, pushes.inbox, naming, limit)),
            Recipe::Timestamp => Kept::Timestamp(Timestamp::new(servers, naming, limit)),
        }
    }

    fn replicas(&self, servers: &Arc<Servers>, pushes: &Arc<Pushes>) -> Option<Replicas> {
        let (servers, patience) = (Arc::clone(servers), self.limit());
        // The server answers after the patience at the latest; then the answer must travel.
        let exclusive = Exclusive::new(patience.saturating_mul(2));
        let required = self.settings.required_replicas;
        let (inbox, naming) = (pushes.inbox, pushes.naming.clone());
        (required > 0).then_some(Replicas { required, patience, servers, inbox, naming, exclusive })
    }
}

/// A place in a queue can outlive its owner's interest, if the word that it left was lost. What is granted to it
/// is given back at once. So is what was taken away, once its guard is over.
fn give_back_strays(locks: &Arc<RedisLocks>) {
    let backend = Arc::downgrade(locks);
    locks.pushes.on_stray(move |stray| {
        let Some(locks) = backend.upgrade() else { return };
        Keeper::detach(async move {
            if let Kept::Queue(queue) = &locks.kept
                && stray.has_no_guard()
            {
                // If it fails, the lease ends it.
                let _ = queue.give_back(stray).await;
            }
        });
    });
}

/// A request that was answered, or given up, after its owner was released may have brought the owner back.
fn release_again(locks: &Arc<RedisLocks>) {
    let Kept::Queue(queue) = &locks.kept else { return };
    let backend = Arc::downgrade(locks);
    queue.in_flight.on_late(move |claim| {
        let Some(locks) = backend.upgrade() else { return };
        Keeper::detach(async move {
            if let Kept::Queue(queue) = &locks.kept {
                // If it fails, the mark or the lease ends it.
                let _ = queue.release(&claim).await;
            }
        });
    });
}

fn invalid(detail: &'static str) -> LockError {
    LockError::new(ErrorKind::InvalidOption, detail)
}

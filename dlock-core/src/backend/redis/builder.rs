//! Settings of a [`RedisBackend`].

use super::backend::{Kept, RedisBackend, RedisLocks};
use super::batch::Batches;
use super::credentials::{Credentials, CredentialsProvider};
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
use super::servers::{AddressMap, Cluster, Connection, Connector, Exclusive, Names, Opening, Sentinels};
use super::servers::{Servers, ServersUrl, Source};
use super::settings::RedisSettings;
#[cfg(feature = "redis-tls")]
use super::tls::ClientIdentity;
use super::wire::Inbox;
use crate::backend::start::Start;
use crate::backend::url_options::{GivenOptions, split};
use crate::error::{ErrorKind, LockError, Operation};
use crate::keeper::Keeper;
use crate::key::Namespace;
use crate::lease::OwnerId;
use redis::ConnectionInfo;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`RedisBackend`]. A setting that is wrong is reported by [`build`](Self::build).
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RedisBackendBuilder {
    place: ServerPlace,
    settings: RedisSettings,
    /// What was wrong first.
    wrong: Option<LockError>,
}

/// Where the servers are.
#[derive(Clone)]
enum ServerPlace {
    Url(String),
    Client(Box<ConnectionInfo>),
}

impl RedisBackend {
    /// Settings, to be built.
    pub fn builder() -> RedisBackendBuilder {
        RedisBackendBuilder::default()
    }
}

impl Default for RedisBackendBuilder {
    fn default() -> Self {
        let place = ServerPlace::Url("redis://127.0.0.1/".to_owned());
        Self { place, settings: RedisSettings::default(), wrong: None }
    }
}

impl RedisBackendBuilder {
    /// Where the servers are and who asks. By default `redis://127.0.0.1/`.
    ///
    /// | URL | servers |
    /// |---|---|
    /// | `redis://[user:password@]host[:6379][/db]` | one server |
    /// | `unix://[user:password@]/path` or `redis+unix://…` | one server, by a socket of this machine |
    /// | `redis+sentinel://[user:password@]host[:26379][,…]/service[/db]` | the primary that the sentinels name; user and password are those of the servers |
    /// | `redis+cluster://[user:password@]host[:6379][,…][/db]` | the cluster that these nodes belong to; databases other than 0 need Valkey 9 with `cluster-databases` |
    ///
    /// `rediss` instead of `redis` asks for TLS (feature `redis-tls`), towards sentinels too. `valkey` and `valkeys` stand
    /// for `redis` and `rediss`, and a scheme may be in any case.
    ///
    /// # Options
    /// Settings of this builder may follow, `?recipe=barging&quarantine=30s`, by the names of its methods. The last call
    /// wins: an option of the URL over what was set before, and a setting over the options of a URL before it.
    ///
    /// | option | value |
    /// |---|---|
    /// | [`connect_timeout`](Self::connect_timeout), [`request_timeout`](Self::request_timeout), [`connect_within`](Self::connect_within), [`quarantine`](Self::quarantine) | a duration: `500ms`, `30s`, `5m` or `1h` |
    /// | [`lazy`](Self::lazy) | `true` or `false` |
    /// | [`recipe`](Self::recipe) | `fair`, `barging`, `plain` or `timestamp` |
    /// | [`foreign_gap`](Self::foreign_gap) | two durations: `10s,200ms` |
    /// | [`caller_connections`](Self::caller_connections), [`require_replicas`](Self::require_replicas) | a number |
    /// | [`namespace`](Self::namespace) | text: `shop:` |
    /// | [`trust_url`](Self::trust_url) | `true` or `false` |
    /// | `root_certificates`, `client_certificate`, `tls_server_name`, `insecure_skip_verify` | with the feature `redis-tls`: a file, two files, a name, `true` or `false` |
    /// | `sentinel_user`, `sentinel_password` | as [`sentinel_login`](Self::sentinel_login); the user is `default` by default |
    /// | `db` | the database, where it is not in the path, as for a socket |
    ///
    /// ```no_run
    /// use dlock_core::RedisBackend;
    ///
    /// # async fn example() -> Result<(), dlock_core::LockError> {
    /// let url = "redis+sentinel://s1,s2,s3/orders?sentinel_password=secret&quarantine=30s";
    /// let backend = RedisBackend::builder().url(url).build().await?;
    /// # Ok(()) }
    /// ```
    pub fn url(self, url: impl AsRef<str>) -> Self {
        match split(url.as_ref()) {
            Ok((place, options)) => self.at(place, options, &[]),
            Err(wrong) => self.refusing(wrong),
        }
    }

    /// The servers of a URL, and the options that follow it. `others` are the names of options that were taken before.
    pub(crate) fn at(mut self, place: &str, options: GivenOptions, others: &[&str]) -> Self {
        self.place = ServerPlace::Url(place.to_owned());
        match self.settings.take(options, others) {
            Ok(()) => self,
            Err(wrong) => self.refusing(wrong),
        }
    }

    /// The server of a client of the client library that the program made, [`redis::Client`](crate::redis::Client): its
    /// address, login, database and TLS. Replaces the [`url`](Self::url). Connections are made by dlock, with its own
    /// timeouts; settings of TLS and [`credentials`](Self::credentials) of this builder win over the client's.
    ///
    /// ```no_run
    /// use dlock_core::{RedisBackend, redis};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = redis::Client::open("redis://10.0.0.5/")?;
    /// let backend = RedisBackend::builder().client(client).build().await?;
    /// # Ok(()) }
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "a client is handed over, as are all settings")]
    pub fn client(mut self, client: redis::Client) -> Self {
        self.place = ServerPlace::Client(Box::new(client.get_connection_info().clone()));
        self
    }

    fn refusing(mut self, wrong: LockError) -> Self {
        self.wrong.get_or_insert(wrong);
        self
    }

    /// User and password for the sentinels, by default none. The user of a bare `requirepass` is `default`.
    pub fn sentinel_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.settings.sentinel_login = Some((user.into(), password.into()));
        self
    }

    /// Where servers are reached whose announced addresses are not: behind a NAT, a tunnel, or forwarded ports of
    /// containers. By default where they say.
    ///
    /// `map` is given host and port as nodes of a cluster and sentinels name them, and says where to connect. The addresses
    /// in the URL are taken as they stand. Of a node that announces no host, the host is that of the node that was asked.
    /// `map` runs on a thread of the library, so it must not block. If it panics, the request fails with
    /// [`ErrorKind::InvalidOption`].
    ///
    /// ```
    /// use dlock_core::RedisBackend;
    ///
    /// let forwarded = |host: &str, port: u16| match host {
    ///     "10.0.0.5" => ("redis.example".to_owned(), 7_000 + port),
    ///     _ => (host.to_owned(), port),
    /// };
    /// assert_eq!(forwarded("10.0.0.5", 1), ("redis.example".to_owned(), 7_001));
    /// let builder = RedisBackend::builder().url("redis+cluster://redis.example:7001").address_map(forwarded);
    /// assert!(format!("{builder:?}").contains("mapped"));
    /// ```
    pub fn address_map(mut self, map: impl Fn(&str, u16) -> (String, u16) + Send + Sync + 'static) -> Self {
        self.settings.address_map = AddressMap::new(map);
        self
    }

    /// Has each connection log in with what `provider` gives at that moment, instead of the login of the URL: for tokens
    /// that live for some minutes. Sentinels have a login of their own.
    ///
    /// The provider runs on a thread of its own, in a Tokio runtime with IO and time, and may block. One connection asks at
    /// a time. It has as long as [`connect_timeout`](Self::connect_timeout).
    ///
    /// If it fails, panics or takes too long, connecting fails with [`ErrorKind::Unavailable`], and is tried again as
    /// after any other failure. A provider that returns a [`LockError`] says itself of which kind it is.
    ///
    /// ```no_run
    /// use dlock_core::{RedisBackend};
    /// use dlock_core::backend::redis::Credentials;
    ///
    /// # async fn token() -> std::io::Result<String> { Ok(String::new()) }
    /// # async fn example() -> Result<(), dlock_core::LockError> {
    /// let backend = RedisBackend::builder()
    ///     .url("rediss://10.0.0.5/")
    ///     .credentials(|| async { Ok::<_, std::io::Error>(Credentials::new("billing", token().await?)) })
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn credentials<F, E>(mut self, provider: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.settings.access.credentials = Some(CredentialsProvider::new(provider));
        self
    }

    /// The certificates, in PEM, of the authorities that the certificates of `rediss` servers are checked against,
    /// by default those that the system trusts. In a URL it is the name of a file.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.settings.access.tls.roots = Some(pem.into());
        self
    }

    /// Who this client is on TLS, in PEM: its certificate with those that lead to the authority, and the key. A Redis
    /// server asks for it unless it has `tls-auth-clients no`. In a URL it is the names of two files: `client.crt,client.key`.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.settings.access.tls.identity = Some(ClientIdentity { chain: chain.into(), key: key.into() });
        self
    }

    /// The name that the servers' certificates must be for, and that is sent to them (SNI), by default the host that is
    /// connected to. For servers that are reached by an address that their certificates do not carry.
    #[cfg(feature = "redis-tls")]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.settings.access.tls.server_name = Some(name.into());
        self
    }

    /// Takes whatever certificate a `rediss` server shows. **A machine on the way can then read passwords and grant
    /// locks**, so a warning is logged each time a backend is built. For trying things out; otherwise see
    /// [`root_certificates`](Self::root_certificates).
    #[cfg(feature = "redis-tls")]
    pub fn insecure_skip_verify(mut self) -> Self {
        self.settings.access.tls.skips_verification = true;
        self
    }

    /// How long making a connection may take: 1 ms to 1 hour, by default 2 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.settings.access.limits.connect = limit;
        self
    }

    /// How long the server may take for one answer: 1 ms to 1 hour, by default 1 second. A request that takes longer counts
    /// as unknown, and the connection is replaced. For as long a server may answer that it cannot for the
    /// moment (it loads its data, or a slot is being moved) before that is an error.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.settings.access.limits.request = limit;
        self
    }

    /// How long [`build`](Self::build) waits for servers that cannot be reached yet, or load their data, by default 5
    /// seconds. An attempt that has begun by then is not cut off. With zero there is one attempt.
    ///
    /// What does not pass by itself, such as a wrong password, is reported at once.
    pub fn connect_within(mut self, limit: Duration) -> Self {
        self.settings.access.start.connect_within = limit;
        self
    }

    /// Has the first lock connect, instead of [`build`](Self::build). So a service can start before its servers do.
    ///
    /// What `build` would have reported, the locks report then. A request that waits for its lock waits for the servers,
    /// too, for as long as its `wait` lasts.
    ///
    /// ```
    /// use dlock_core::{ErrorKind, LockManager, RedisBackend};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let backend = RedisBackend::builder().url("redis://127.0.0.1:1/").lazy().build().await?; // no server there
    /// let locks = LockManager::builder(backend).build()?;
    /// let refused = locks.lock("order:42").try_acquire().await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Unavailable);
    /// # Ok(()) }
    /// ```
    pub fn lazy(mut self) -> Self {
        self.settings.access.start.is_lazy = true;
        self
    }

    /// Takes the servers for what the URL says, whatever they say of themselves in `INFO`. By default `false`.
    ///
    /// For proxies, and services that are run by others, whose `INFO` is wrong about the kind or the version of the server:
    /// one endpoint that looks like a node of a cluster, say. What contradicts the URL is logged as a warning, and
    /// [`build`](Self::build) does not fail for it.
    pub fn trust_url(mut self, trust: bool) -> Self {
        self.settings.trusts_url = trust;
        self
    }

    /// Which way the locks are kept, by default [`Recipe::Fair`].
    pub fn recipe(mut self, recipe: Recipe) -> Self {
        self.settings.recipe = recipe;
        self
    }

    /// Lets clients of other libraries have their turn. Where processes of ours wait in line, the lock is
    /// never free, and who polls for a free key never gets it. With this, at most once every `between` a lock
    /// that has waiters is left free for `gap` instead of being handed off; 0 for `gap` (the default) turns
    /// it off.
    ///
    /// `between` is up to 24 hours, and `gap` is 1 ms to 1 hour.
    ///
    /// `gap` should be longer than the other clients' pause between two tries, which is 100 ms in the Python
    /// client and 200 ms in node-redlock. Every process should set the same. Only for [`Recipe::Fair`]: with
    /// the others a released lock is free anyway.
    pub fn foreign_gap(mut self, between: Duration, gap: Duration) -> Self {
        self.settings.set_gap(between, gap);
        self
    }

    /// How many runtimes of the program may have a connection of their own, by default 4; 0 for none.
    ///
    /// All requests can go over one connection, which a thread of the library drives. To wake that thread costs time, so a
    /// Tokio runtime that sends many requests gets a connection that it drives itself. It is closed with the runtime, and
    /// after an idle minute. Renewals, and releases in the background, never use it.
    ///
    /// Only with one server or sentinels, and with the scripts of [`Recipe::Fair`] or [`Recipe::Barging`]. In a program
    /// that is built with `panic = "abort"` the default is 0: all its runtimes must be able to do IO
    /// (`enable_io`) if this is set.
    pub fn caller_connections(mut self, most: usize) -> Self {
        self.settings.caller_connections = most;
        self
    }

    /// How many replicas must have acknowledged a grant, and each renewal, before it counts; by default none.
    ///
    /// A grant costs one more round trip, and the replicas' answers. It makes the window smaller in which a
    /// failover forgets a lock; it does not close it: another replica may be promoted.
    ///
    /// If fewer acknowledge in time ([`request_timeout`](Self::request_timeout)), the grant is undone and the
    /// acquire fails with [`ErrorKind::Unavailable`], or goes on waiting.
    pub fn require_replicas(mut self, replicas: usize) -> Self {
        self.settings.required_replicas = replicas;
        self
    }

    /// Has a server grant nothing for `duration` after it was started or promoted: 1 ms to 48 hours, by default for no
    /// time.
    ///
    /// Such a server may have forgotten leases that were granted before. If `duration` is at least the
    /// longest lease anybody uses, all of those are over when it grants again: so no two guards are valid at
    /// once even though locks were forgotten, as long as clocks run at rates that differ by less than 1 %.
    /// (That the old primary grants nothing any more is for `min-replicas-to-write` and
    /// `min-replicas-max-lag` to see to, on Redis 7.0 or newer; `duration` must be longer by that lag.)
    ///
    /// The server is told by its run id and its replication id, which a script compares with a note in the
    /// key `dlock:m`, behind the [namespace](Self::namespace), in a cluster one for each slot. Where there is no note, as on
    /// a server or in a slot that is used for the first time, the same time passes; a slot that moved counts as promoted.
    /// Every process must set the same. A longer ttl is refused.
    pub fn quarantine(mut self, duration: Duration) -> Self {
        self.settings.options.quarantine = duration;
        self
    }

    /// What stands before every key and every channel, such as `shop:`, by default nothing. It means what
    /// [`LockManagerBuilder::namespace`](crate::LockManagerBuilder::namespace) says, and holds from the first connection
    /// on. So an account can connect that has rights in this namespace alone:
    ///
    /// ```text
    /// ACL SETUSER shop on >… resetkeys ~shop:* resetchannels &shop:* …
    /// ```
    ///
    /// A namespace of the manager comes after this one.
    ///
    /// In a cluster, a namespace with a hash tag (`{shop}:`) puts all its keys into one slot, and so on one node.
    pub fn namespace(mut self, namespace: impl AsRef<str>) -> Self {
        match Namespace::new(namespace) {
            Ok(namespace) => {
                self.settings.access.namespace = Some(namespace);
                self
            }
            Err(wrong) => self.refusing(wrong),
        }
    }

    /// Connects, and looks at the server and the account. Waits for servers that are not there yet, see
    /// [`connect_within`](Self::connect_within).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a URL or a namespace of another form, for a duration out of its range, for options
    /// that do not go together, and for a server of another kind than the URL says; [`ErrorKind::Auth`] if the server refuses the user or a right
    /// is missing; [`ErrorKind::Unsupported`] if it is older than Redis 6.2, in a cluster 7.0;
    /// [`ErrorKind::Unavailable`] if it does not answer in time or is a replica.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    pub async fn build(self) -> Result<RedisBackend, LockError> {
        self.connect().await.map_err(|error| error.with_operation(Operation::Connect).with_backend("redis"))
    }

    async fn connect(self) -> Result<RedisBackend, LockError> {
        let options = self.settings.access.start;
        let locks = self.assemble()?;
        locks.start.at_build(options).await?;
        Ok(RedisBackend::of(locks))
    }

    /// The same backend for a namespace within its own. The first lock connects.
    fn within_namespace(mut self, inner: &Namespace) -> Result<RedisBackend, LockError> {
        self.settings.access.enter(inner)?;
        Ok(RedisBackend::of(self.assemble()?))
    }

    /// All but the connections.
    fn assemble(mut self) -> Result<Arc<RedisLocks>, LockError> {
        self.wrong.take().map_or(Ok(()), Err)?;
        self.settings.check()?;
        self.settings.options.barging = self.settings.recipe == Recipe::Barging;
        let (keeper, inbox) = (Keeper::start()?, Inbox::new(OwnerId::random()?));
        let naming = Naming::new(self.settings.access.namespace.clone());
        let pushes = Arc::new(Pushes::new(inbox, naming));
        let (servers, address) = self.servers(&pushes, keeper)?;
        let servers = Arc::new(servers);
        let start = self.start(&servers, &pushes);
        let (kept, replicas) = (self.kept(&servers, &pushes), self.replicas(&servers, &pushes));
        let in_namespace = Box::new(move |inner: &Namespace| self.clone().within_namespace(inner));
        let locks = Arc::new(RedisLocks { address, start, pushes, kept, replicas, in_namespace });
        give_back_strays(&locks);
        release_again(&locks);
        Ok(locks)
    }

    fn start(&self, servers: &Arc<Servers>, pushes: &Pushes) -> Start {
        let (queue, info) = (self.settings.has_queue(), !self.settings.options.quarantine.is_zero());
        let (servers, trusts_url) = (Arc::clone(servers), self.settings.trusts_url);
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
                "the URL does not say what the sentinels call the primary: redis+sentinel://host/service",
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
                let batches = in_batches.then(|| Batches::new(Arc::clone(&servers), limit));
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
/// is given back at once.
fn give_back_strays(locks: &Arc<RedisLocks>) {
    let backend = Arc::downgrade(locks);
    locks.pushes.on_stray(move |stray| {
        let Some(locks) = backend.upgrade() else { return };
        Keeper::detach(async move {
            if let Kept::Queue(queue) = &locks.kept {
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

/// Without the URL and the login, which may hold passwords.
impl fmt::Debug for RedisBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackendBuilder")
            .field("settings", &self.settings)
            .field("wrong", &self.wrong)
            .finish_non_exhaustive()
    }
}

//! Settings of a [`RedisBackend`].

use super::backend::RedisBackend;
use super::credentials::{Credentials, CredentialsProvider};
use super::plan::{RedisPlan, ServerPlace};
use super::recipe::Recipe;
use super::servers::AddressMap;
use super::settings::RedisSettings;
#[cfg(feature = "redis-tls")]
use super::tls::ClientIdentity;
use crate::backend::url_options::{GivenOptions, split};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{LockError, Operation};
use crate::key::Namespace;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// Settings of a [`RedisBackend`]. [`build`](Self::build) reports a wrong setting.
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RedisBackendBuilder {
    plan: RedisPlan,
    /// What was wrong first.
    wrong: Option<LockError>,
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
        Self { plan: RedisPlan { place, settings: RedisSettings::default() }, wrong: None }
    }
}

impl RedisBackendBuilder {
    /// Where the servers are, and the login. By default `redis://127.0.0.1/`.
    ///
    /// | URL | servers |
    /// |---|---|
    /// | `redis://[user:password@]host[:6379][/db]` | one server |
    /// | `unix://[user:password@]/path` or `redis+unix://…` | one server, by a socket of this machine |
    /// | `redis+sentinel://[user:password@]host[:26379][,…]/service[/db]` | the primary that the sentinels name; user and password are those of the servers |
    /// | `redis+cluster://[user:password@]host[:6379][,…][/db]` | the cluster that these nodes belong to; databases other than 0 need Valkey 9 with `cluster-databases` |
    ///
    /// `rediss` instead of `redis` asks for TLS (feature `redis-tls`), also to the sentinels. `valkey` and `valkeys`
    /// stand for `redis` and `rediss`, and a scheme may be in any case.
    ///
    /// # Options
    /// Settings of this builder may follow, by the names of its methods: `?recipe=barging&quarantine=30s`. The later
    /// call wins: an option of the URL over earlier settings, and a later setting over the URL's options.
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
        self.plan.place = ServerPlace::Url(place.to_owned());
        match self.plan.settings.take(options, others) {
            Ok(()) => self,
            Err(wrong) => self.refusing(wrong),
        }
    }

    /// Takes the server from an existing [`redis::Client`](crate::redis::Client): its address, login, database and TLS.
    /// This replaces the [`url`](Self::url). dlock makes its own connections, with its own timeouts. Settings of TLS
    /// and [`credentials`](Self::credentials) of this builder win over the client's.
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
        self.plan.place = ServerPlace::Client(Box::new(client.get_connection_info().clone()));
        self
    }

    fn refusing(mut self, wrong: LockError) -> Self {
        self.wrong.get_or_insert(wrong);
        self
    }

    /// User and password for the sentinels, by default none. The user of a bare `requirepass` is `default`.
    pub fn sentinel_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.plan.settings.sentinel_login = Some((user.into(), password.into()));
        self
    }

    /// Maps announced addresses that cannot be reached to ones that can: behind a NAT, a tunnel, or forwarded ports of
    /// containers. By default servers are reached at the addresses that they announce.
    ///
    /// `map` gets host and port as nodes of a cluster and sentinels announce them, and returns where to connect. The
    /// addresses in the URL are used as they are. If a node announces no host, its host is that of the node that was
    /// asked. `map` runs on a thread of the library, so it must not block. If it panics, the request fails with
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
        self.plan.settings.address_map = AddressMap::new(map);
        self
    }

    /// Logs each connection in with fresh credentials from `provider`, instead of the login of the URL. This is for
    /// tokens that live only some minutes. Sentinels have a login of their own.
    ///
    /// The provider runs on a thread of its own, in a Tokio runtime with IO and time, and may block. It is asked for
    /// one connection at a time, and has as long as [`connect_timeout`](Self::connect_timeout).
    ///
    /// If it fails, panics or takes too long, connecting fails with [`ErrorKind::Unavailable`], and is tried again as
    /// after any other failure. A provider can choose another kind by returning a [`LockError`].
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
        self.plan.settings.access.credentials = Some(CredentialsProvider::new(provider));
        self
    }

    /// The authorities, in PEM, that the certificates of `rediss` servers are checked against; by default those that
    /// the system trusts. In a URL it is the name of a file.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.plan.settings.access.tls.roots = Some(pem.into());
        self
    }

    /// The certificate of this client for TLS, in PEM, with those that lead to the authority, and its key. A Redis
    /// server asks for it unless it has `tls-auth-clients no`. In a URL it is the names of two files:
    /// `client.crt,client.key`.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.plan.settings.access.tls.identity =
            Some(ClientIdentity { chain: chain.into(), key: key.into() });
        self
    }

    /// The name that the servers' certificates must carry, and that is sent to them (SNI); by default the host of the
    /// connection. It is for servers whose certificates lack the address by which they are reached.
    #[cfg(feature = "redis-tls")]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.plan.settings.access.tls.server_name = Some(name.into());
        self
    }

    /// Accepts any certificate of a `rediss` server. **A machine on the way can then read passwords and grant locks**,
    /// so a warning is logged each time a backend is built. This is for experiments; otherwise see
    /// [`root_certificates`](Self::root_certificates).
    #[cfg(feature = "redis-tls")]
    pub fn insecure_skip_verify(mut self) -> Self {
        self.plan.settings.access.tls.skips_verification = true;
        self
    }

    /// How long making a connection may take: 1 ms to 1 hour, by default 2 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.plan.settings.access.limits.connect = limit;
        self
    }

    /// How long the server may take for one answer: 1 ms to 1 hour, by default 1 second. After that the outcome of the
    /// request is unknown, and the connection is replaced. A server may also answer "not now" (it loads its data, or a
    /// slot moves): dlock asks again for this long before that is an error.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.plan.settings.access.limits.request = limit;
        self
    }

    /// How long [`build`](Self::build) waits for servers that cannot be reached yet, or load their data, by default 5
    /// seconds. An attempt that has begun by then is not cut off. With zero there is one attempt.
    ///
    /// An error that does not pass by itself, such as a wrong password, is reported at once.
    pub fn connect_within(mut self, limit: Duration) -> Self {
        self.plan.settings.access.start.connect_within = limit;
        self
    }

    /// Connects with the first lock, instead of in [`build`](Self::build). So a service can start before its servers
    /// do.
    ///
    /// Errors that `build` would have reported come from the locks then. A request that waits for its lock also waits
    /// for the servers, for as long as its `wait` lasts.
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
        self.plan.settings.access.start.is_lazy = true;
        self
    }

    /// Whether to believe the URL, and not `INFO`, about the kind of the servers. By default `false`.
    ///
    /// This is for proxies and hosted services whose `INFO` is wrong about the kind or the version of the server. An
    /// example is a single endpoint that looks like a node of a cluster. A contradiction is logged as a warning, and
    /// [`build`](Self::build) does not fail.
    pub fn trust_url(mut self, trust: bool) -> Self {
        self.plan.settings.access.trusts_url = trust;
        self
    }

    /// The way the locks are kept; by default [`Recipe::Fair`].
    pub fn recipe(mut self, recipe: Recipe) -> Self {
        self.plan.settings.recipe = recipe;
        self
    }

    /// Gives clients of other libraries a turn. While processes with dlock wait in line, the lock is never free, and a
    /// client that polls for a free key never gets it. With this, a lock with waiters is left free for `gap` instead of
    /// being handed off, at most once every `between`. 0 for `gap` (the default) turns it off.
    ///
    /// `between` is up to 24 hours, and `gap` is 1 ms to 1 hour.
    ///
    /// `gap` should be longer than the other clients' pause between two tries, which is 100 ms in the Python
    /// client and 200 ms in node-redlock. Every process should set the same values. It is only for [`Recipe::Fair`]:
    /// with the other recipes a released lock is free anyway.
    pub fn foreign_gap(mut self, between: Duration, gap: Duration) -> Self {
        self.plan.settings.set_gap(between, gap);
        self
    }

    /// How many runtimes of the program may have a connection of their own, by default 4; 0 for none.
    ///
    /// All requests can go over one connection, which a thread of the library drives. Waking that thread costs time, so
    /// a Tokio runtime that sends many requests gets a connection that it drives itself. Hand-offs come over that
    /// connection too. It is closed with the runtime, and after an idle minute. Renewals and background releases never
    /// use it.
    ///
    /// This works only with one server or with sentinels, and with [`Recipe::Fair`] or [`Recipe::Barging`]. In a
    /// program that is built with `panic = "abort"` the default is 0. If you set it there, all runtimes of the program
    /// must be able to do IO (`enable_io`).
    pub fn caller_connections(mut self, most: usize) -> Self {
        self.plan.settings.caller_connections = most;
        self
    }

    /// How many replicas must have acknowledged a grant, and each renewal, before it counts; by default none.
    ///
    /// A grant costs one more round trip, and the replicas' answers. The window in which a failover forgets a lock
    /// becomes smaller, but is not closed: another replica may be promoted.
    ///
    /// If fewer acknowledge in time ([`request_timeout`](Self::request_timeout)), the grant is undone and the
    /// acquire fails with [`ErrorKind::Unavailable`], or goes on waiting.
    pub fn require_replicas(mut self, replicas: usize) -> Self {
        self.plan.settings.required_replicas = replicas;
        self
    }

    /// How long a server grants nothing after it was started or promoted: 1 ms to 48 hours. By default there is no such
    /// time.
    ///
    /// Such a server may have forgotten leases. If `duration` is at least the longest lease of any client, all of those
    /// are over when the server grants again. So no two guards are valid at once, even if locks were forgotten, as long
    /// as clocks run at rates that differ by less than 1 %. The old primary must also stop granting:
    /// `min-replicas-to-write` and `min-replicas-max-lag` do that on Redis 7.0 or newer, and `duration` must be longer
    /// by that lag.
    ///
    /// A script knows the server by its run id and its replication id, and compares both with a note in the key
    /// `dlock:m`. The key stands behind the [namespace](Self::namespace), and in a cluster there is one for each slot.
    /// Without a note, as on a server or in a slot that is used for the first time, the quarantine passes as well. A
    /// slot that moved counts as promoted. Every process must set the same duration. A ttl longer than this is refused.
    pub fn quarantine(mut self, duration: Duration) -> Self {
        self.plan.settings.options.quarantine = duration;
        self
    }

    /// What stands before every key and every channel, such as `shop:`; by default nothing.
    /// [`LockManagerBuilder::namespace`](crate::LockManagerBuilder::namespace) says what it means. It holds from the
    /// first connection on, so the account needs rights in this namespace only:
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
                self.plan.settings.access.namespace = Some(namespace);
                self
            }
            Err(wrong) => self.refusing(wrong),
        }
    }

    /// Connects, and checks the server and the account. It waits for servers that are not up yet, see
    /// [`connect_within`](Self::connect_within).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a malformed URL or namespace, for a duration out of its range, for options that
    /// do not go together, and for a server of another kind than the URL says; [`ErrorKind::Auth`] if the server
    /// refuses the user or a right is missing; [`ErrorKind::Unsupported`] if it is older than Redis 6.2, in a cluster
    /// 7.0; [`ErrorKind::Unavailable`] if it does not answer in time or is a replica.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    pub async fn build(self) -> Result<RedisBackend, LockError> {
        let built = match self.wrong {
            Some(wrong) => Err(wrong),
            None => self.plan.connect().await,
        };
        built.map_err(|error| error.with_operation(Operation::Connect).with_backend("redis"))
    }
}

/// Without the URL and the login, which may hold passwords.
impl fmt::Debug for RedisBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackendBuilder")
            .field("settings", &self.plan.settings)
            .field("wrong", &self.wrong)
            .finish_non_exhaustive()
    }
}

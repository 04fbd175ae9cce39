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

/// Settings of a [`RedisBackend`]. A setting that is wrong is reported by [`build`](Self::build).
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
        self.plan.place = ServerPlace::Url(place.to_owned());
        match self.plan.settings.take(options, others) {
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
        self.plan.settings.address_map = AddressMap::new(map);
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
        self.plan.settings.access.credentials = Some(CredentialsProvider::new(provider));
        self
    }

    /// The certificates, in PEM, of the authorities that the certificates of `rediss` servers are checked against,
    /// by default those that the system trusts. In a URL it is the name of a file.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.plan.settings.access.tls.roots = Some(pem.into());
        self
    }

    /// Who this client is on TLS, in PEM: its certificate with those that lead to the authority, and the key. A Redis
    /// server asks for it unless it has `tls-auth-clients no`. In a URL it is the names of two files: `client.crt,client.key`.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.plan.settings.access.tls.identity =
            Some(ClientIdentity { chain: chain.into(), key: key.into() });
        self
    }

    /// The name that the servers' certificates must be for, and that is sent to them (SNI), by default the host that is
    /// connected to. For servers that are reached by an address that their certificates do not carry.
    #[cfg(feature = "redis-tls")]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.plan.settings.access.tls.server_name = Some(name.into());
        self
    }

    /// Takes whatever certificate a `rediss` server shows. **A machine on the way can then read passwords and grant
    /// locks**, so a warning is logged each time a backend is built. For trying things out; otherwise see
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

    /// How long the server may take for one answer: 1 ms to 1 hour, by default 1 second. A request that takes longer counts
    /// as unknown, and the connection is replaced. For as long a server may answer that it cannot for the
    /// moment (it loads its data, or a slot is being moved) before that is an error.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.plan.settings.access.limits.request = limit;
        self
    }

    /// How long [`build`](Self::build) waits for servers that cannot be reached yet, or load their data, by default 5
    /// seconds. An attempt that has begun by then is not cut off. With zero there is one attempt.
    ///
    /// What does not pass by itself, such as a wrong password, is reported at once.
    pub fn connect_within(mut self, limit: Duration) -> Self {
        self.plan.settings.access.start.connect_within = limit;
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
        self.plan.settings.access.start.is_lazy = true;
        self
    }

    /// Takes the servers for what the URL says, whatever they say of themselves in `INFO`. By default `false`.
    ///
    /// For proxies, and services that are run by others, whose `INFO` is wrong about the kind or the version of the server:
    /// one endpoint that looks like a node of a cluster, say. What contradicts the URL is logged as a warning, and
    /// [`build`](Self::build) does not fail for it.
    pub fn trust_url(mut self, trust: bool) -> Self {
        self.plan.settings.access.trusts_url = trust;
        self
    }

    /// Which way the locks are kept, by default [`Recipe::Fair`].
    pub fn recipe(mut self, recipe: Recipe) -> Self {
        self.plan.settings.recipe = recipe;
        self
    }

    /// Lets clients of other libraries have their turn. Where processes of ours wait in line, the lock is
    /// never free, and a client that polls for a free key never gets it. With this, at most once every `between` a lock
    /// that has waiters is left free for `gap` instead of being handed off; 0 for `gap` (the default) turns
    /// it off.
    ///
    /// `between` is up to 24 hours, and `gap` is 1 ms to 1 hour.
    ///
    /// `gap` should be longer than the other clients' pause between two tries, which is 100 ms in the Python
    /// client and 200 ms in node-redlock. Every process should set the same. Only for [`Recipe::Fair`]: with
    /// the others a released lock is free anyway.
    pub fn foreign_gap(mut self, between: Duration, gap: Duration) -> Self {
        self.plan.settings.set_gap(between, gap);
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
        self.plan.settings.caller_connections = most;
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
        self.plan.settings.required_replicas = replicas;
        self
    }

    /// Has a server grant nothing for `duration` after it was started or promoted: 1 ms to 48 hours, by default for no
    /// time.
    ///
    /// Such a server may have forgotten leases that were granted before. If `duration` is at least the
    /// longest lease anybody uses, all of those are over when it grants again: so no two guards are valid at
    /// once even though locks were forgotten, as long as clocks run at rates that differ by less than 1 %.
    /// (That the old primary grants nothing from then on is for `min-replicas-to-write` and
    /// `min-replicas-max-lag` to see to, on Redis 7.0 or newer; `duration` must be longer by that lag.)
    ///
    /// The server is told by its run id and its replication id, which a script compares with a note in the
    /// key `dlock:m`, behind the [namespace](Self::namespace), in a cluster one for each slot. Where there is no note, as on
    /// a server or in a slot that is used for the first time, the same time passes; a slot that moved counts as promoted.
    /// Every process must set the same. A longer ttl is refused.
    pub fn quarantine(mut self, duration: Duration) -> Self {
        self.plan.settings.options.quarantine = duration;
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
                self.plan.settings.access.namespace = Some(namespace);
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

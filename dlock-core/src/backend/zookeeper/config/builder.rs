//! Settings of a [`ZooKeeperBackend`].

use super::settings::Settings;
use super::url;
use crate::backend::url_options::{GivenOptions, Wrong, split};
use crate::backend::zookeeper::acquisitions::Acquisitions;
use crate::backend::zookeeper::backend::ZooKeeperBackend;
use crate::backend::zookeeper::locks::{NAME, ZooKeeperLocks};
use crate::backend::zookeeper::recipe::Recipe;
use crate::backend::zookeeper::recipe::dialect::Dialect;
use crate::backend::zookeeper::session::manager::SessionManager;
use crate::error::{ErrorKind, LockError, Operation};
use crate::keeper::shielded;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`ZooKeeperBackend`]. [`build`](Self::build) reports a wrong setting.
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ZooKeeperBackendBuilder {
    settings: Settings,
    /// What was wrong first.
    wrong: Option<LockError>,
}

impl ZooKeeperBackend {
    /// Settings, to be built.
    pub fn builder() -> ZooKeeperBackendBuilder {
        ZooKeeperBackendBuilder::default()
    }
}

impl ZooKeeperBackendBuilder {
    /// All settings in one line: `zookeeper://[user:password@]host[:2181][,host[:2181]…][/root]`, with user and
    /// password percent-encoded. Settings that the URL does not name stay as they were.
    ///
    /// `zookeeper+tls://…` connects over TLS (feature `zookeeper-tls`), and needs `root_certificates`. A scheme may be in
    /// any case.
    ///
    /// # Options
    /// Settings of this builder may follow, by the names of its methods: `?session_timeout=10s`. The later call wins:
    /// an option of the URL over earlier settings, and a later setting over the URL's options.
    ///
    /// | option | value |
    /// |---|---|
    /// | [`session_timeout`](Self::session_timeout), [`request_timeout`](Self::request_timeout), [`connect_within`](Self::connect_within) | a duration: `500ms`, `30s`, `5m` or `1h` |
    /// | [`lazy`](Self::lazy) | `true` or `false` |
    /// | `root_certificates`, `client_certificate` | with the feature `zookeeper-tls`: a file, and two files, `client.crt,client.key` |
    /// | [`lost_after_percent`](Self::lost_after_percent) | a number |
    /// | [`namespace`](Self::namespace) | text: `shop:` |
    /// | [`dialect`](Self::dialect) | `curator` or `kazoo` |
    /// | [`recipe`](Self::recipe) | `sequential` or `simple` |
    /// | `sasl_user`, `sasl_password` | as `sasl_digest_md5` (feature `zookeeper-sasl`) |
    /// | [`share_with`](Self::share_with) | accounts, separated by commas: `digest:user:HASH,ip:10.0.0.0/8` |
    ///
    /// ```no_run
    /// use dlock_core::ZooKeeperBackend;
    ///
    /// # async fn example() -> Result<(), dlock_core::LockError> {
    /// let url = "zookeeper://zk1,zk2,zk3/locks?session_timeout=10s&dialect=kazoo";
    /// let backend = ZooKeeperBackend::builder().url(url).build().await?;
    /// # Ok(()) }
    /// ```
    pub fn url(self, url: impl AsRef<str>) -> Self {
        match split(url.as_ref()) {
            Ok((place, options)) => self.at(place, options, &[]),
            Err(wrong) => self.refusing(wrong),
        }
    }

    /// The servers of a URL, and the options that follow it. `others` are the names of options that were taken before.
    pub(crate) fn at(self, place: &str, options: GivenOptions, others: &[&str]) -> Self {
        let mut this = self.set(|settings| url::apply(place, settings));
        match url::take(options, others, &mut this.settings) {
            Ok(()) => this,
            Err(wrong) => this.refusing(wrong),
        }
    }

    /// The servers, separated by commas; by default `127.0.0.1:2181`. It is enough if one of them can be reached.
    ///
    /// A name is looked up again whenever a connection is made, so servers may move while the program runs. A name may
    /// stand for several servers, as that of a headless service of Kubernetes does. Each of its addresses is tried, and
    /// a dead one does not keep the client from the others. Over TLS such a name is tried as a whole, so name each
    /// server there.
    pub fn hosts(self, hosts: impl AsRef<str>) -> Self {
        self.set(|settings| settings.set_hosts(hosts.as_ref()))
    }

    /// The node below which each key has its directory, by default `/locks`. It is made if it is missing.
    pub fn root(self, root: impl AsRef<str>) -> Self {
        self.set(|settings| settings.set_root(root.as_ref()))
    }

    /// What stands before every key, such as `shop:`; by default nothing. It is a directory in the root, with the
    /// directories of the keys in it. [`LockManagerBuilder::namespace`](crate::LockManagerBuilder::namespace) says what
    /// it means.
    pub fn namespace(self, namespace: impl AsRef<str>) -> Self {
        self.set(|settings| settings.set_namespace(namespace.as_ref()))
    }

    /// How lock nodes are named; by default [`Dialect::Curator`]. It matters only if programs in other languages lock
    /// the same keys.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.settings.set_dialect(dialect);
        self
    }

    /// How long the servers keep the locks of a process that they do not hear from: 50 ms to 24 h, by default 10
    /// seconds. The servers limit it to their own bounds, by default two to twenty ticks.
    ///
    /// A guard is lost after a part of this time without an answer, see
    /// [`lost_after_percent`](Self::lost_after_percent). An attempt to connect also ends after this time.
    pub fn session_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.set_session_timeout(timeout))
    }

    /// How long a guard outlives the last answer of the leader, in percent of the session timeout that the servers
    /// grant: 40 to 75, by default 60. A greater value keeps locks through longer outages. A smaller one ends the guard
    /// of a holder that is cut off earlier, and leaves more time until the next one is granted. A guard never outlives
    /// the moment from which the leader may end the session: irregular heartbeats shorten it.
    pub fn lost_after_percent(self, percent: u32) -> Self {
        self.set(|settings| settings.set_lost_after_percent(percent))
    }

    /// How long the servers may take for one answer: 50 ms to 1 h, by default 3 seconds. If a request takes longer,
    /// dlock finds out later whether it was carried out.
    pub fn request_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.set_request_timeout(timeout))
    }

    /// The account of this client, by the scheme `digest`. What the client makes then belongs to this account, and to
    /// those of [`share_with`](Self::share_with). Others may see its lock nodes, but may neither change them nor use
    /// its directories. Without an account every client may do everything.
    ///
    /// The account needs the rights to create, read, write and delete in the root and in the directories of the locks.
    /// It has them where it made these itself. So a tenant needs only a directory of its own, with the
    /// [`root`](Self::root) below it. Some clients make nodes that this account may not read. A waiter behind such a
    /// node looks twice a second whether it is gone.
    ///
    /// The servers do not check the password when a client connects. A wrong one is noticed when the root or a lock
    /// turns out to belong to another account. Without TLS the password travels in clear text.
    pub fn digest_auth(self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.set(|settings| settings.access_mut().set_digest(user.as_ref(), password.as_ref().as_bytes()))
    }

    /// The account of this client, by SASL's DIGEST-MD5: a user of the servers' JAAS configuration (feature
    /// `zookeeper-sasl`). The client logs in at each connection. What it makes then belongs to this account, as with
    /// [`digest_auth`](Self::digest_auth), and to those of [`share_with`](Self::share_with). There such a user is
    /// `share_with("sasl", "user")`.
    ///
    /// ```text
    /// Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_billing="secret"; };
    /// ```
    ///
    /// The servers check the password when a client connects. With `enforce.auth.enabled=true` and
    /// `enforce.auth.schemes=sasl` (ZooKeeper 3.7) they let in no client without one. The password does not travel. But
    /// DIGEST-MD5 is weak by today's standards, and locks can be read on the way: use TLS if others share the network.
    /// Kerberos (GSSAPI) is not supported.
    ///
    /// ```no_run
    /// use dlock_core::ZooKeeperBackend;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let backend = ZooKeeperBackend::builder().hosts("zk1:2181").sasl_digest_md5("billing", "secret").build().await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "zookeeper-sasl")]
    pub fn sasl_digest_md5(mut self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.settings.access_mut().set_sasl(Some(user.as_ref()), Some(password.as_ref()));
        self
    }

    /// Lets others use the root and the directories that this client makes from now on, and so take the same locks.
    /// Others are an account, by scheme and id as in access lists (`"digest"`, `"user:HASH"`), or all clients of an
    /// address (`"ip"`, `"10.0.0.0/8"`). Further calls add to them. It needs [`digest_auth`](Self::digest_auth) or
    /// `sasl_digest_md5`.
    ///
    /// An account that may take a lock may also free it while another account holds it.
    ///
    /// ```no_run
    /// use dlock_core::ZooKeeperBackend;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let backend = ZooKeeperBackend::builder()
    ///     .hosts("zk1:2181")
    ///     .digest_auth("billing", "secret")
    ///     .share_with("digest", "reports:xQJmxLMiHGwaqBvst5y6rkB6HQs=")
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn share_with(self, scheme: impl AsRef<str>, id: impl AsRef<str>) -> Self {
        self.set(|settings| settings.access_mut().share_with(scheme.as_ref(), id.as_ref()))
    }

    /// The authorities, in PEM, that the certificates of the servers are checked against. The connection is then over
    /// TLS, and the certificates must be for the hosts that were named. The servers listen for TLS on a port of its own
    /// (`secureClientPort`). There is no default: the authorities that the system trusts are not used.
    #[cfg(feature = "zookeeper-tls")]
    pub fn root_certificates(self, pem: impl AsRef<[u8]>) -> Self {
        self.set(|settings| settings.tls_mut().set_roots(pem.as_ref()))
    }

    /// The certificate of this client for TLS, and its key, in PEM. Servers ask for it unless they have
    /// `ssl.clientAuth=none`.
    #[cfg(feature = "zookeeper-tls")]
    pub fn client_certificate(self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.set(|settings| settings.tls_mut().set_identity(certificate.as_ref(), key.as_ref()))
    }

    /// The way the locks are kept; by default [`Recipe::Sequential`].
    pub fn recipe(self, recipe: Recipe) -> Self {
        self.set(|settings| {
            settings.set_recipe(recipe);
            Ok(())
        })
    }

    /// How long [`build`](Self::build) waits for servers that cannot be reached yet, or have no leader, by default 5
    /// seconds. An attempt that has begun by then is not cut off. With zero there is one attempt.
    ///
    /// An error that does not pass by itself, such as a root that belongs to another account, is reported at once.
    pub fn connect_within(mut self, limit: Duration) -> Self {
        self.settings.start_mut().connect_within = limit;
        self
    }

    /// Connects with the first lock, instead of in [`build`](Self::build). So a service can start before its servers
    /// do.
    ///
    /// Errors that `build` would have reported come from the locks then. A request that waits for its lock also waits
    /// for the servers, for as long as its `wait` lasts.
    ///
    /// ```
    /// use dlock_core::{ErrorKind, LockManager, ZooKeeperBackend};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let backend = ZooKeeperBackend::builder().hosts("127.0.0.1:1").lazy().build().await?; // no server there
    /// let locks = LockManager::builder(backend).build()?;
    /// let refused = locks.lock("order:42").try_acquire().await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Unavailable);
    /// # Ok(()) }
    /// ```
    pub fn lazy(mut self) -> Self {
        self.settings.start_mut().is_lazy = true;
        self
    }

    fn set(mut self, setter: impl FnOnce(&mut Settings) -> Result<(), Wrong>) -> Self {
        match setter(&mut self.settings) {
            Ok(()) => self,
            Err(wrong) => self.refusing(invalid(wrong)),
        }
    }

    fn refusing(mut self, wrong: LockError) -> Self {
        self.wrong.get_or_insert(wrong);
        self
    }

    /// Connects. It waits for servers that are not up yet, see [`connect_within`](Self::connect_within).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a wrong setting, [`ErrorKind::Unavailable`] if no server accepts the connection
    /// in time or the system gives no thread for the session, [`ErrorKind::Auth`] if the root belongs to another
    /// account, [`ErrorKind::Unsupported`] if the servers do not know a request that the recipe needs, and
    /// [`ErrorKind::NotConfigured`] in a process that was forked after a manager was built.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    pub async fn build(self) -> Result<ZooKeeperBackend, LockError> {
        let wrong = self.wrong.or_else(|| self.settings.check().err().map(invalid));
        let built = match wrong {
            Some(wrong) => Err(wrong),
            None => shielded(connect(self.settings)).await,
        };
        built.map_err(|error| error.with_operation(Operation::Connect).with_backend(NAME))
    }
}

/// Without user and password.
impl fmt::Debug for ZooKeeperBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperBackendBuilder")
            .field("settings", &self.settings)
            .field("wrong", &self.wrong)
            .finish()
    }
}

fn invalid(wrong: Wrong) -> LockError {
    LockError::new(ErrorKind::InvalidOption, wrong)
}

async fn connect(settings: Settings) -> Result<ZooKeeperBackend, LockError> {
    let (settings, acquisitions) = (Arc::new(settings), Arc::new(Acquisitions::default()));
    let sessions = SessionManager::new(Arc::clone(&settings), &acquisitions)?;
    let options = settings.start();
    let locks = ZooKeeperLocks::new(settings, acquisitions, sessions);
    let started = locks.start.at_build(options).await;
    started.map_err(|error| error.with_server(locks.settings.hosts()))?;
    Ok(ZooKeeperBackend::of(Arc::new(locks)))
}

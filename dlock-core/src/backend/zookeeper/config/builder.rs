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

/// Settings of a [`ZooKeeperBackend`]. A setting that is wrong is reported by [`build`](Self::build).
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
    /// All of it in one line: `zookeeper://[user:password@]host[:2181][,host[:2181]…][/root]`, with user and
    /// password percent-encoded. What the URL does not name stays as it was.
    ///
    /// `zookeeper+tls://…` connects over TLS (feature `zookeeper-tls`), and needs `root_certificates`. A scheme may be in
    /// any case.
    ///
    /// # Options
    /// Settings of this builder may follow, `?session_timeout=10s`, by the names of its methods. The last call wins: an
    /// option of the URL over what was set before, and a setting over the options of a URL before it.
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

    /// The servers, separated by commas, by default `127.0.0.1:2181`. One that can be reached is enough.
    ///
    /// A name is looked up again whenever a connection is made, so servers may move while the program runs. A name may stand
    /// for several servers, as that of a headless service of Kubernetes does: each of its addresses is tried, and one that is
    /// dead keeps no connection from the others. Over TLS such a name is tried as a whole, so name each server by itself.
    pub fn hosts(self, hosts: impl AsRef<str>) -> Self {
        self.set(|settings| settings.set_hosts(hosts.as_ref()))
    }

    /// The node below which each key has its directory, by default `/locks`. It is made if it is missing.
    pub fn root(self, root: impl AsRef<str>) -> Self {
        self.set(|settings| settings.set_root(root.as_ref()))
    }

    /// What stands before every key, such as `shop:`, by default nothing: a directory in the root, in which the keys have
    /// theirs. It means what [`LockManagerBuilder::namespace`](crate::LockManagerBuilder::namespace) says.
    pub fn namespace(self, namespace: impl AsRef<str>) -> Self {
        self.set(|settings| settings.set_namespace(namespace.as_ref()))
    }

    /// Whose names the lock nodes bear, by default [`Dialect::Curator`]. It matters only if programs in other
    /// languages lock the same keys.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.settings.set_dialect(dialect);
        self
    }

    /// How long the servers keep the locks of a process that they do not hear of: 50 ms to 24 h, by default 10
    /// seconds. The servers move it into their own bounds, two to twenty ticks unless set otherwise.
    ///
    /// A guard is lost after a part of it without an answer, see
    /// [`lost_after_percent`](Self::lost_after_percent). Connecting is given up after all of it, too.
    pub fn session_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.set_session_timeout(timeout))
    }

    /// How long a guard outlives the last answer of the leader, in percent of the session timeout that the servers
    /// grant: 40 to 75, by default 60. More of it keeps locks through longer outages; less tells a holder that is
    /// cut off earlier, and leaves more time until the next one is granted. In no case does a guard outlive the
    /// moment from which the leader may end the session: heartbeats that came irregularly shorten it.
    pub fn lost_after_percent(self, percent: u32) -> Self {
        self.set(|settings| settings.set_lost_after_percent(percent))
    }

    /// How long the servers may take for one answer: 50 ms to 1 h, by default 3 seconds. Whether a request
    /// that takes longer was carried out is found out later.
    pub fn request_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.set_request_timeout(timeout))
    }

    /// Who this client is, by the scheme `digest`. What it makes then belongs to this account, and to those of
    /// [`share_with`](Self::share_with): others may see its lock nodes, and neither change them nor use its
    /// directories. Without it anybody may do anything.
    ///
    /// The account needs the rights to create, read, write and delete in the root and in the directories of the
    /// locks. Where it made them itself it has them, so a tenant needs no more than a directory of its own, below
    /// which the [`root`](Self::root) lies. Behind a node that this account may not read, as some clients make them,
    /// a waiter looks twice a second whether it is gone.
    ///
    /// The servers compare nothing when a client connects: a wrong password is noticed when the root or a lock
    /// turns out to belong to another account. Without TLS the password travels in clear text.
    pub fn digest_auth(self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.set(|settings| settings.access_mut().set_digest(user.as_ref(), password.as_ref().as_bytes()))
    }

    /// Who this client is, by SASL's DIGEST-MD5: a user of the servers' JAAS configuration (feature `zookeeper-sasl`). It is
    /// told at each connection. What the client makes then belongs to this account, as with
    /// [`digest_auth`](Self::digest_auth), and to those of [`share_with`](Self::share_with), where such a user is named
    /// `share_with("sasl", "user")`.
    ///
    /// ```text
    /// Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_billing="secret"; };
    /// ```
    ///
    /// The servers check the password when a client connects. With `enforce.auth.enabled=true` and
    /// `enforce.auth.schemes=sasl` (ZooKeeper 3.7) they let in no client without one. The password does not travel, but
    /// DIGEST-MD5 is weak by today's measure, and locks can be read on the way: use TLS where others share the network.
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

    /// Lets others use the root and the directories that this client makes from now on, and so take the same locks:
    /// an account, as access lists name it by scheme and id (`"digest"`, `"user:HASH"`), or all clients of an
    /// address (`"ip"`, `"10.0.0.0/8"`). Called again it adds to them. Needs [`digest_auth`](Self::digest_auth), or
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

    /// Connects over TLS, to servers whose certificates are signed by one of these authorities, in PEM, and for the
    /// host that was named. The servers listen for it on a port of its own (`secureClientPort`). There is no
    /// default: what the system trusts is not trusted.
    #[cfg(feature = "zookeeper-tls")]
    pub fn root_certificates(self, pem: impl AsRef<[u8]>) -> Self {
        self.set(|settings| settings.tls_mut().set_roots(pem.as_ref()))
    }

    /// Who this client is on TLS, in PEM: its certificate, and the key of that. Servers ask for it unless they have
    /// `ssl.clientAuth=none`.
    #[cfg(feature = "zookeeper-tls")]
    pub fn client_certificate(self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.set(|settings| settings.tls_mut().set_identity(certificate.as_ref(), key.as_ref()))
    }

    /// Which way the locks are kept, by default [`Recipe::Sequential`].
    pub fn recipe(self, recipe: Recipe) -> Self {
        self.set(|settings| {
            settings.set_recipe(recipe);
            Ok(())
        })
    }

    /// How long [`build`](Self::build) waits for servers that cannot be reached yet, or have no leader, by default 5
    /// seconds. An attempt that has begun by then is not cut off. With zero there is one attempt.
    ///
    /// What does not pass by itself, such as a root that belongs to another account, is reported at once.
    pub fn connect_within(mut self, limit: Duration) -> Self {
        self.settings.start_mut().connect_within = limit;
        self
    }

    /// Has the first lock connect, instead of [`build`](Self::build). So a service can start before its servers do.
    ///
    /// What `build` would have reported, the locks report then. A request that waits for its lock waits for the servers,
    /// too, for as long as its `wait` lasts.
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

    /// Connects. Waits for servers that are not there yet, see [`connect_within`](Self::connect_within).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a setting that is wrong, [`ErrorKind::Unavailable`] if no server takes
    /// the connection in time or the system gives no thread for the session, [`ErrorKind::Auth`] if the root belongs
    /// to another account, [`ErrorKind::Unsupported`] if the servers do not know a request that the recipe needs, and [`ErrorKind::NotConfigured`] in a process that was forked from one with locks.
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

//! Settings of a [`RedlockBackend`].

use super::backend::RedlockBackend;
use super::node::RedlockServer;
use super::quorum::out_of_reach;
use super::votes::majority;
use crate::backend::redis::access::{self, ServerAccess};
use crate::backend::redis::credentials::{Credentials, CredentialsProvider};
use crate::backend::redis::keys::Naming;
use crate::backend::redis::notifications::Pushes;
use crate::backend::redis::preflight::{self, Asker, Needs};
use crate::backend::redis::script_calls::Calls;
use crate::backend::redis::script_options::ScriptOptions;
use crate::backend::redis::scripts::{self, Script};
use crate::backend::redis::servers::{Connection, Connector, Names, Opening, Servers, ServersUrl, Source};
#[cfg(feature = "redis-tls")]
use crate::backend::redis::tls::ClientIdentity;
use crate::backend::redis::wire::Inbox;
use crate::backend::start::Start;
use crate::backend::url_options::{GivenOptions, split};
use crate::error::{ErrorKind, LockError, Operation};
use crate::keeper::Keeper;
use crate::key::Namespace;
use crate::lease::OwnerId;
use futures_util::future::join_all;
use redis::ConnectionInfo;
use std::collections::HashSet;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`RedlockBackend`]. [`build`](Self::build) reports a wrong setting.
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RedlockBackendBuilder {
    places: Places,
    access: ServerAccess,
    /// What was wrong first.
    wrong: Option<LockError>,
}

/// Where the servers are.
#[derive(Clone)]
enum Places {
    Together(String),
    Each(Vec<String>),
    Clients(Vec<ConnectionInfo>),
}

impl RedlockBackend {
    /// Settings, to be built.
    pub fn builder() -> RedlockBackendBuilder {
        RedlockBackendBuilder::default()
    }
}

impl Default for RedlockBackendBuilder {
    fn default() -> Self {
        Self { places: Places::Each(Vec::new()), access: ServerAccess::default(), wrong: None }
    }
}

/// With fewer, the loss of one server would be the loss of the majority.
const LEAST_SERVERS: usize = 3;

impl RedlockBackendBuilder {
    /// The servers in one URL, which share the login: `redlock://[user:password@]a[:6379],b,c[/db]`, or
    /// `rediss+redlock://…` for TLS (feature `redis-tls`). Replaces [`servers`](Self::servers).
    ///
    /// # Options
    /// Settings of this builder may follow, by the names of its methods: `?request_timeout=200ms`. The later call wins:
    /// an option of the URL over earlier settings, and a later setting over the URL's options.
    ///
    /// | option | value |
    /// |---|---|
    /// | [`connect_timeout`](Self::connect_timeout), [`request_timeout`](Self::request_timeout), [`connect_within`](Self::connect_within) | a duration: `500ms`, `30s`, `5m` or `1h` |
    /// | [`lazy`](Self::lazy) | `true` or `false` |
    /// | [`namespace`](Self::namespace) | text: `shop:` |
    /// | [`trust_url`](Self::trust_url) | `true` or `false` |
    /// | `root_certificates`, `client_certificate`, `tls_server_name`, `insecure_skip_verify` | with the feature `redis-tls`: a file, two files, a name, `true` or `false` |
    pub fn url(self, url: impl AsRef<str>) -> Self {
        match split(url.as_ref()) {
            Ok((place, options)) => self.at(place, options, &[]),
            Err(wrong) => self.refusing(wrong),
        }
    }

    /// The servers of a URL, and the options that follow it. `others` are the names of options that were taken before.
    pub(crate) fn at(mut self, place: &str, options: GivenOptions, others: &[&str]) -> Self {
        self.places = Places::Together(place.to_owned());
        let known = [others, &access::option_names()].concat();
        let taken = self.access.take(options).and_then(|left| left.refuse_others(&known));
        match taken {
            Ok(()) => self,
            Err(wrong) => self.refusing(wrong),
        }
    }

    fn refusing(mut self, wrong: LockError) -> Self {
        self.wrong.get_or_insert(wrong);
        self
    }

    /// The servers, each by its own URL: `redis://[user:password@]host[:6379][/db]`, or `rediss://…`. By default there
    /// are none, and at least three are needed. Use an odd number: one more that makes it even tolerates no more
    /// failures. Every process must name the same servers.
    pub fn servers(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.places = Places::Each(urls.into_iter().map(Into::into).collect());
        self
    }

    /// Takes the servers from existing [`redis::Client`](crate::redis::Client)s: their addresses, logins and TLS. This
    /// replaces [`servers`](Self::servers). Settings of TLS of this builder win over theirs.
    pub fn clients(mut self, clients: impl IntoIterator<Item = redis::Client>) -> Self {
        self.places =
            Places::Clients(clients.into_iter().map(|it| it.get_connection_info().clone()).collect());
        self
    }

    /// Logs each connection in with fresh credentials from `provider`, instead of the login of the URL. This is for
    /// tokens that live only some minutes. It is the same for all servers.
    ///
    /// The provider runs on a thread of its own, in a Tokio runtime with IO and time, and may block. It is asked for
    /// one connection at a time, and has as long as [`connect_timeout`](Self::connect_timeout).
    ///
    /// If it fails, panics or takes too long, connecting fails with [`ErrorKind::Unavailable`], and is tried again as
    /// after any other failure. A provider can choose another kind by returning a [`LockError`].
    ///
    /// ```no_run
    /// use dlock_core::{RedlockBackend};
    /// use dlock_core::backend::redis::Credentials;
    ///
    /// # async fn token() -> std::io::Result<String> { Ok(String::new()) }
    /// # async fn example() -> Result<(), dlock_core::LockError> {
    /// let backend = RedlockBackend::builder()
    ///     .url("redlock://a,b,c")
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
        self.access.credentials = Some(CredentialsProvider::new(provider));
        self
    }

    /// The authorities, in PEM, that the certificates of `rediss` servers are checked against; by default those that
    /// the system trusts. In a URL it is the name of a file.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.access.tls.roots = Some(pem.into());
        self
    }

    /// The certificate of this client for TLS, in PEM, with those that lead to the authority, and its key. A Redis
    /// server asks for it unless it has `tls-auth-clients no`. In a URL it is the names of two files:
    /// `client.crt,client.key`.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.access.tls.identity = Some(ClientIdentity { chain: chain.into(), key: key.into() });
        self
    }

    /// The name that the servers' certificates must carry, and that is sent to them (SNI); by default the host of the
    /// connection. It is for servers whose certificates lack the address by which they are reached.
    #[cfg(feature = "redis-tls")]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.access.tls.server_name = Some(name.into());
        self
    }

    /// Accepts any certificate of a `rediss` server. **A machine on the way can then read passwords and grant locks**,
    /// so a warning is logged each time a backend is built. This is for experiments; otherwise see
    /// [`root_certificates`](Self::root_certificates).
    #[cfg(feature = "redis-tls")]
    pub fn insecure_skip_verify(mut self) -> Self {
        self.access.tls.skips_verification = true;
        self
    }

    /// How long making a connection to one server may take: 1 ms to 1 hour, by default 2 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.access.limits.connect = limit;
        self
    }

    /// How long one server may take for one answer: 1 ms to 1 hour, by default 1 second. After that the server counts
    /// as away, and the connection to it is replaced. Set it much shorter than the leases: an acquire may have to wait
    /// this long if the other servers do not decide.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.access.limits.request = limit;
        self
    }

    /// How long [`build`](Self::build) waits for a majority that cannot be reached yet, or loads its data, by default 5
    /// seconds. An attempt that has begun by then is not cut off. With zero there is one attempt.
    pub fn connect_within(mut self, limit: Duration) -> Self {
        self.access.start.connect_within = limit;
        self
    }

    /// Connects with the first lock, instead of in [`build`](Self::build). Errors that `build` would have reported come
    /// from the locks then.
    pub fn lazy(mut self) -> Self {
        self.access.start.is_lazy = true;
        self
    }

    /// Whether to believe the URLs, and not `INFO`, that each server stands alone. By default `false`; see
    /// [`RedisBackendBuilder::trust_url`](super::super::RedisBackendBuilder::trust_url).
    pub fn trust_url(mut self, trust: bool) -> Self {
        self.access.trusts_url = trust;
        self
    }

    /// What stands before every key, such as `shop:`; by default nothing. See
    /// [`RedisBackendBuilder::namespace`](super::super::RedisBackendBuilder::namespace).
    pub fn namespace(mut self, namespace: impl AsRef<str>) -> Self {
        match Namespace::new(namespace) {
            Ok(namespace) => {
                self.access.namespace = Some(namespace);
                self
            }
            Err(wrong) => self.refusing(wrong),
        }
    }

    /// Connects, and checks the servers and the accounts. It succeeds if a majority of the servers is fine, and logs
    /// what is wrong with the others.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for fewer than three servers, for one that is named twice, and for a malformed URL;
    /// [`ErrorKind::Unavailable`] if no majority answers in time. If a majority fails in a way that does not pass, such
    /// as [`ErrorKind::Auth`] or [`ErrorKind::Unsupported`], it is that error.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connections up.
    pub async fn build(self) -> Result<RedlockBackend, LockError> {
        self.connect().await.map_err(|error| error.with_operation(Operation::Connect).with_backend("redlock"))
    }

    async fn connect(self) -> Result<RedlockBackend, LockError> {
        let options = self.access.start;
        let (assembled, start) = self.assemble()?;
        start.at_build(options).await?;
        Ok(self.backend(assembled, start))
    }

    /// The same backend for a namespace within its own. The first lock connects.
    fn within_namespace(mut self, inner: &Namespace) -> Result<RedlockBackend, LockError> {
        self.access.enter(inner)?;
        let (assembled, start) = self.assemble()?;
        Ok(self.backend(assembled, start))
    }

    fn backend(self, assembled: Assembled, start: Start) -> RedlockBackend {
        let Assembled { nodes, inbox, naming } = assembled;
        let in_namespace = Box::new(move |inner: &Namespace| self.clone().within_namespace(inner));
        RedlockBackend::new(start, nodes, inbox, naming, in_namespace)
    }

    /// All but the connections.
    fn assemble(&self) -> Result<(Assembled, Start), LockError> {
        self.wrong.clone().map_or(Ok(()), Err)?;
        self.access.check()?;
        Keeper::start()?;
        let inbox = Inbox::new(OwnerId::random()?);
        let naming = Naming::new(self.access.namespace.clone());
        let nodes = self.nodes(&Arc::new(Pushes::new(inbox, naming.clone())))?;
        let start = self.start(&nodes, Asker { naming: naming.clone(), inbox });
        Ok((Assembled { nodes, inbox, naming }, start))
    }

    fn start(&self, nodes: &[Arc<RedlockServer>], asker: Asker) -> Start {
        let (nodes, limit, trusts_url) =
            (Arc::from(nodes), self.access.limits.request, self.access.trusts_url);
        let needs = Needs { queue: true, info: false, limit, trusts_url };
        let (patience, asker) = (nodes_patience(&nodes, limit), Arc::new(asker));
        Start::new(patience, move || open_all(Arc::clone(&nodes), Arc::clone(&asker), needs))
    }

    fn nodes(&self, pushes: &Arc<Pushes>) -> Result<Vec<Arc<RedlockServer>>, LockError> {
        let servers = self.servers_to_reach()?;
        if servers.len() < LEAST_SERVERS {
            return Err(invalid(
                "fewer than three servers tolerate no failure; use RedisBackend or name more",
            ));
        }
        let nodes: Vec<_> =
            servers.into_iter().map(|server| self.node(server, pushes)).collect::<Result<_, _>>()?;
        refuse_twins(nodes.iter().map(|node| &node.address))?;
        Ok(nodes)
    }

    fn servers_to_reach(&self) -> Result<Vec<ConnectionInfo>, LockError> {
        match &self.places {
            Places::Each(urls) => urls.iter().map(|url| one(url)).collect(),
            Places::Clients(clients) => Ok(clients.clone()),
            Places::Together(url) => match ServersUrl::parse(url)? {
                url if url.names == Names::Majority => url.one_by_one(),
                _ => Err(invalid("the URL is not of the form redlock://[user:password@]host[:port],…[/db]")),
            },
        }
    }

    fn node(&self, server: ConnectionInfo, pushes: &Arc<Pushes>) -> Result<Arc<RedlockServer>, LockError> {
        static SCRIPTS: &[&Script] = &[&scripts::PROPOSE, &scripts::RENEW, &scripts::RELEASE];
        let connector = Connector::new(server, &self.access)?.deaf();
        let address = connector.server();
        let naming = pushes.naming.clone();
        let opening =
            Opening { pushes: Some(Arc::clone(pushes)), listens: false, scripts: SCRIPTS, beside: None };
        let servers = Arc::new(Servers::One(Connection::new(Source::Fixed(Box::new(connector)), opening)));
        let calls = Calls {
            servers,
            naming,
            limit: Duration::ZERO,
            options: ScriptOptions::default(),
            batches: None,
        };
        Ok(Arc::new(RedlockServer { address, calls }))
    }
}

/// One of the servers that have a URL each. Options are those of all.
fn one(url: &str) -> Result<ConnectionInfo, LockError> {
    let (place, options) = split(url)?;
    options.refuse_others(&[])?;
    match ServersUrl::parse(place)? {
        url if matches!(url.names, Names::Server | Names::Socket) => url.one(),
        _ => Err(invalid("a server's URL is not of the form redis://[user:password@]host[:port][/db]")),
    }
}

fn nodes_patience(nodes: &[Arc<RedlockServer>], limit: Duration) -> Duration {
    nodes.iter().map(|node| node.calls.servers.patience(limit)).max().unwrap_or_default()
}

/// Looks at all servers. A majority must be fine.
async fn open_all(
    nodes: Arc<[Arc<RedlockServer>]>,
    asker: Arc<Asker>,
    needs: Needs,
) -> Result<(), LockError> {
    let opened = join_all(nodes.iter().map(|node| open(node, &asker, needs))).await;
    refuse_twins(opened.iter().flatten().flatten())?;
    tolerate(opened.into_iter().filter_map(Result::err).collect(), nodes.len())
}

/// What a backend value is made of.
struct Assembled {
    nodes: Vec<Arc<RedlockServer>>,
    inbox: Inbox,
    naming: Naming,
}

/// Looks at one server. Its run id, if it tells.
async fn open(node: &RedlockServer, asker: &Asker, needs: Needs) -> Result<Option<String>, LockError> {
    let servers = &node.calls.servers;
    let opened = async {
        servers.ensure().await?;
        preflight::check(servers, asker, needs).await?;
        Ok(preflight::run_id(servers).await)
    };
    let opened = opened.await.map_err(|error: LockError| error.with_server(&node.address));
    opened.inspect_err(|error| {
        let error = error.without_server();
        tracing::warn!(backend = "redlock", server = node.address, %error, "a server is left out for now");
    })
}

/// One server under two names would have two votes.
fn refuse_twins<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), LockError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(invalid("the same server is named twice; its failure would count twice"));
        }
    }
    Ok(())
}

/// An error, if a majority failed.
fn tolerate(failures: Vec<LockError>, servers: usize) -> Result<(), LockError> {
    if servers.saturating_sub(failures.len()) >= majority(servers) {
        return Ok(());
    }
    Err(out_of_reach(failures, servers))
}

fn invalid(detail: &'static str) -> LockError {
    LockError::new(ErrorKind::InvalidOption, detail)
}

/// Without the URLs, which may hold passwords.
impl fmt::Debug for RedlockBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedlockBackendBuilder")
            .field("limits", &self.access.limits)
            .field("namespace", &self.access.namespace)
            .field("trust_url", &self.access.trusts_url)
            .finish_non_exhaustive()
    }
}

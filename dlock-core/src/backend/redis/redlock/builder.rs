//! Settings of a [`RedlockBackend`].

use super::backend::RedlockBackend;
use super::node::RedlockServer;
use super::quorum::out_of_reach;
use super::votes::majority;
use crate::backend::redis::builder::{DEFAULT_LIMITS, check_limits};
use crate::backend::redis::notifications::Pushes;
use crate::backend::redis::preflight::{self, Needs};
use crate::backend::redis::script_calls::Calls;
use crate::backend::redis::script_options::ScriptOptions;
use crate::backend::redis::scripts::{self, Script};
use crate::backend::redis::servers::{Connection, Connector, Limits, Opening, Servers, ServersUrl, Source};
use crate::backend::redis::wire::Inbox;
use crate::error::{ErrorKind, LockError, Operation};
use crate::keeper::Keeper;
use crate::lease::OwnerId;
use futures_util::future::join_all;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`RedlockBackend`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RedlockBackendBuilder {
    places: Places,
    limits: Limits,
    root_certificates: Option<Vec<u8>>,
}

/// Where the servers are.
#[derive(Clone)]
enum Places {
    Together(String),
    Each(Vec<String>),
}

impl RedlockBackend {
    /// Settings, to be built.
    pub fn builder() -> RedlockBackendBuilder {
        RedlockBackendBuilder::default()
    }
}

impl Default for RedlockBackendBuilder {
    fn default() -> Self {
        Self { places: Places::Each(Vec::new()), limits: DEFAULT_LIMITS, root_certificates: None }
    }
}

/// With fewer, the loss of one server would be the loss of the majority.
const LEAST_SERVERS: usize = 3;

impl RedlockBackendBuilder {
    /// The servers in one URL, which share the login: `redlock://[user:password@]a[:6379],b,c[/db]`, or
    /// `rediss+redlock://…` for TLS (feature `redis-tls`). Replaces [`servers`](Self::servers).
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.places = Places::Together(url.into());
        self
    }

    /// The servers, each by its own URL: `redis://[user:password@]host[:6379][/db]`, or `rediss://…`. At least
    /// three, by default none; an odd number, as one more that makes it even tolerates no more failures.
    /// Every process must name the same servers.
    pub fn servers(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.places = Places::Each(urls.into_iter().map(Into::into).collect());
        self
    }

    /// The certificates, in PEM, of the authorities that the certificates of `rediss` servers are checked
    /// against, by default those that the system trusts.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// How long making a connection to one server may take: 1 ms to 1 hour, by default 2 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.limits.connect = limit;
        self
    }

    /// How long one server may take for one answer: 1 ms to 1 hour, by default 1 second. After that it counts as away, and the
    /// connection to it is replaced. Should be much shorter than the leases, as an acquire may have to wait for
    /// it where the other servers do not decide.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.limits.request = limit;
        self
    }

    /// Connects, and looks at the servers and the accounts. Succeeds if a majority of the servers is fine; what
    /// is wrong with the others is logged.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for fewer than three servers, for one that is named twice, and for a URL of
    /// another form; [`ErrorKind::Unavailable`] if no majority answers in time. If a majority is wrong in a way
    /// that does not pass, such as [`ErrorKind::Auth`] or [`ErrorKind::Unsupported`], it is that error.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connections up.
    pub async fn build(self) -> Result<RedlockBackend, LockError> {
        self.connect().await.map_err(|error| error.with_operation(Operation::Connect).with_backend("redlock"))
    }

    async fn connect(self) -> Result<RedlockBackend, LockError> {
        check_limits(self.limits)?;
        Keeper::start()?;
        let inbox = Inbox::new(OwnerId::random()?);
        let nodes = self.nodes(&Arc::new(Pushes::new(inbox)))?;
        let limit = self.limits.request;
        let opened = join_all(nodes.iter().map(|node| open(node, inbox, limit))).await;
        refuse_twins(opened.iter().flatten().flatten())?;
        let failures = opened.into_iter().filter_map(Result::err).collect();
        tolerate(failures, nodes.len())?;
        Ok(RedlockBackend::new(nodes, inbox))
    }

    fn nodes(&self, pushes: &Arc<Pushes>) -> Result<Vec<Arc<RedlockServer>>, LockError> {
        let urls = self.urls()?;
        if urls.len() < LEAST_SERVERS {
            return Err(invalid(
                "fewer than three servers tolerate no failure; use RedisBackend or name more",
            ));
        }
        let nodes: Vec<_> = urls.iter().map(|url| self.node(url, pushes)).collect::<Result<_, _>>()?;
        refuse_twins(nodes.iter().map(|node| &node.address))?;
        Ok(nodes)
    }

    fn urls(&self) -> Result<Vec<String>, LockError> {
        match &self.places {
            Places::Each(urls) => Ok(urls.clone()),
            Places::Together(url) => match ServersUrl::parse(url) {
                Some(url) if matches!(url.scheme, "redlock" | "rediss+redlock") => Ok(url.one_by_one()),
                _ => Err(invalid("the URL is not of the form redlock://[user:password@]host[:port],…[/db]")),
            },
        }
    }

    fn node(&self, url: &str, pushes: &Arc<Pushes>) -> Result<Arc<RedlockServer>, LockError> {
        static SCRIPTS: &[&Script] = &[&scripts::PROPOSE, &scripts::RENEW, &scripts::RELEASE];
        let connector = Connector::new(url, self.limits, self.root_certificates.clone())?;
        let address = connector.server();
        let opening = Opening { pushes: Some(Arc::clone(pushes)), listens: false, scripts: SCRIPTS };
        let servers = Arc::new(Servers::One(Connection::new(Source::Fixed(Box::new(connector)), opening)));
        let calls =
            Calls { servers, limit: Duration::ZERO, options: ScriptOptions::default(), batches: None };
        Ok(Arc::new(RedlockServer { address, calls }))
    }
}

/// Looks at one server. Its run id, if it tells.
async fn open(node: &RedlockServer, inbox: Inbox, limit: Duration) -> Result<Option<String>, LockError> {
    let servers = &node.calls.servers;
    let opened = async {
        servers.ensure().await?;
        preflight::check(servers, inbox, Needs { queue: true, info: false, limit }).await?;
        Ok(preflight::run_id(servers).await)
    };
    opened.await.inspect_err(|error: &LockError| {
        tracing::warn!(backend = "redlock", server = node.address, %error, "a server is not used for now");
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
        f.debug_struct("RedlockBackendBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}

//! Settings of a [`RedisBackend`].

use super::connection::{Connection, Limits};
use super::doubts::Doubts;
use super::failure::classify;
use super::owner::Inbox;
use super::{RedisBackend, Shared, startup};
use crate::backend::wakeups::Wakeups;
use crate::error::{LockError, Operation};
use crate::lease::OwnerId;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisResult};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`RedisBackend`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RedisBackendBuilder {
    url: String,
    limits: Limits,
    #[cfg(feature = "redis-tls")]
    root_certificates: Option<Vec<u8>>,
}

impl Default for RedisBackendBuilder {
    fn default() -> Self {
        let limits = Limits { connect: Duration::from_secs(2), request: Duration::from_secs(1) };
        Self {
            url: "redis://127.0.0.1/".to_owned(),
            limits,
            #[cfg(feature = "redis-tls")]
            root_certificates: None,
        }
    }
}

impl RedisBackendBuilder {
    /// Where the server is and who asks: `redis://[user:password@]host[:6379][/db]`, or `rediss://…` for TLS
    /// (feature `redis-tls`). By default `redis://127.0.0.1/`.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// The certificates, in PEM, of the authorities that a `rediss://` server's certificate is checked against,
    /// by default those that the system trusts.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// How long making a connection may take, by default 2 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.limits.connect = limit;
        self
    }

    /// How long the server may take for one answer, by default 1 second. A request that takes longer counts
    /// as unknown, and the connection is replaced.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.limits.request = limit;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`](crate::ErrorKind::InvalidOption) for a URL of another form,
    /// [`ErrorKind::Auth`](crate::ErrorKind::Auth) if the server refuses the user or a right is missing,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if it is older than Redis 6.2,
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it does not answer in time.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    pub async fn build(self) -> Result<RedisBackend, LockError> {
        let name = |error: LockError| error.with_operation(Operation::Connect).with_backend("redis");
        let info = connection_info(&self.url).map_err(name)?;
        let address = info.addr().to_string();
        let client = self.client(info).map_err(|cause| name(classify(cause)))?;
        let inbox = Inbox::new(OwnerId::random().map_err(name)?);
        let wakeups = Arc::new(Wakeups::default());
        let connection = Connection::new(client, self.limits, inbox, Arc::clone(&wakeups));
        connection.ensure().await.map_err(name)?;
        startup::check(&connection).await;
        let doubts = Doubts::default();
        Ok(RedisBackend(Arc::new(Shared { address, inbox, wakeups, doubts, connection })))
    }

    #[cfg(not(feature = "redis-tls"))]
    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        Client::open(info)
    }

    #[cfg(feature = "redis-tls")]
    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        // Without a default, or with two to choose from, the first handshake would panic. One that the program
        // has set stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if !matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. }) {
            return Client::open(info);
        }
        let root_cert = self.root_certificates.clone();
        Client::build_with_tls(info, redis::TlsCertificates { client_tls: None, root_cert })
    }
}

fn connection_info(url: &str) -> Result<ConnectionInfo, LockError> {
    let info = url.into_connection_info().map_err(classify)?;
    let tcp = TcpSettings::default().set_nodelay(true);
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_tcp_settings(tcp).set_redis_settings(redis))
}

/// Without the URL, which may hold a password.
impl fmt::Debug for RedisBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackendBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}

//! Makes connections: the login, and the limits of time.

use super::address::Address;
use super::probes::tcp_settings;
use super::timed::{TimedConnection, in_time};
use super::transport::Transport;
use crate::backend::redis::access::{Limits, ServerAccess};
use crate::backend::redis::credentials::{Credentials, CredentialsProvider};
use crate::backend::redis::failure::{classify_greeting, may_be_no_resp3};
use crate::backend::redis::notifications::Receiver;
use crate::backend::redis::words::without_secret;
use crate::error::LockError;
use crate::keeper::Keeper;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo};
use redis::{ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult};
use std::time::Duration;

/// The login and the limits that all servers of one backend share.
#[derive(Clone)]
pub(crate) struct Connector {
    info: ConnectionInfo,
    pub(super) limits: Limits,
    transport: Transport,
    credentials: Option<CredentialsProvider>,
    /// Whether nothing is to be heard over the connections, so that RESP2 will do where RESP3 is refused.
    is_deaf: bool,
}

impl Connector {
    /// For the server and the login of `info`.
    ///
    /// # Errors
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) if a setting of TLS is wrong.
    pub(crate) fn new(info: ConnectionInfo, access: &ServerAccess) -> Result<Self, LockError> {
        let transport = Transport::to(info.addr(), access)?;
        let redis = as_dlock(info.redis_settings().clone());
        let info = info.set_tcp_settings(tcp_settings()).set_redis_settings(redis);
        let (limits, credentials) = (access.limits, access.credentials.clone());
        Ok(Self { info, limits, transport, credentials, is_deaf: false })
    }

    /// The server it was made for.
    pub(crate) fn server(&self) -> String {
        self.info.addr().to_string()
    }

    /// The same login at another server.
    pub(super) fn at(&self, address: &Address) -> Self {
        let (host, port) = (address.host.clone(), address.port);
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Self { info: self.info.clone().set_addr(addr), ..self.clone() }
    }

    /// The same with another login, or with none, that does not change.
    pub(crate) fn with_login(mut self, login: Option<&(String, String)>) -> Self {
        let mut redis = as_dlock(RedisConnectionInfo::default());
        if let Some((user, password)) = login {
            redis = redis.set_username(user).set_password(password);
        }
        self.info = self.info.set_redis_settings(redis);
        self.credentials = None;
        self
    }

    /// The same with `limit` as the time for an answer.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.limits.request = limit;
        self
    }

    /// The same for connections over which nothing is to be heard.
    pub(crate) fn deaf(mut self) -> Self {
        self.is_deaf = true;
        self
    }

    /// A new connection, whose task is one of the runtime that this is called in. What the server sends unasked goes to
    /// `receiver`, if there is one.
    pub(super) async fn connect(&self, receiver: Option<Receiver>) -> Result<TimedConnection, LockError> {
        let connected = self.connect_unnamed(receiver).await;
        connected.map_err(|error| error.with_server(&self.server()))
    }

    async fn connect_unnamed(&self, receiver: Option<Receiver>) -> Result<TimedConnection, LockError> {
        let keeper = Keeper::here()?;
        let info = self.info_now(keeper).await?;
        let mut connected = self.open(info.clone(), receiver, keeper).await;
        if self.is_deaf && connected.as_ref().is_err_and(may_be_no_resp3) {
            connected = self.open(in_resp2(&info), None, keeper).await;
        }
        let password = info.redis_settings().password();
        let connection = connected.map_err(|cause| self.failure(without_secret(cause, password)))?;
        give_name(&mut connection.clone()).await;
        Ok(connection)
    }

    fn failure(&self, cause: RedisError) -> LockError {
        let is_encrypted = matches!(self.info.addr(), ConnectionAddr::TcpTls { .. });
        let is_silent = is_encrypted && cause.is_timeout();
        let error = classify_greeting(cause);
        if is_silent {
            error.adding("; check that this port speaks TLS, as rediss:// asks for")
        } else {
            error
        }
    }

    async fn open(
        &self,
        info: ConnectionInfo,
        receiver: Option<Receiver>,
        keeper: &'static Keeper,
    ) -> RedisResult<TimedConnection> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(4_096);
        if let Some(receiver) = receiver {
            config = config.set_push_sender(move |push| -> RedisResult<()> {
                receiver.receive(&push);
                Ok(())
            });
        }
        let opened = in_time(keeper, self.limits.connect, self.transport.open(info, &config)).await?;
        Ok(TimedConnection::new(opened, keeper, self.limits.request))
    }

    /// With the credentials of this moment.
    async fn info_now(&self, keeper: &'static Keeper) -> Result<ConnectionInfo, LockError> {
        let Some(provider) = &self.credentials else { return Ok(self.info.clone()) };
        let Credentials { user, password } = provider.credentials(keeper, self.limits.connect).await?;
        let redis = RedisConnectionInfo::default().set_db(self.info.redis_settings().db());
        let redis = as_dlock(redis).set_password(password);
        let redis = match user {
            Some(user) => redis.set_username(user),
            None => redis,
        };
        Ok(self.info.clone().set_redis_settings(redis))
    }
}

fn in_resp2(info: &ConnectionInfo) -> ConnectionInfo {
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    info.clone().set_redis_settings(redis)
}

/// What every connection is, whatever its login: it hears pushes, and says which library it is of. A server that does not
/// know how it can be told, or does not allow it, is none the worse.
fn as_dlock(redis: RedisConnectionInfo) -> RedisConnectionInfo {
    redis.set_protocol(ProtocolVersion::RESP3).set_lib_name("dlock", env!("CARGO_PKG_VERSION"))
}

/// Has the server show the connection's name in `CLIENT LIST`. The answer is not waited for: a refusal changes nothing.
async fn give_name(connection: &mut TimedConnection) {
    let mut command = redis::cmd("CLIENT");
    command.arg("SETNAME").arg(client_name()).set_no_response(true);
    // What is wrong with the connection shows by the next command.
    let _ = connection.query::<()>(&command).await;
}

/// `dlock:host:pid`, in the characters that a name may have.
fn client_name() -> String {
    let host: String = host().chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect();
    format!("dlock:{host}:{}", std::process::id())
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

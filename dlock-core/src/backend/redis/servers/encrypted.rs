//! Connections over TLS.
//!
//! By itself the client library loads the system's certificates for each connection, fails if one of them is bad, and
//! uses the process's crypto provider. So dlock opens the stream and hands it over.

use super::timed::Opened;
use crate::backend::redis::tls::Encryption;
use futures_util::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::SockRef;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, RedisResult};
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

#[derive(Clone)]
pub(super) struct EncryptedTransport(pub(super) Encryption);

impl EncryptedTransport {
    pub(super) async fn open(
        &self,
        info: &ConnectionInfo,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<Opened> {
        let stream = self.shake_hands(info).await?;
        let made =
            MultiplexedConnection::new_with_config(info.redis_settings(), stream, config.clone()).await?;
        let (connection, task) = made;
        Ok((connection, Some(Arc::new(AbortOnDropHandle::new(tokio::spawn(task))))))
    }

    async fn shake_hands(&self, info: &ConnectionInfo) -> io::Result<TlsStream<TcpStream>> {
        let ConnectionAddr::TcpTls { host, port, .. } = info.addr() else {
            return Err(io::Error::other("a Unix socket has no TLS"));
        };
        let name = match &self.0.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.clone()).map_err(io::Error::other)?,
        };
        let stream = connect(host, *port).await?;
        set(&stream, info.tcp_settings())?;
        TlsConnector::from(Arc::clone(&self.0.config)).connect(name, stream).await
    }
}

/// By whichever address of the host answers first.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let connecting: Vec<_> = lookup_host((host, port)).await?.map(TcpStream::connect).map(Box::pin).collect();
    if connecting.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    }
    Ok(select_ok(connecting).await?.0)
}

fn set(stream: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(settings.nodelay())?;
    if let Some(keepalive) = settings.keepalive() {
        socket.set_tcp_keepalive(keepalive)?;
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    socket.set_tcp_user_timeout(settings.user_timeout())?;
    Ok(())
}

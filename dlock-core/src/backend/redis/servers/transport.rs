//! Opening a connection: by the client library, or over TLS.

use super::timed::Opened;
use crate::backend::redis::access::ServerAccess;
use crate::error::LockError;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisResult};

/// What opens connections.
#[derive(Clone)]
pub(super) enum Transport {
    /// The client library: plain, by a socket, or in the TLS of a client that the program made.
    Library,
    #[cfg(feature = "redis-tls")]
    Tls(super::encrypted::EncryptedTransport),
}

impl Transport {
    /// # Errors
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) if a setting of TLS is wrong.
    #[cfg(feature = "redis-tls")]
    pub(super) fn to(address: &ConnectionAddr, access: &ServerAccess) -> Result<Self, LockError> {
        match address {
            ConnectionAddr::TcpTls { tls_params: Some(_), .. } if !access.tls.is_set() => Ok(Self::Library),
            ConnectionAddr::TcpTls { insecure, .. } => {
                let mut tls = access.tls.clone();
                tls.skips_verification |= *insecure;
                Ok(Self::Tls(super::encrypted::EncryptedTransport(tls.encryption()?)))
            }
            _ if access.tls.is_set() => Err(LockError::new(
                crate::error::ErrorKind::InvalidOption,
                "there are settings of TLS, but the URL does not ask for TLS; write rediss:// instead of redis://",
            )),
            _ => Ok(Self::Library),
        }
    }

    #[cfg(not(feature = "redis-tls"))]
    pub(super) fn to(_address: &ConnectionAddr, _access: &ServerAccess) -> Result<Self, LockError> {
        Ok(Self::Library)
    }

    /// To be called in the runtime that is to have the connection's task.
    pub(super) async fn open(
        &self,
        info: ConnectionInfo,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<Opened> {
        match self {
            Self::Library => {
                #[cfg(feature = "redis-tls")]
                if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                    crate::backend::redis::tls::install_provider_if_none_is_there();
                }
                let connecting = Client::open(info)?;
                Ok((connecting.get_multiplexed_async_connection_with_config(config).await?, None))
            }
            #[cfg(feature = "redis-tls")]
            Self::Tls(encrypted) => encrypted.open(&info, config).await,
        }
    }
}

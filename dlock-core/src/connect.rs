//! Which backend a URL names.

use crate::backend::Backend;
use crate::backend::embedded::EmbeddedBackend;
use crate::error::{ErrorKind, LockError, Operation};
use std::sync::Arc;

/// Connects to the backend that `url` names. The URL may hold a password and is never part of an error.
pub(crate) async fn backend(url: &str) -> Result<Arc<dyn Backend>, LockError> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("memory") => Ok(Arc::new(EmbeddedBackend::new())),
        Some(
            "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "redis+cluster" | "rediss+cluster",
        ) => redis(url).await,
        Some("redlock" | "rediss+redlock") => redlock(url).await,
        Some("zookeeper" | "zookeeper+tls") => zookeeper(url).await,
        _ => Err(error(
            ErrorKind::InvalidOption,
            "the URL's scheme is none of memory:, redis://, rediss://, redis+sentinel://, redis+cluster://, redlock://, zookeeper://",
        )),
    }
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<Arc<dyn Backend>, LockError> {
    Ok(Arc::new(crate::backend::redis::RedisBackend::builder().url(url).build().await?))
}

#[cfg(not(feature = "redis"))]
async fn redis(_url: &str) -> Result<Arc<dyn Backend>, LockError> {
    Err(error(ErrorKind::Unsupported, "built without Redis; turn on the feature `redis` of dlock-core"))
}

#[cfg(feature = "redis")]
async fn redlock(url: &str) -> Result<Arc<dyn Backend>, LockError> {
    Ok(Arc::new(crate::backend::redis::RedlockBackend::builder().url(url).build().await?))
}

#[cfg(not(feature = "redis"))]
async fn redlock(url: &str) -> Result<Arc<dyn Backend>, LockError> {
    redis(url).await
}

#[cfg(feature = "zookeeper")]
async fn zookeeper(url: &str) -> Result<Arc<dyn Backend>, LockError> {
    Ok(Arc::new(crate::backend::zookeeper::ZooKeeperBackend::builder().url(url).build().await?))
}

#[cfg(not(feature = "zookeeper"))]
async fn zookeeper(_url: &str) -> Result<Arc<dyn Backend>, LockError> {
    Err(error(
        ErrorKind::Unsupported,
        "built without ZooKeeper; turn on the feature `zookeeper` of dlock-core",
    ))
}

fn error(kind: ErrorKind, detail: &'static str) -> LockError {
    LockError::new(kind, detail).with_operation(Operation::Connect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_of_no_backend_is_refused_without_being_shown() {
        for url in ["", "order:42", "mysql://user:secret@host/", "memory", "//"] {
            let error = backend(url).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOption, "{url}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }
}

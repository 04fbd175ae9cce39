//! Backends by the URL of their server.

use dlock_core::backend::Backend;
use dlock_core::{LockError, RedisBackend, ZooKeeperBackend};
use std::sync::Arc;
use std::time::Duration;

/// The backend at `url`. With ZooKeeper the session ends after `lease` if nothing is done for it; Redis knows no
/// sessions.
///
/// # Errors
/// What the builder returns.
pub async fn backend_at(url: &str, lease: Duration) -> Result<Arc<dyn Backend>, LockError> {
    Ok(match url.starts_with("zookeeper:") {
        true => Arc::new(ZooKeeperBackend::builder().url(url).session_timeout(lease).build().await?),
        false => Arc::new(RedisBackend::builder().url(url).build().await?),
    })
}

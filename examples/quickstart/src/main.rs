//! The lock by itself, with nothing to install: `cargo run -p quickstart`.

use dlock_core::{EmbeddedBackend, LockError, LockManager};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), LockError> {
    let locks = LockManager::builder(EmbeddedBackend::new()).ttl(Duration::from_secs(30)).build()?;

    let guard = locks.lock("order:42").wait(Duration::from_secs(2)).await?;
    println!("order:42 is mine for at least {:?}; token {}", guard.remaining(), guard.token());

    let second = locks.lock("order:42").try_acquire().await?;
    println!("a second try for order:42 gets {second:?}");

    let receipt = guard.run(async { "order 42 is paid" }).await?;
    println!("{receipt}; had the lock been lost meanwhile, the work would have been dropped");

    guard.release().await?;
    let next = locks.lock("order:42").await?;
    println!("released; the next holder's token is greater: {}", next.token());

    drop(next);
    locks.shutdown().await?;
    Ok(())
}

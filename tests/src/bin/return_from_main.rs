//! A `main` that just returns, for the tests that look what it leaves behind.
//!
//! The arguments are what it does (`holds` or `waits`), its runtime (`one` thread or `many`), the server's URL, the key,
//! and in ms the ttl, or for ZooKeeper the session's timeout. It holds the lock, or gives up a wait for it, and returns:
//! no release, no shutdown. What it still has is dropped as every `main` drops it.

use dlock_core::LockManager;
use dlock_tests::backend_at;
use std::error::Error;
use std::time::Duration;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("holds|waits|installs one|many URL KEY LEASE");
    let (act, runtime, url, key) = (next()?, next()?, next()?, next()?);
    let lease = Duration::from_millis(next()?.parse()?);
    match runtime.as_str() {
        "one" => on_one_thread(&act, &url, &key, lease),
        _ => on_many_threads(&act, &url, &key, lease),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn on_one_thread(act: &str, url: &str, key: &str, lease: Duration) -> Outcome {
    work(act, url, key, lease).await
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn on_many_threads(act: &str, url: &str, key: &str, lease: Duration) -> Outcome {
    work(act, url, key, lease).await
}

async fn work(act: &str, url: &str, key: &str, lease: Duration) -> Outcome {
    let locks = LockManager::builder(backend_at(url, lease).await?).ttl(lease).build()?;
    if act == "waits" {
        // It is another process that holds the lock, so this never gets it.
        let given_up = tokio::time::timeout(A_MOMENT, locks.lock(key).acquire()).await;
        return given_up.map_or_else(|_| Ok(()), |_| Err("the wait was over".into()));
    }
    let _installed = (act == "installs").then(|| LockManager::install_scoped(locks.clone()));
    let _guard = locks.lock(key).await?;
    Ok(())
}

/// Long enough to be in the queue.
const A_MOMENT: Duration = Duration::from_millis(500);

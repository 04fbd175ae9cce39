//! One key, locked by us, by redis-py and by redlock: each excludes the others, and gives way to them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

mod client;
mod contention;
mod hand_over;
mod namespaces;
mod pairs;

use dlock_core::backend::redis::Recipe;
use dlock_core::{Backend, LockManager, RedisBackend};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60 * 60);
const BRIEF: Duration = Duration::from_millis(600);
const PATIENCE: Duration = Duration::from_secs(30);

/// Our side of every test in here.
async fn manager(url: String, recipe: Recipe) -> LockManager {
    over(backend(url, recipe).await)
}

async fn backend(url: String, recipe: Recipe) -> RedisBackend {
    RedisBackend::builder().url(url).recipe(recipe).build().await.unwrap()
}

fn over(backend: impl Backend) -> LockManager {
    LockManager::builder(backend).ttl(LONG).wait(PATIENCE).build().unwrap()
}

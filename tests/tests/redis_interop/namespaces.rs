//! A namespace of ours, and clients of other libraries that lock the whole name.

use crate::client::{Client, Kind};
use crate::{LONG, PATIENCE};
use dlock_core::backend::redis::Recipe;
use dlock_core::{LockManager, LockManagerBuilder, RedisBackend};
use dlock_tests::RedisServer;

/// What is `order:42` in the namespace.
const WHOLE: &str = "shop:order:42";

fn build(builder: LockManagerBuilder) -> LockManager {
    builder.ttl(LONG).wait(PATIENCE).build().unwrap()
}

/// The namespace is the backend's, or the manager's, or a part of it each.
async fn in_all_ways(server: &RedisServer, recipe: Recipe) -> [LockManager; 3] {
    let builder = || RedisBackend::builder().url(server.url()).recipe(recipe);
    let (all, none) = (builder().namespace("shop:").build(), builder().build());
    let (all, none, part) = tokio::join!(all, none, builder().namespace("sh").build());
    let [all, none, part] = [all, none, part].map(|backend| LockManager::builder(backend.unwrap()));
    [build(all), build(none.namespace("shop:")), build(part.namespace("op:"))]
}

async fn the_whole_name_is_the_same_lock(ours: &LockManager, theirs: &mut Client, server: &RedisServer) {
    let guard = ours.lock("order:42").await.unwrap();
    assert!(!theirs.try_acquire(WHOLE, LONG).await, "it is ours");
    assert!(theirs.try_acquire("order:42", LONG).await, "another lock");
    assert!(theirs.release().await);
    theirs.wait_for(WHOLE, LONG, server).await;
    guard.release().await.unwrap();
    theirs.granted().await;
    assert!(ours.lock("order:42").try_acquire().await.unwrap().is_none(), "it is theirs");
    let waiter = tokio::spawn(ours.lock("order:42").acquire());
    assert!(theirs.release().await);
    waiter.await.unwrap().unwrap().release().await.unwrap();
}

async fn clients_share_a_namespace(kind: Kind) {
    for recipe in [Recipe::Fair, Recipe::Barging, Recipe::Plain] {
        let server = RedisServer::start();
        let mut theirs = Client::start(kind, &server).await;
        for ours in in_all_ways(&server, recipe).await {
            the_whole_name_is_the_same_lock(&ours, &mut theirs, &server).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_py_shares_a_namespace() {
    clients_share_a_namespace(Kind::RedisPy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redlock_shares_a_namespace() {
    clients_share_a_namespace(Kind::Redlock).await;
}

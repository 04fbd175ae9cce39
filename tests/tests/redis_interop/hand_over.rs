//! A lock that goes from client to client.

use crate::LONG;
use crate::client::{Client, Kind};
use dlock_core::backend::redis::Recipe;
use dlock_tests::RedisServer;
use tokio::task::JoinSet;

/// Each kind hands over to each other kind, and each waits while another holds.
const CHAIN: [Kind; 7] = [
    Kind::Dlock(Recipe::Fair),
    Kind::RedisPy,
    Kind::Redlock,
    Kind::Dlock(Recipe::Fair),
    Kind::Redlock,
    Kind::RedisPy,
    Kind::Dlock(Recipe::Fair),
];

const KEY: &str = "order:42";

#[tokio::test]
async fn the_lock_goes_from_each_kind_to_each() {
    let server = RedisServer::start();
    let mut holder = Client::start(CHAIN[0], &server).await;
    assert!(holder.try_acquire(KEY, LONG).await);
    for kind in &CHAIN[1..] {
        let mut next = Client::start(*kind, &server).await;
        next.wait_for(KEY, LONG, &server).await;
        assert!(holder.release().await);
        next.granted().await;
        holder = next;
    }
    assert!(holder.release().await);
}

/// All wait at once. Each gives the lock up when it has had it.
#[tokio::test]
async fn of_all_that_wait_each_gets_it() {
    let server = RedisServer::start();
    let mut holder = Client::start(Kind::Redlock, &server).await;
    assert!(holder.try_acquire(KEY, LONG).await);
    let mut waiting = Vec::new();
    for kind in
        [Kind::RedisPy, Kind::Dlock(Recipe::Fair), Kind::Redlock, Kind::Dlock(Recipe::Fair), Kind::RedisPy]
    {
        let mut client = Client::start(kind, &server).await;
        client.wait_for(KEY, LONG, &server).await;
        waiting.push(client);
    }
    let turns = waiting.into_iter().map(|mut client| async move {
        client.granted().await;
        assert!(client.release().await);
    });
    let turns: JoinSet<()> = turns.collect();
    assert!(holder.release().await);
    turns.join_all().await;
    assert_eq!(server.command(&["EXISTS", KEY]), "0");
}

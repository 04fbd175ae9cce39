//! Servers that do not know a request of the locks: ZooKeeper from before 3.5 and 3.6, and servers that speak its
//! protocol in part.

use super::relay::{Refusal, UNIMPLEMENTED};
use super::*;
use dlock_core::backend::zookeeper::Recipe;
use op_code::{CREATE_2, CREATE_CONTAINER, EPHEMERALS, MULTI, REMOVE_WATCHES, SET_WATCHES, SYNC};

/// ZooKeeper says so, and ClickHouse Keeper drops the connection.
const REFUSALS: [Refusal; 2] = [UNIMPLEMENTED, Refusal::End];

async fn lacking(codes: &[i32], refusal: Refusal) -> Relay {
    let relay = Relay::to(shared_zookeeper()).await;
    codes.iter().for_each(|code| relay.refuse(*code, refusal));
    relay
}

/// A server that drops the connection at each of several requests takes a few sessions to be told by them. On a busy
/// machine that is more than the default.
fn patient(relay: &Relay) -> ZooKeeperBackendBuilder {
    at(&relay.hosts()).connect_within(LIMIT / 2)
}

/// Why a backend is not built for such servers.
async fn refused(relay: &Relay, recipe: Recipe) -> String {
    let built = soon("the build ends", patient(relay).recipe(recipe).build()).await;
    let error = built.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::Unsupported, Some(Operation::Connect)),
        "{error}"
    );
    error.to_string()
}

/// Without it no heartbeat would be answered, and every guard be lost soon after its grant.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_sync_is_refused_when_a_backend_is_built() {
    for refusal in REFUSALS {
        let relay = lacking(&[SYNC], refusal).await;
        for recipe in [Recipe::Sequential, Recipe::Simple] {
            let text = refused(&relay, recipe).await;
            assert!(text.contains("`sync`") && text.contains("3.5"), "{refusal:?}: {text}");
        }
    }
}

/// The other recipe needs no transactions, and is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_create2_in_transactions_is_for_the_simple_recipe() {
    for refusal in REFUSALS {
        let relay = lacking(&[MULTI], refusal).await;
        let text = refused(&relay, Recipe::Sequential).await;
        assert!(text.contains("Recipe::Simple"), "{refusal:?}: {text}");
        let simple = patient(&relay).recipe(Recipe::Simple).build().await.unwrap();
        manager(simple).lock(fresh_key("simple")).await.unwrap().release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_create2_is_refused() {
    for refusal in REFUSALS {
        let relay = lacking(&[MULTI, CREATE_2], refusal).await;
        for recipe in [Recipe::Sequential, Recipe::Simple] {
            let text = refused(&relay, recipe).await;
            assert!(text.contains("`create2`") && !text.contains("Recipe::Simple"), "{refusal:?}: {text}");
        }
    }
}

/// Without it each waiter that gives up would cost the connection, and with it the doubt of every guard.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_removal_of_watches_is_refused() {
    for refusal in REFUSALS {
        let relay = lacking(&[REMOVE_WATCHES], refusal).await;
        for recipe in [Recipe::Sequential, Recipe::Simple] {
            let text = refused(&relay, recipe).await;
            assert!(text.contains("`removeWatches`"), "{refusal:?}: {text}");
        }
    }
}

/// ClickHouse Keeper, by what its versions learned one after the other; it drops the connection at all else. The last one
/// knows no containers yet.
#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_keeper_is_told_by_what_it_lacks() {
    let of_2024 = [CREATE_2, MULTI, REMOVE_WATCHES, SET_WATCHES, CREATE_CONTAINER, EPHEMERALS];
    let with_create_2 = [REMOVE_WATCHES, SET_WATCHES, CREATE_CONTAINER, EPHEMERALS];
    for (lacks, named) in [(&of_2024[..], "`create2`"), (&with_create_2, "`removeWatches`")] {
        for recipe in [Recipe::Sequential, Recipe::Simple] {
            let relay = lacking(lacks, Refusal::End).await;
            let text = refused(&relay, recipe).await;
            assert!(text.contains(named), "{text}");
        }
    }
    for recipe in [Recipe::Sequential, Recipe::Simple] {
        let relay = lacking(&[CREATE_CONTAINER, EPHEMERALS], Refusal::End).await;
        let backend = soon("the backend is built", patient(&relay).recipe(recipe).build()).await.unwrap();
        let (locks, key) = (each_for_itself(backend), fresh_key("clickhouse"));
        let guard = locks.lock(&key).await.unwrap();
        let connections = relay.connections();
        let gives_up = locks.lock(&key).wait(Duration::from_millis(100)).acquire().await.unwrap_err();
        assert_eq!(gives_up.kind(), ErrorKind::Busy);
        guard.release().await.unwrap();
        locks.lock(&key).await.unwrap().release().await.unwrap();
        assert_eq!(relay.connections(), connections, "{recipe:?}");
    }
}

/// The directories stay, and a node that an operator removes is not noticed. The locks work all the same, and the
/// connection is not dropped again and again by a request that the server is known to lack.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_containers_and_lists_of_nodes_is_made_do_with() {
    for refusal in REFUSALS {
        let relay = lacking(&[CREATE_CONTAINER, EPHEMERALS], refusal).await;
        let backend = soon("the backend is built", patient(&relay).build()).await.unwrap();
        let (locks, key) = (manager(backend), fresh_key("stays"));
        let guard = locks.lock(&key).await.unwrap();
        relay.take_requests();
        let (connections, mut beats) = (relay.connections(), 0);
        until("several heartbeats have been answered", async || {
            beats += relay.take_requests().iter().filter(|code| **code == SYNC).count();
            beats >= 4
        })
        .await;
        assert!(guard.is_valid());
        assert_eq!(relay.connections(), connections, "{refusal:?}");
        guard.release().await.unwrap();
    }
}

/// A connection that is lost while the servers are looked at says nothing of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_during_the_look_is_no_answer() {
    for code in [SYNC, MULTI] {
        let relay = Relay::to(shared_zookeeper()).await;
        relay.play(Trick::End(code));
        let backend = soon("the backend is built", patient(&relay).build()).await.unwrap();
        assert_eq!(relay.played(), 1);
        manager(backend).lock(fresh_key("looked at")).await.unwrap().release().await.unwrap();
    }
}

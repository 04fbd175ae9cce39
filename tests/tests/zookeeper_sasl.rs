//! ZooKeeper accounts by SASL's DIGEST-MD5, with a server that has a JAAS configuration.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_core::{ErrorKind, LockManager, ZooKeeperBackend, ZooKeeperBackendBuilder};
use dlock_tests::{ZooKeeperServer, ZooKeeperServerBuilder, shared_zookeeper, wait_until_async};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The servers' accounts.
const JAAS: &str = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_billing=\"marker-secret\" \
    user_reports=\"marker-other\"; };";

fn server() -> ZooKeeperServerBuilder {
    ZooKeeperServer::builder()
        .file("jaas.conf", JAAS)
        .java_option("-Djava.security.auth.login.config=jaas.conf")
        .config("authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
}

/// Lets in no client without an account.
fn closed() -> ZooKeeperServer {
    server().config("enforce.auth.enabled=true").config("enforce.auth.schemes=sasl").start()
}

fn at(hosts: &str) -> ZooKeeperBackendBuilder {
    let builder = ZooKeeperBackend::builder().hosts(hosts).session_timeout(Duration::from_secs(4));
    builder.connect_within(Duration::ZERO)
}

#[tokio::test]
async fn an_account_of_the_servers_is_let_in_and_others_are_not() {
    let server = closed();
    let billing = at(&server.hosts()).sasl_digest_md5("billing", "marker-secret");
    assert!(!format!("{billing:?}").contains("marker"), "{billing:?}");
    let locks = LockManager::builder(billing.build().await.unwrap()).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    assert!(!format!("{locks:?} {guard:?}").contains("marker"));
    for wrong in [
        at(&server.hosts()),
        at(&server.hosts()).sasl_digest_md5("billing", "marker-wrong"),
        at(&server.hosts()).sasl_digest_md5("nobody", "marker-secret"),
    ] {
        let refused = wrong.build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{refused:?}");
        assert!(!format!("{refused} {refused:?}").contains("marker"), "{refused:?}");
    }
    guard.release().await.unwrap();
    let by_url = format!("zookeeper://{}?sasl_user=billing&sasl_password=marker-secret", server.hosts());
    LockManager::connect(&by_url).await.unwrap().lock("order:42").await.unwrap().release().await.unwrap();
    for wrong in ["sasl_user=billing", "sasl_user=billing&sasl_password=marker%22"] {
        let refused =
            LockManager::connect(&format!("zookeeper://{}?{wrong}", server.hosts())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
        assert!(!format!("{refused:?}").contains("marker"), "{refused:?}");
    }
}

/// The account is told at every connection: a session goes on after the servers were away.
#[tokio::test]
async fn a_session_is_taken_up_again_with_its_account() {
    let mut server = closed();
    let builder = at(&server.hosts()).sasl_digest_md5("billing", "marker-secret");
    let builder = builder.session_timeout(Duration::from_secs(60));
    let locks = LockManager::builder(builder.build().await.unwrap()).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    server.restart();
    let tries = async || locks.lock("order:43").try_acquire().await.is_ok_and(|guard| guard.is_some());
    wait_until_async("the servers answer again", PATIENCE, tries).await;
    assert!(guard.is_valid());
    guard.release().await.unwrap();
}

/// What an account makes is its own, and that of those it shares it with.
#[tokio::test]
async fn locks_belong_to_the_account() {
    let server = server().start();
    let as_billing = || at(&server.hosts()).sasl_digest_md5("billing", "marker-secret");
    let billing = as_billing().root("/billing").build().await.unwrap();
    let locks = LockManager::builder(billing).build().unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let as_reports = || at(&server.hosts()).sasl_digest_md5("reports", "marker-other");
    let refused = as_reports().root("/billing").build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused:?}");
    let shared = as_billing().root("/shared").share_with("sasl", "reports").build().await.unwrap();
    LockManager::builder(shared).build().unwrap().lock("k").await.unwrap().release().await.unwrap();
    let reports = as_reports().root("/shared").build().await.unwrap();
    LockManager::builder(reports).build().unwrap().lock("k").await.unwrap().release().await.unwrap();
}

/// A server without SASL takes no account by it, and that is told when the backend is built.
#[tokio::test]
async fn a_server_without_accounts_is_refused() {
    let builder = at(&shared_zookeeper().hosts()).sasl_digest_md5("billing", "marker-secret");
    let refused = builder.build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused:?}");
}

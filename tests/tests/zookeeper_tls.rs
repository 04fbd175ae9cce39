//! The ZooKeeper backend over TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_core::{ErrorKind, LockManager, ZooKeeperBackend, ZooKeeperBackendBuilder};
use dlock_tests::{ZooKeeperServer, wait_until};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use tempfile::TempDir;

struct Authority {
    certificate: String,
    key: String,
}

fn self_signed(name: &str) -> Authority {
    let signed = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Authority { certificate: signed.cert.pem(), key: signed.signing_key.serialize_pem() }
}

/// A server that also listens for TLS, and where.
struct Secure {
    server: ZooKeeperServer,
    hosts: String,
    _files: TempDir,
}

/// Clients show a certificate of `clients`, if there is one.
fn server(authority: &Authority, clients: Option<&Authority>) -> Secure {
    let files = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let keys = file("server.pem", &format!("{}{}", authority.key, authority.certificate));
    let trusted = file("clients.pem", &clients.unwrap_or(authority).certificate);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = ZooKeeperServer::builder()
        .config("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory")
        .config(&format!("secureClientPort={port}"))
        .config("secureClientPortAddress=127.0.0.1")
        .config(&format!("ssl.keyStore.location={keys}"))
        .config("ssl.keyStore.type=PEM")
        .config(&format!("ssl.trustStore.location={trusted}"))
        .config("ssl.trustStore.type=PEM")
        .config("ssl.hostnameVerification=false")
        .config(&format!("ssl.clientAuth={}", if clients.is_some() { "need" } else { "none" }))
        .start();
    let hosts = format!("127.0.0.1:{port}");
    // The server opens the port for TLS after the one that says that it is there.
    wait_until("the port for TLS is open", PATIENCE, || TcpStream::connect(&hosts).is_ok());
    Secure { server, hosts, _files: files }
}

/// The first handshake of a server that has just started takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

fn at(hosts: &str) -> ZooKeeperBackendBuilder {
    ZooKeeperBackend::builder()
        .hosts(hosts)
        .session_timeout(Duration::from_secs(4))
        .connect_within(Duration::ZERO)
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_serves() {
    let authority = self_signed("127.0.0.1");
    let secure = server(&authority, None);
    let builder = ZooKeeperBackend::builder().root_certificates(&authority.certificate);
    let backend = builder.url(format!("zookeeper+tls://{}", secure.hosts)).build().await.unwrap();
    let locks = LockManager::builder(backend).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    let plain = at(&secure.server.hosts()).session_timeout(PATIENCE);
    let plain = LockManager::builder(plain.build().await.unwrap()).build().unwrap();
    assert!(plain.lock("order:42").try_acquire().await.unwrap().is_none(), "it is the same ensemble");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let (authority, clients) = (self_signed("127.0.0.1"), self_signed("client"));
    let secure = server(&authority, Some(&clients));
    let trusting = || at(&secure.hosts).root_certificates(&authority.certificate);
    let known = trusting().client_certificate(&clients.certificate, &clients.key).session_timeout(PATIENCE);
    let locks = LockManager::builder(known.build().await.unwrap()).build().unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let stranger = self_signed("client");
    let unknown = trusting().client_certificate(&stranger.certificate, &stranger.key);
    for refused in [trusting(), unknown] {
        let refused = refused.build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    }
}

#[tokio::test]
async fn files_are_named_in_the_url() {
    let (authority, clients) = (self_signed("127.0.0.1"), self_signed("client"));
    let secure = server(&authority, Some(&clients));
    let files = TempDir::new().unwrap();
    let [roots, chain, key] =
        [("roots", &authority.certificate), ("chain", &clients.certificate), ("key", &clients.key)].map(
            |(name, text)| {
                let path = files.path().join(name);
                fs::write(&path, text).unwrap();
                path.display().to_string()
            },
        );
    let url = format!("zookeeper+tls://{}?session_timeout=30s", secure.hosts);
    let with_files = format!("{url}&root_certificates={roots}&client_certificate={chain},{key}");
    let locks = LockManager::connect(&with_files).await.unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let missing = LockManager::connect(&format!("{url}&root_certificates={roots}.none")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::InvalidOption, "{missing}");
    assert!(missing.to_string().contains("root_certificates"), "{missing}");
}

#[tokio::test]
async fn a_server_with_another_certificate_is_refused() {
    let authority = self_signed("127.0.0.1");
    let secure = server(&authority, None);
    let strange = at(&secure.hosts).root_certificates(self_signed("127.0.0.1").certificate).build().await;
    assert_eq!(strange.unwrap_err().kind(), ErrorKind::Unavailable);
    let port = secure.hosts.rsplit_once(':').unwrap().1;
    let other_name = at(&format!("localhost:{port}")).root_certificates(&authority.certificate).build().await;
    assert_eq!(other_name.unwrap_err().kind(), ErrorKind::Unavailable, "the certificate is for 127.0.0.1");
}

#[tokio::test]
async fn there_is_no_falling_back_to_plain_text() {
    let authority = self_signed("127.0.0.1");
    let secure = server(&authority, None);
    let refused =
        at(&secure.server.hosts()).root_certificates(&authority.certificate).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let plain = at(&secure.hosts).build().await.unwrap_err();
    assert_eq!(plain.kind(), ErrorKind::Unavailable, "{plain}");
}

#[tokio::test]
async fn what_cannot_be_trusted_is_refused_before_anything_is_sent() {
    let nobody = ZooKeeperBackend::builder().url("zookeeper+tls://127.0.0.1:1").build().await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::InvalidOption, "{nobody}");
    assert!(nobody.to_string().contains("root_certificates"), "{nobody}");
    let no_name = at("a..b:1").root_certificates(self_signed("a").certificate).build().await.unwrap_err();
    assert_eq!(no_name.kind(), ErrorKind::InvalidOption, "{no_name}");
    let Authority { certificate, key } = self_signed("marker");
    let builder = at("127.0.0.1:1").root_certificates(&certificate).client_certificate(&certificate, &key);
    assert!(!format!("{builder:?}").contains("BEGIN"), "{builder:?}");
}

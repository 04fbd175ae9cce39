//! The Redis backend over TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_core::{ErrorKind, LockManager, RedisBackend, RedisBackendBuilder, RedlockBackend};
use dlock_tests::RedisServer;
use std::net::TcpListener;
use std::time::Duration;

struct Authority {
    certificate: String,
    key: String,
}

fn self_signed() -> Authority {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    Authority { certificate: signed.cert.pem(), key: signed.signing_key.serialize_pem() }
}

/// A server that also listens for TLS, and the URL of that port.
fn server(authority: &Authority) -> (RedisServer, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = RedisServer::builder()
        .file("server.crt", &authority.certificate)
        .file("server.key", &authority.key)
        .config(&format!("tls-port {port}"))
        .config("tls-cert-file server.crt")
        .config("tls-key-file server.key")
        .config("tls-ca-cert-file server.crt")
        .config("tls-auth-clients no")
        .start();
    (server, format!("rediss://127.0.0.1:{port}"))
}

fn trusting(authority: &Authority) -> RedisBackendBuilder {
    RedisBackend::builder().root_certificates(authority.certificate.as_bytes()).connect_within(Duration::ZERO)
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_serves() {
    let authority = self_signed();
    let (_server, url) = server(&authority);
    let backend = trusting(&authority).url(url).build().await.unwrap();
    let locks = LockManager::builder(backend).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    assert!(locks.lock("order:42").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
}

#[tokio::test]
async fn several_servers_serve_as_well() {
    let authority = self_signed();
    let servers = [(); 3].map(|()| server(&authority));
    let addresses = servers.each_ref().map(|(_, url)| url.trim_start_matches("rediss://")).join(",");
    let builder = RedlockBackend::builder().root_certificates(authority.certificate.as_bytes());
    let backend = builder.url(format!("rediss+redlock://{addresses}")).build().await.unwrap();
    let locks = LockManager::builder(backend).build().unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_server_with_another_certificate_is_refused() {
    let (_server, url) = server(&self_signed());
    let strange = trusting(&self_signed()).url(&url).build().await.unwrap_err();
    assert_eq!(strange.kind(), ErrorKind::Unavailable, "{strange}");
    let by_the_system =
        RedisBackend::builder().connect_within(Duration::ZERO).url(&url).build().await.unwrap_err();
    assert_eq!(by_the_system.kind(), ErrorKind::Unavailable, "{by_the_system}");
}

#[tokio::test]
async fn there_is_no_falling_back_to_plain_text() {
    let authority = self_signed();
    let (server, _url) = server(&authority);
    let plain = server.url().replace("redis://", "rediss://");
    let refused = trusting(&authority).url(plain).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
}

//! The Redis backend over TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use dlock_core::backend::redis::Credentials;
use dlock_core::{
    ErrorKind, LockError, LockManager, RedisBackend, RedisBackendBuilder, RedlockBackend, redis,
};
use dlock_tests::{RedisCluster, RedisSentinel, RedisServer};
use rcgen::{CertificateParams, DnType, KeyPair};
use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Authority {
    certificate: String,
    key: String,
}

fn self_signed() -> Authority {
    self_signed_for("127.0.0.1")
}

/// Named by itself, so that a server that knows several can tell them apart.
fn self_signed_for(name: &str) -> Authority {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    Authority { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A server that also listens for TLS, and the URL of that port. Clients show no certificate.
fn server(authority: &Authority) -> (RedisServer, String) {
    server_for(authority, None)
}

/// Clients show a certificate of `clients`, if there is one.
fn server_for(authority: &Authority, clients: Option<&Authority>) -> (RedisServer, String) {
    let clients = clients.map(|clients| clients.certificate.as_str());
    let server = RedisServer::builder().tls(&authority.certificate, &authority.key, clients).start();
    let url = format!("rediss://{}", server.tls_address());
    (server, url)
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

async fn locks_once(backend: RedisBackendBuilder) -> Result<(), LockError> {
    let locks = LockManager::builder(backend.build().await?).build()?;
    locks.lock("order:42").await?.release().await
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let (authority, clients, stranger) =
        (self_signed(), self_signed_for("client"), self_signed_for("client"));
    let (_server, url) = server_for(&authority, Some(&clients));
    let known = || trusting(&authority).url(&url).client_certificate(&*clients.certificate, &*clients.key);
    locks_once(known()).await.unwrap();
    assert!(!format!("{:?} {:?}", known(), known().build().await.unwrap()).contains("BEGIN"));
    let strange = trusting(&authority).url(&url).client_certificate(&*stranger.certificate, &*stranger.key);
    for refused in [strange, trusting(&authority).url(&url)] {
        let refused = locks_once(refused).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{refused} {refused:?}");
        assert!(refused.to_string().contains("client_certificate"), "{refused}");
    }
    let mixed = trusting(&authority).url(&url).client_certificate(&*clients.certificate, &*stranger.key);
    let mixed = locks_once(mixed).await.unwrap_err();
    assert_eq!(mixed.kind(), ErrorKind::InvalidOption, "{mixed}");
}

#[tokio::test]
async fn several_servers_are_shown_the_certificate_as_well() {
    let (authority, clients) = (self_signed(), self_signed_for("client"));
    let servers = [(); 3].map(|()| server_for(&authority, Some(&clients)));
    let builder = RedlockBackend::builder().servers(servers.iter().map(|(_, url)| url));
    let builder = builder.root_certificates(&*authority.certificate);
    let builder = builder.client_certificate(&*clients.certificate, &*clients.key);
    let locks = LockManager::builder(builder.build().await.unwrap()).build().unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn files_are_named_in_the_url() {
    let (authority, clients) = (self_signed(), self_signed_for("client"));
    let (server, url) = server_for(&authority, Some(&clients));
    std::fs::write(server.directory().join("clients.crt"), &clients.certificate).unwrap();
    std::fs::write(server.directory().join("clients.key"), &clients.key).unwrap();
    let file = |name: &str| server.directory().join(name).display().to_string();
    let [roots, chain, key] = ["server.crt", "clients.crt", "clients.key"].map(file);
    let url = format!("{url}?root_certificates={roots}&client_certificate={chain},{key}");
    let locks = LockManager::connect(&url).await.unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let missing = LockManager::connect(&url.replace("clients.key", "none")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::InvalidOption, "{missing}");
    assert!(missing.to_string().contains("client_certificate"), "{missing}");
}

/// The settings of a client that the program has already.
#[tokio::test]
async fn a_client_of_the_client_library_brings_its_own_tls() {
    let (authority, clients) = (self_signed(), self_signed_for("client"));
    let (server, url) = server_for(&authority, Some(&clients));
    server.command(&["ACL", "SETUSER", "dlock", "on", ">secret", "~*", "&*", "+@all"]);
    let url = url.replace("://", "://dlock:secret@") + "/3";
    let (client_cert, client_key) = (clients.certificate.into_bytes(), clients.key.into_bytes());
    let client_tls = Some(redis::ClientTlsConfig { client_cert, client_key });
    let root_cert = Some(authority.certificate.clone().into_bytes());
    let client =
        redis::Client::build_with_tls(url.as_str(), redis::TlsCertificates { client_tls, root_cert });
    let client = client.unwrap();
    locks_once(RedisBackend::builder().client(client.clone())).await.unwrap();
    let backend = RedisBackend::builder().client(client).build().await.unwrap();
    let locks = LockManager::builder(backend).build().unwrap();
    let _guard = locks.lock("order:42").await.unwrap();
    assert!(server.command(&["CLIENT", "LIST"]).contains("user=dlock"));
    assert!(server.command(&["INFO", "keyspace"]).contains("db3:"));
}

#[tokio::test]
async fn the_name_of_the_certificate_may_be_another_than_the_hosts() {
    let authority = self_signed_for("redis.internal");
    let (_server, url) = server(&authority);
    let refused = locks_once(trusting(&authority).url(&url)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.to_string().contains("tls_server_name"), "{refused}");
    locks_once(trusting(&authority).url(&url).tls_server_name("redis.internal")).await.unwrap();
    locks_once(trusting(&authority).url(format!("{url}?tls_server_name=redis.internal"))).await.unwrap();
    let other = trusting(&authority).url(&url).tls_server_name("other.internal");
    assert_eq!(locks_once(other).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_checked_is_warned_of() {
    let (_server, url) = server(&self_signed_for("other.internal"));
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || written.clone()).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    locks_once(RedisBackend::builder().url(&url).insecure_skip_verify()).await.unwrap();
    let text = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
    assert!(text.contains("WARN") && text.contains("insecure_skip_verify"), "{text}");
    locks_once(RedisBackend::builder().url(format!("{url}?insecure_skip_verify=true"))).await.unwrap();
}

#[tokio::test]
async fn settings_of_tls_are_for_urls_that_ask_for_it() {
    let refused = locks_once(trusting(&self_signed()).url("redis://127.0.0.1:1")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    assert!(refused.to_string().contains("rediss://"), "{refused}");
}

/// What `connect_over_tls` says of the process's crypto provider.
fn provider_after(url: &str, arguments: &[&str], trusted: &Path) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_connect_over_tls"));
    let ended = program.arg(url).args(arguments).env("SSL_CERT_FILE", trusted).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

/// What the system trusts counts where no roots are given, and a bad certificate among it does not matter. The process's
/// crypto provider is the program's to choose: none is installed, and one that is there stays.
#[test]
fn the_systems_roots_are_used_and_no_crypto_provider_is_installed() {
    let authority = self_signed();
    let (server, url) = server(&authority);
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let trusted = server.directory().join("trusted.crt");
    std::fs::write(&trusted, format!("{bad}{}{bad}", authority.certificate)).unwrap();
    assert_eq!(provider_after(&server.url(), &[], &trusted), "none");
    assert_eq!(provider_after(&url, &[], &trusted), "none");
    assert_eq!(provider_after(&url, &["with a provider"], &trusted), "3");
}

/// Where roots are given, the system's are not looked at.
#[test]
fn a_system_without_roots_is_fine_where_some_are_given() {
    let authority = self_signed();
    let (server, url) = server(&authority);
    let (roots, nothing) = (server.directory().join("server.crt"), server.directory().join("nothing"));
    let url = format!("{url}?root_certificates={}", roots.display());
    assert_eq!(provider_after(&url, &[], &nothing), "none");
}

/// All settings of TLS at once: clients show a certificate, and the servers' is for another name.
fn with_everything(authority: &Authority, clients: &Authority) -> RedisBackendBuilder {
    let builder = trusting(authority).client_certificate(&*clients.certificate, &*clients.key);
    builder.tls_server_name("redis.internal").connect_within(Duration::from_secs(20))
}

/// Two processes share a lock: one holds it, and the other waits in line.
async fn hand_over(one: RedisBackendBuilder, other: RedisBackendBuilder) {
    let build = async |builder: RedisBackendBuilder| {
        LockManager::builder(builder.build().await.unwrap()).wait(PATIENCE).build().unwrap()
    };
    let (one, other) = (build(one).await, build(other).await);
    let guard = one.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    assert!(other.lock("order:42").try_acquire().await.unwrap().is_none());
    let token = guard.token();
    guard.release().await.unwrap();
    let next = waiter.await.unwrap().unwrap();
    assert!(next.token() > token);
    next.release().await.unwrap();
}

const PATIENCE: Duration = Duration::from_secs(30);
const ACCOUNT: &str = "user dlock on >secret ~* &* +@all";

/// The program's own login, at each connection.
async fn login() -> std::io::Result<Credentials> {
    Ok(Credentials::new("dlock", "secret"))
}

/// Each node is spoken to in TLS, by commands and by what listens, and tells where the others listen for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_of_a_cluster_is_spoken_to_in_tls() {
    let (authority, clients) = (self_signed_for("redis.internal"), self_signed_for("client"));
    let cluster = RedisCluster::builder()
        .tls(&authority.certificate, &authority.key, Some(&clients.certificate))
        .config(ACCOUNT)
        .start();
    let seed = cluster.node(cluster.nodes()[0]).tls_address();
    for scheme in ["rediss+cluster", "valkeys+cluster"] {
        let builder = || {
            let builder = with_everything(&authority, &clients).url(format!("{scheme}://{seed}"));
            builder.require_replicas(1).credentials(login)
        };
        hand_over(builder(), builder()).await;
    }
    let slot = cluster.slot_of("order:42");
    let builder =
        || with_everything(&authority, &clients).url(format!("rediss+cluster://dlock:secret@{seed}"));
    let locks = LockManager::builder(builder().build().await.unwrap()).wait(PATIENCE).build().unwrap();
    let guard = locks.lock("order:42").await.unwrap();
    cluster.fail_over(slot);
    guard.release().await.unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let nameless = trusting(&authority).url(format!("rediss+cluster://{seed}"));
    let refused = locks_once(nameless.client_certificate(&*clients.certificate, &*clients.key)).await;
    assert!(refused.unwrap_err().to_string().contains("tls_server_name"));
    let careless = RedisBackend::builder().url(format!("rediss+cluster://dlock:secret@{seed}"));
    let careless = careless.client_certificate(&*clients.certificate, &*clients.key).insecure_skip_verify();
    locks_once(careless).await.unwrap();
}

/// Sentinels and servers are spoken to in TLS, and so is the primary after a failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_the_servers_that_they_name_are_spoken_to_in_tls() {
    let (authority, clients) = (self_signed_for("redis.internal"), self_signed_for("client"));
    let sentinel = RedisSentinel::builder()
        .tls(&authority.certificate, &authority.key, Some(&clients.certificate))
        .config(ACCOUNT)
        .start();
    let tls_address = |address: SocketAddr| sentinel.node(address).tls_address();
    let sentinels = sentinel.sentinels().into_iter().map(|it| tls_address(it).to_string());
    let hosts = sentinels.collect::<Vec<_>>().join(",");
    let nodes = [vec![sentinel.primary()], sentinel.replicas()].concat();
    let ports: HashMap<_, _> = nodes.iter().map(|node| (node.port(), tls_address(*node).port())).collect();
    let builder = |scheme: &str| {
        let ports = ports.clone();
        with_everything(&authority, &clients)
            .url(format!("{scheme}://{hosts}/{}", sentinel.name()))
            .address_map(move |host, port| (host.to_owned(), ports[&port]))
            .credentials(login)
    };
    hand_over(builder("rediss+sentinel"), builder("valkeys+sentinel")).await;
    let backend = builder("rediss+sentinel").build().await.unwrap();
    let locks = LockManager::builder(backend).wait(PATIENCE).build().unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    sentinel.fail_over();
    locks.lock("order:43").await.unwrap().release().await.unwrap();
    let stranger = self_signed_for("client");
    let strange = builder("rediss+sentinel").client_certificate(&*stranger.certificate, &*stranger.key);
    let refused = locks_once(strange).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
}

#[tokio::test]
async fn valkeys_is_a_scheme_of_tls() {
    let authority = self_signed();
    let (server, url) = server(&authority);
    let roots = server.directory().join("server.crt").display().to_string();
    for scheme in ["valkeys://", "Valkeys://", "REDISS://"] {
        let url = url.replace("rediss://", scheme);
        locks_once(trusting(&authority).url(&url)).await.unwrap();
        let by_url = LockManager::connect(&format!("{url}?root_certificates={roots}")).await.unwrap();
        by_url.lock("order:42").await.unwrap().release().await.unwrap();
    }
}

/// IPv6, where a certificate names the address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_at_ipv6_addresses_are_spoken_to_in_tls() {
    let authority = self_signed_for("::1");
    let builder = RedisCluster::builder().tls(&authority.certificate, &authority.key, None);
    let cluster = builder.config("bind 127.0.0.1 ::1").start();
    let seed = cluster.node(cluster.nodes()[0]).tls_address().port();
    for host in ["[::1]", "[0:0::1]"] {
        let builder = || {
            let builder = trusting(&authority).url(format!("rediss+cluster://{host}:{seed}"));
            builder.address_map(|_, port| ("::1".to_owned(), port))
        };
        hand_over(builder(), builder()).await;
    }
    let one = locks_once(trusting(&authority).url(format!("rediss://[::1]:{seed}"))).await.unwrap_err();
    assert!(one.to_string().contains("redis+cluster://"), "it was spoken to: {one}");
}

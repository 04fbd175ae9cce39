//! Logins that are asked for at each connect.

use super::*;
use dlock_core::backend::redis::{Credentials, Recipe};
use dlock_core::{RedisBackendBuilder, RedlockBackend};
use dlock_tests::{Fake, FakeRedis, RedisSentinel};
use std::io;
use std::sync::atomic::AtomicBool;

/// Tokens that are valid until the next one is given out, and how often they were asked for.
#[derive(Clone, Default)]
struct Tokens {
    current: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Tokens {
    async fn give(self) -> io::Result<Credentials> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Credentials::new("dlock", format!("marker-token-{}", self.current.load(Ordering::SeqCst))))
    }

    /// The old one is of no use from here on.
    fn change(&self, server: &RedisServer) {
        let token = format!(">marker-token-{}", self.current.fetch_add(1, Ordering::SeqCst) + 1);
        server.command(&["ACL", "SETUSER", "dlock", "resetpass", &token]);
    }
}

const ACCOUNT: &str = "user dlock on >marker-token-0 ~* &* +@all";

fn server() -> RedisServer {
    RedisServer::builder()
        .config(ACCOUNT)
        .config("user default on nopass ~* &* +ping +config|get +acl +client +info +exists")
        .start()
}

fn with(server: &RedisServer, tokens: &Tokens) -> RedisBackendBuilder {
    let tokens = tokens.clone();
    RedisBackend::builder().url(server.url()).credentials(move || tokens.clone().give())
}

#[tokio::test]
async fn each_connection_logs_in_with_the_token_of_its_time() {
    let (server, tokens) = (server(), Tokens::default());
    let locks = over(with(&server, &tokens).build().await.unwrap(), LONG);
    let guard = locks.lock("order:42").await.unwrap();
    for _ in 0..3 {
        let asked = tokens.asked.load(Ordering::SeqCst);
        tokens.change(&server);
        server.command(&["CLIENT", "KILL", "USER", "dlock"]);
        locks.lock("order:43").await.unwrap().release().await.unwrap();
        assert!(tokens.asked.load(Ordering::SeqCst) > asked);
    }
    guard.release().await.unwrap();
}

/// A proxy that demands a new login of a connection whose token is over, as Envoy does: it closes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_logged_out_is_replaced() {
    let (server, tokens, over_now) = (server(), Tokens::default(), Arc::new(AtomicBool::new(false)));
    let is_over = Arc::clone(&over_now);
    let say = move |command: &[String]| match command[0].as_str() {
        "HELLO" => Fake::error("NOPROTO no such protocol"),
        "AUTH" => {
            is_over.store(false, Ordering::SeqCst);
            Fake::Pass
        }
        _ if is_over.load(Ordering::SeqCst) => Fake::error("NOAUTH Authentication required."),
        _ => Fake::Pass,
    };
    let proxy = FakeRedis::before(server.address(), say).await.unwrap();
    for recipe in [Recipe::Plain, Recipe::Timestamp] {
        let backend = with(&server, &tokens).url(proxy.url()).recipe(recipe).build().await.unwrap();
        let locks = each_for_itself(backend, LONG);
        let log_out = || {
            tokens.change(&server);
            over_now.store(true, Ordering::SeqCst);
        };
        log_out();
        let guard = locks.lock("order:42").await.unwrap_or_else(|error| unreachable!("{recipe:?}: {error}"));
        log_out();
        assert!(locks.lock("order:42").try_acquire().await.unwrap().is_none(), "{recipe:?}");
        log_out();
        guard.release().await.unwrap();
        assert_eq!(server.command(&["EXISTS", "order:42"]), "0", "{recipe:?}");
    }
}

#[tokio::test]
async fn a_database_stays_what_the_url_says() {
    let (server, tokens) = (server(), Tokens::default());
    let backend = with(&server, &tokens).url(format!("{}/3", server.url())).build().await.unwrap();
    let _guard = over(backend, LONG).lock("order:42").await.unwrap();
    assert!(server.command(&["INFO", "keyspace"]).contains("db3:"));
}

#[tokio::test]
async fn no_token_is_shown() {
    let (server, tokens) = (server(), Tokens::default());
    let shown = format!("{:?}", with(&server, &tokens));
    let backend = with(&server, &tokens).build().await.unwrap();
    tokens.current.store(7, Ordering::SeqCst);
    let refused = with(&server, &tokens).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    let shown = format!("{shown} {backend:?} {refused} {refused:?}");
    assert!(!shown.contains("marker"), "{shown}");
}

#[tokio::test]
async fn every_server_of_a_majority_is_logged_in_at() {
    let servers = [(); 3].map(|()| server());
    let tokens = Tokens::default();
    let builder = RedlockBackend::builder().servers(servers.iter().map(RedisServer::url));
    let given = tokens.clone();
    let backend = builder.credentials(move || given.clone().give()).build().await.unwrap();
    over(backend, LONG).lock("order:42").await.unwrap().release().await.unwrap();
    assert!(tokens.asked.load(Ordering::SeqCst) >= 3);
}

/// Sentinels have a login of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_do_not_get_the_servers_token() {
    let sentinel = RedisSentinel::builder().password("marker-secret").sentinel_password("other").start();
    let builder = RedisBackend::builder().url(sentinel.url()).sentinel_login("default", "other");
    let password = || async { Ok::<_, io::Error>(Credentials::password("marker-secret")) };
    let locks = over(builder.credentials(password).build().await.unwrap(), LONG);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
}

/// Whatever the program's code does, the build ends, and says so.
#[tokio::test]
async fn a_provider_that_fails_panics_or_hangs_is_unavailable() {
    let url = shared_redis().url();
    let base = || RedisBackend::builder().url(&url).connect_within(Duration::ZERO).connect_timeout(BRIEF);
    let failing = base().credentials(|| async { Err::<Credentials, _>(io::Error::other("no token")) });
    let panicking = base().credentials(|| async { panics() });
    let blocking = base().credentials(|| async { blocks() });
    let hanging = base().credentials(std::future::pending::<io::Result<Credentials>>);
    for builder in [failing, panicking, blocking, hanging] {
        let refused = tokio::time::timeout(PATIENCE, builder.build()).await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        assert!(refused.to_string().contains("credentials provider"), "{refused}");
    }
    let denied =
        || async { Err::<Credentials, _>(LockError::new(ErrorKind::Auth, "the role was taken away")) };
    let denied = base().credentials(denied).build().await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Auth, "{denied}");
}

#[allow(clippy::panic, reason = "it is what is tested")]
fn panics() -> io::Result<Credentials> {
    panic!("on purpose")
}

/// For longer than the test runs.
fn blocks() -> io::Result<Credentials> {
    std::thread::park_timeout(PATIENCE * 10);
    Err(io::Error::other("woken"))
}

/// A lock that is held outlives a provider that blocks: renewals are not its concern.
#[tokio::test]
async fn a_provider_that_blocks_holds_up_no_renewal() {
    let (server, held) = (server(), brief_manager(shared_redis()).await);
    let guard = held.lock(fresh_key("renewed").as_str()).await.unwrap();
    let stuck = RedisBackend::builder().url(server.url()).credentials(|| async { blocks() });
    let stuck = stuck.connect_within(Duration::ZERO).connect_timeout(BRIEF * 3);
    assert_eq!(stuck.build().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(guard.is_valid(), "it was renewed meanwhile");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_waiter_waits_for_a_provider_that_fails_for_a_while() {
    let (server, tokens) = (server(), Tokens::default());
    let failures = Arc::new(AtomicUsize::new(0));
    let (given, failed) = (tokens.clone(), Arc::clone(&failures));
    let builder = RedisBackend::builder().url(server.url()).lazy().credentials(move || {
        let (given, fails) = (given.clone(), failed.fetch_add(1, Ordering::SeqCst) < 3);
        async move { if fails { Err(io::Error::other("no token yet")) } else { given.give().await } }
    });
    let locks = over(builder.build().await.unwrap(), LONG);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    assert!(failures.load(Ordering::SeqCst) > 3);
}

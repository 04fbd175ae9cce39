//! The recipes beside the fair one.

use super::*;
use dlock_core::backend::redis::Recipe;
use dlock_tests::RedisKind;
use tokio::task::JoinSet;

async fn with(server: &RedisServer, recipe: Recipe) -> RedisBackend {
    RedisBackend::builder().url(server.url()).recipe(recipe).build().await.unwrap()
}

/// Tasks of several processes that count themselves while they hold the lock, and the tokens they saw.
async fn contend(backends: Vec<RedisBackend>, key: &str, turns: usize) -> Vec<u64> {
    let (inside, tokens) = (Arc::new(AtomicUsize::new(0)), Arc::new(parking_lot::Mutex::new(Vec::new())));
    let mut tasks = JoinSet::new();
    for backend in backends {
        let (locks, key) = (over(backend, LONG), key.to_owned());
        let (inside, tokens) = (Arc::clone(&inside), Arc::clone(&tokens));
        tasks.spawn(async move {
            for _ in 0..turns {
                let guard = locks.lock(&key).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders at once");
                tokens.lock().push(guard.token().as_u64());
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await.unwrap();
            }
        });
    }
    while let Some(task) = tokio::time::timeout(PATIENCE, tasks.join_next()).await.expect("in time") {
        task.unwrap();
    }
    tokens.lock().clone()
}

/// I1, I2: whatever the recipe of each process, no two hold at the same time, and tokens rise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipes_on_one_key_exclude_each_other() {
    let server = shared_redis();
    let key = fresh_key("mixed recipes");
    let mut backends = Vec::new();
    for recipe in [Recipe::Fair, Recipe::Barging, Recipe::Plain, Recipe::Fair, Recipe::Barging, Recipe::Plain]
    {
        backends.push(with(server, recipe).await);
    }
    let tokens = contend(backends, &key, 5).await;
    assert_eq!(tokens.len(), 30);
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

/// With barging a try takes a free lock past those who wait; with the fair recipe it does not.
#[tokio::test]
async fn only_barging_lets_a_try_pass_the_waiters() {
    let server = RedisServer::start();
    for (recipe, passes) in [(Recipe::Fair, false), (Recipe::Barging, true)] {
        let key = fresh_key("past the queue");
        let (one, other) = (with(&server, recipe).await, with(&server, recipe).await);
        let (holder, waiting) = (claim(&key), claim(&key));
        one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
        let relay = Relay::to(server.address()).await.unwrap();
        let url = format!("redis://{}", relay.address());
        let behind = RedisBackend::builder().url(url).recipe(recipe).build().await.unwrap();
        let waiter = queued(behind, waiting).await;
        relay.hold();
        one.release(&holder).await.unwrap();
        let tried = claim(&key);
        let outcome = other.acquire(&AcquireRequest::new(tried.clone(), Mode::Try)).await;
        assert_eq!(outcome.is_ok(), passes, "{recipe:?}: {outcome:?}");
        if outcome.is_ok() {
            other.release(&tried).await.unwrap();
        }
        relay.let_go();
        tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap();
    }
}

/// One release wakes one waiter, which then asks; the others ask nothing.
#[tokio::test]
async fn barging_wakes_one_waiter() {
    let server = RedisServer::start();
    let key = fresh_key("barging");
    let (one, other) = (with(&server, Recipe::Barging).await, with(&server, Recipe::Barging).await);
    let holder = claim(&key);
    one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let first = queued(other.clone(), claim(&key)).await;
    let second = queued(other.clone(), claim(&key)).await;
    one.release(&holder).await.unwrap();
    tokio::time::timeout(PATIENCE, first).await.expect("the first is woken").unwrap();
    assert!(!second.is_finished(), "the second is not");
    second.abort();
}

/// A server that allows neither scripts nor publishing.
pub(crate) const NO_SCRIPTS: &str = "user dlock on nopass ~* resetchannels -@all +hello +auth +select +ping +client|setinfo \
    +set +get +del +pttl +pexpire +time +multi +exec +watch +unwatch";

/// The plain recipe under the rights it says are enough: granted, renewed, released, and owner-checked.
#[tokio::test]
async fn plain_needs_no_scripts_and_no_channels() {
    let rights = NO_SCRIPTS.replace(" +client|setinfo", "");
    let server = RedisServer::builder().config(&rights).config("user default on nopass ~* &* +@all").start();
    let url = server.url().replace("redis://", "redis://dlock:any@");
    let refused = RedisBackend::builder().url(&url).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    let plain = RedisBackend::builder().url(&url).recipe(Recipe::Plain).build().await.unwrap();
    let (mine, other) = (claim("order:42"), claim("order:42"));
    plain.acquire(&AcquireRequest::new(mine.clone(), Mode::Try)).await.unwrap();
    assert_eq!(plain.renew(&other).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(plain.release(&other).await.unwrap_err().kind(), ErrorKind::Lost);
    server.command(&["PEXPIRE", "order:42", "60000"]);
    plain.renew(&mine).await.unwrap();
    assert!(server.command(&["PTTL", "order:42"]).parse::<u64>().unwrap() > 60_000, "renewed");
    plain.release(&mine).await.unwrap();
    assert_eq!(server.command(&["KEYS", "*"]), "", "and no other key is left");
}

/// Three rounds of the plain recipe on a server of this kind.
async fn three_plain_rounds(kind: RedisKind) -> RedisServer {
    let server = RedisServer::builder().kind(kind).start();
    let (plain, mine) = (with(&server, Recipe::Plain).await, claim("order:42"));
    for _ in 0..3 {
        tried(&plain, &mine).await.unwrap();
        plain.renew(&mine).await.unwrap();
        plain.release(&mine).await.unwrap();
    }
    assert_eq!(server.command(&["KEYS", "*"]), "");
    assert_eq!(calls(&server, "watch"), 0, "no transaction that watches");
    server
}

/// S21: where scripts are allowed the comparison is one of them: one request each way.
#[tokio::test]
async fn plain_compares_by_script_where_it_may() {
    for kind in [RedisKind::Installed, RedisKind::Redis62, RedisKind::Redis82] {
        let server = three_plain_rounds(kind).await;
        assert_eq!(script_calls(&server), 6, "{kind:?}");
    }
}

/// S21: where the server has commands that compare, each is one of them: of the sets, three acquire and three renew.
#[tokio::test]
async fn plain_compares_by_command_where_the_server_has_one() {
    let server = three_plain_rounds(RedisKind::Valkey91).await;
    let sent = ["delifeq", "set", "pexpire", "del"].map(|command| calls(&server, command));
    assert_eq!((sent, script_calls(&server)), ([3, 6, 0, 0], 0));
}

/// I8: these commands change a key for its owner alone, and say if it is not there or of another type.
#[tokio::test]
async fn commands_that_compare_change_a_key_for_its_owner_alone() {
    let server = RedisServer::builder().kind(RedisKind::Valkey91).start();
    let (plain, mine, other) = (with(&server, Recipe::Plain).await, claim("order:42"), claim("order:42"));
    tried(&plain, &mine).await.unwrap();
    let owner = holder(&server, "order:42");
    server.command(&["PEXPIRE", "order:42", "60000"]);
    assert_eq!(plain.renew(&other).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(plain.release(&other).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(holder(&server, "order:42"), owner);
    assert!(left_ms(&server, "order:42") <= 60_000, "not renewed");
    plain.renew(&mine).await.unwrap();
    assert!(left_ms(&server, "order:42") > 60_000, "renewed");
    plain.release(&mine).await.unwrap();
    assert_eq!(plain.renew(&mine).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(plain.release(&mine).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(holder(&server, "order:42"), "(nil)", "a renewal does not make it again");
    server.command(&["HSET", "order:42", "some", "field"]);
    assert_eq!(plain.renew(&mine).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(plain.release(&mine).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!((calls(&server, "delifeq"), script_calls(&server)), (4, 0));
}

/// A waiter of the plain recipe gets the lock after a release and after an expiry.
#[tokio::test]
async fn plain_waits_for_a_release_and_for_an_expiry() {
    let server = shared_redis();
    let locks = each_for_itself(with(server, Recipe::Plain).await, LONG);
    let key = fresh_key("plain");
    let guard = locks.lock(&key).await.unwrap();
    let waiter = tokio::spawn(locks.lock(&key).acquire());
    guard.release().await.unwrap();
    let next = waiter.await.unwrap().unwrap();
    server.command(&["SET", &key, "a foreign token", "PX", "50"]);
    drop(next);
    assert!(locks.lock(&key).await.unwrap().is_valid(), "after the foreign one has expired");
}

/// Whatever the recipe, nothing of an owner is remembered after its release.
#[tokio::test]
async fn owners_are_forgotten_when_they_are_released() {
    let server = shared_redis();
    for recipe in [Recipe::Fair, Recipe::Barging, Recipe::Plain, Recipe::Timestamp] {
        let (backend, key) = (with(server, recipe).await, fresh_key("forgotten"));
        let (locks, before) = (each_for_itself(backend.clone(), LONG), format!("{backend:?}"));
        for _ in 0..3 {
            let guard = locks.lock(&key).await.unwrap();
            assert_ne!(format!("{backend:?}"), before, "{recipe:?}: the holder is known");
            guard.release().await.unwrap();
        }
        assert_eq!(format!("{backend:?}"), before, "{recipe:?}");
    }
}

/// Options that a recipe cannot keep are refused.
#[tokio::test]
async fn options_that_do_not_go_together_are_refused() {
    let second = Duration::from_secs(1);
    for recipe in [Recipe::Plain, Recipe::Timestamp] {
        for builder in [
            RedisBackend::builder().quarantine(second),
            RedisBackend::builder().require_replicas(1),
            RedisBackend::builder().foreign_gap(second, second),
        ] {
            let refused = builder.recipe(recipe).url(shared_redis().url()).build().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
        }
    }
}

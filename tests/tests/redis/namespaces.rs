//! Namespaces: where the keys and channels lie, and accounts that may use one namespace alone.

use super::*;
use dlock_core::RedlockBackend;
use dlock_core::backend::redis::{Recipe, RedisBackendBuilder};
use dlock_tests::RedisCluster;

const ADMIN: &str = "user default on nopass ~* &* +@all";

/// An account that may use the keys and channels of `shop:`, and these commands.
fn account(commands: &str) -> String {
    format!(
        "user shop on >marker-secret resetkeys resetchannels ~shop:* &shop:* -@all +hello +auth +select +ping {commands}"
    )
}

const QUEUE: &str = "+evalsha +eval +script|load +get +mget +set +del +exists +pttl +pexpire +zadd +zrem +zrange +zrank \
    +zscore +zremrangebyscore +time +publish +subscribe +pubsub|numpat +pubsub|numsub";

/// The recipes, and what the documentation names as enough for each.
const RECIPES: [(Recipe, &str); 4] = [
    (Recipe::Fair, QUEUE),
    (Recipe::Barging, QUEUE),
    (Recipe::Plain, "+set +get +pttl +time +multi +exec +eval +del +pexpire"),
    (Recipe::Timestamp, "+evalsha +eval +script|load +get +set +setnx +getset +del +time"),
];

fn as_shop(url: &str) -> String {
    url.replace("://", "://shop:marker-secret@")
}

fn of_shop(server: &RedisServer) -> RedisBackendBuilder {
    RedisBackend::builder().url(as_shop(&server.url())).namespace("shop:")
}

/// Another process waits for the lock and is granted it.
async fn pass_on(one: &LockManager, other: &LockManager) {
    let guard = one.lock("order:42").await.unwrap();
    let first = guard.token();
    assert!(other.lock("order:42").try_acquire().await.unwrap().is_none());
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    guard.release().await.unwrap();
    let next = tokio::time::timeout(PATIENCE, waiter).await.expect("in time").unwrap().unwrap();
    assert!(next.token() > first);
    next.release().await.unwrap();
}

fn keys(server: &RedisServer) -> Vec<String> {
    let keys = server.command(&["KEYS", "*"]);
    keys.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_account_of_one_namespace_is_enough_for_every_recipe() {
    for (recipe, commands) in RECIPES {
        let server = RedisServer::builder().config(&account(commands)).config(ADMIN).start();
        let build = async || of_shop(&server).recipe(recipe).build().await.unwrap();
        let (one, other) = (over(build().await, LONG), each_for_itself(build().await, LONG));
        pass_on(&one, &other).await;
        let held = one.lock("order:42").await.unwrap();
        assert!(keys(&server).contains(&"shop:order:42".to_owned()), "{recipe:?}");
        assert!(keys(&server).iter().all(|key| key.starts_with("shop:")), "{recipe:?}: {:?}", keys(&server));
        held.release().await.unwrap();
    }
}

/// The queue's waiter is told on a channel of the namespace, and needs to ask no more.
#[tokio::test]
async fn a_hand_off_is_told_in_the_namespace() {
    let server = RedisServer::builder().config(&account(QUEUE)).config(ADMIN).start();
    let build = async || of_shop(&server).build().await.unwrap();
    let (one, other, holding) = (build().await, build().await, claim("order:42"));
    tried(&one, &holding).await.unwrap();
    let waiter = queued(other, claim("order:42")).await;
    assert_eq!(server.command(&["ZCARD", "shop:dlock:w:p:{shop:order:42}"]), "1");
    let before = script_calls(&server);
    one.release(&holding).await.unwrap();
    granted(waiter).await;
    assert!(script_calls(&server) - before <= 1, "the release alone");
}

#[tokio::test]
async fn an_account_of_one_namespace_has_no_other() {
    let server = RedisServer::builder().config(&account(QUEUE)).config(ADMIN).start();
    let builder = RedisBackend::builder().url(as_shop(&server.url()));
    for wrong in [builder.clone(), builder.clone().namespace("stock:")] {
        let refused = wrong.build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    }
    let locks = over(builder.recipe(Recipe::Plain).namespace("stock:").build().await.unwrap(), LONG);
    let refused = locks.lock("order:42").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    assert!(refused.to_string().contains("\"order:42\" in \"stock:\" on redis"), "{refused}");
}

/// The URL's namespace is the backend's, which checks its account by it.
#[tokio::test]
async fn a_url_names_the_namespace() {
    let server = RedisServer::builder().config(&account(QUEUE)).config(ADMIN).start();
    let url = format!("{}?namespace=shop%3A", as_shop(&server.url()));
    let locks = LockManager::connect(&url).await.unwrap();
    let _held = locks.lock("order:42").await.unwrap();
    assert!(keys(&server).contains(&"shop:order:42".to_owned()));
    let busy = locks.lock("order:42").wait(Duration::ZERO).await.unwrap_err();
    assert!(busy.to_string().contains("\"order:42\" in \"shop:\" on redis"), "{busy}");
}

/// A namespace of the manager lies within that of the backend.
#[tokio::test]
async fn a_namespace_of_the_manager_is_within_that_of_its_backend() {
    let server = RedisServer::builder().config(&account(QUEUE)).config(ADMIN).start();
    let build = async || {
        let builder = LockManager::builder(of_shop(&server).build().await.unwrap()).ttl(LONG).wait(PATIENCE);
        builder.namespace("eu:").hand_over(HandOver::OFF).build().unwrap()
    };
    let (one, other) = (build().await, build().await);
    pass_on(&one, &other).await;
    let _held = one.lock("order:42").await.unwrap();
    assert!(keys(&server).contains(&"shop:eu:order:42".to_owned()));
    assert!(keys(&server).iter().all(|key| key.starts_with("shop:eu:")), "{:?}", keys(&server));
}

/// A namespace of the manager alone: the backend was checked without it, and opens connections for it.
#[tokio::test]
async fn rights_that_lack_in_a_namespace_of_the_manager_are_told_by_the_first_lock() {
    let server = RedisServer::builder().config(&account(QUEUE)).config(ADMIN).start();
    let backend = of_shop(&server).build().await.unwrap();
    server.command(&["ACL", "SETUSER", "shop", "resetkeys", "~shop:dlock:*"]);
    let locks = LockManager::builder(backend).namespace("eu:").build().unwrap();
    let refused = locks.lock("order:42").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    assert!(refused.to_string().contains("\"order:42\" in \"shop:eu:\" on redis"), "{refused}");
}

#[tokio::test]
async fn a_quarantine_and_replicas_keep_to_the_namespace() {
    let commands = format!("{QUEUE} +info +wait");
    let server = RedisServer::builder().config(&account(&commands)).config(ADMIN).start();
    let replica = RedisServer::builder().replica_of(&server).start();
    wait_until_async("the replica follows", PATIENCE, async || {
        server.command(&["INFO", "replication"]).contains("state=online")
    })
    .await;
    let builder = of_shop(&server).quarantine(BRIEF).require_replicas(1);
    let locks = over(builder.build().await.unwrap(), BRIEF);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    assert_eq!(server.command(&["EXISTS", "shop:dlock:m"]), "1");
    assert!(keys(&server).iter().all(|key| key.starts_with("shop:")), "{:?}", keys(&server));
    drop(replica);
}

/// A client of another library locks the whole name.
#[tokio::test]
async fn other_clients_share_the_whole_name() {
    let server = RedisServer::start();
    let backend = RedisBackend::builder().url(server.url()).namespace("shop:").build().await.unwrap();
    let locks = over(backend.clone(), LONG);
    let guard = locks.lock("order:42").await.unwrap();
    assert_eq!(server.command(&["SET", "shop:order:42", "foreign", "NX", "PX", "60000"]), "(nil)");
    guard.release().await.unwrap();
    assert_eq!(server.command(&["SET", "shop:order:42", "foreign", "NX", "PX", "600000"]), "OK");
    let waiter = tokio::spawn(locks.lock("order:42").acquire());
    let watches = async || format!("{backend:?}").contains("watched_keys: 1");
    wait_until_async("the foreign key is watched", PATIENCE, watches).await;
    server.command(&["DEL", "shop:order:42"]);
    waiter.await.unwrap().unwrap().release().await.unwrap();
}

/// Neither a namespace nor a key can name a side key, in whichever namespace it is.
#[tokio::test]
async fn side_keys_of_no_namespace_can_be_locked() {
    let server = shared_redis();
    let (bare, shop) = (manager(server).await, RedisBackend::builder().url(server.url()).namespace("shop:"));
    let shop = over(shop.build().await.unwrap(), LONG);
    for (locks, key) in [
        (&bare, "dlock:w:p:{a}"),
        (&bare, "shop:dlock:r:p:{shop:a}"),
        (&bare, "shop:dlock:m"),
        (&shop, "dlock:f"),
        (&shop, "eu:dlock:w:p:{shop:eu:a}"),
    ] {
        assert_eq!(locks.lock(key).await.unwrap_err().kind(), ErrorKind::InvalidKey, "{key}");
    }
    for wrong in ["", "a\n", "{a", "dlock:"] {
        let refused = RedisBackend::builder().url(server.url()).namespace(wrong).build().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    }
}

/// A grant for an owner that has left is given back in the namespace.
#[tokio::test]
async fn a_stray_grant_is_given_back_in_the_namespace() {
    let server = RedisServer::start();
    let build = async || RedisBackend::builder().url(server.url()).namespace("shop:").build().await.unwrap();
    let (one, other) = (build().await, build().await);
    let (holding, left) = (claim("order:42"), claim("order:42"));
    tried(&one, &holding).await.unwrap();
    let waiter = queued(other.clone(), left.clone()).await;
    let entry = server.command(&["ZRANGE", "shop:dlock:w:p:{shop:order:42}", "0", "0"]);
    waiter.abort();
    other.release(&left).await.unwrap_err();
    server.command(&["ZADD", "shop:dlock:w:p:{shop:order:42}", "1", &entry]);
    one.release(&holding).await.unwrap();
    wait_until_async("it is given back", PATIENCE, async || holder(&server, "shop:order:42") == "(nil)")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_of_one_namespace_is_enough_in_a_cluster() {
    let of_one_server = "+publish +subscribe +pubsub|numpat +pubsub|numsub";
    let commands = QUEUE.replace(of_one_server, "+cluster|slots +asking +ssubscribe +spublish");
    let cluster = RedisCluster::builder().config(&account(&commands)).start();
    let build = async || {
        let builder = RedisBackend::builder().url(as_shop(&cluster.url())).namespace("shop:");
        each_for_itself(builder.build().await.unwrap(), LONG)
    };
    pass_on(&build().await, &build().await).await;
}

#[tokio::test]
async fn an_account_of_one_namespace_is_enough_for_redlock() {
    let start = || RedisServer::builder().config(&account(QUEUE)).config(ADMIN).start();
    let servers = [start(), start(), start()];
    let builder = RedlockBackend::builder().servers(servers.iter().map(|server| as_shop(&server.url())));
    assert_eq!(builder.clone().build().await.unwrap_err().kind(), ErrorKind::Auth);
    let build = async || over(builder.clone().namespace("shop:").build().await.unwrap(), LONG);
    pass_on(&build().await, &build().await).await;
    let within = LockManager::builder(builder.namespace("shop:").build().await.unwrap());
    let _held = within.namespace("eu:").build().unwrap().lock("order:42").await.unwrap();
    let holding = servers.iter().filter(|server| holder(server, "shop:eu:order:42") != "(nil)").count();
    assert!(holding >= 2, "{holding}");
}

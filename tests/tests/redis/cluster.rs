//! In a cluster: wherever the slot is by now.

use super::recipes::NO_SCRIPTS;
use super::*;
use dlock_core::backend::redis::Recipe;
use dlock_tests::{Contention, Fake, FakeRedis, RedisCluster};

async fn within(cluster: &RedisCluster) -> RedisBackend {
    RedisBackend::builder().url(cluster.url()).build().await.unwrap()
}

async fn managers(cluster: &RedisCluster, number: usize) -> Vec<LockManager> {
    let mut managers = Vec::new();
    for _ in 0..number {
        managers.push(over(within(cluster).await, BRIEF));
    }
    managers
}

/// Another node than the one that serves the slot.
fn elsewhere(cluster: &RedisCluster, slot: u16) -> std::net::SocketAddr {
    let owner = cluster.owner_of(slot);
    cluster.primaries().into_iter().find(|node| *node != owner).unwrap()
}

/// B80, B93: a primary that dies under contention costs no more than the failover takes, and tokens go on rising.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_under_contention_keeps_the_token_order() {
    let mut cluster = RedisCluster::start();
    let slot = cluster.slot_of("order:42");
    let contention = Contention::start(&managers(&cluster, 4).await, &["order:42"]);
    contention.more_turns(50).await;
    let old = cluster.kill_owner_of(slot);
    cluster.await_new_owner(slot, old);
    contention.more_turns(50).await;
    contention.end_with_tokens_in_order().await;
}

/// B13, B93: a slot that moves under contention, step by step, loses no lock, no order and no waiter: MOVED, ASK
/// and TRYAGAIN are followed by every script, and the subscriptions move along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_under_contention() {
    let cluster = RedisCluster::start();
    let slot = cluster.slot_of("order:42");
    let contention = Contention::start(&managers(&cluster, 4).await, &["order:42"]);
    for _ in 0..5 {
        contention.more_turns(20).await;
        let to = elsewhere(&cluster, slot);
        cluster.begin_migration(slot, to);
        cluster.move_keys(slot, to);
        cluster.end_migration(slot, to);
    }
    contention.more_turns(20).await;
    contention.end().await;
}

/// B13: a waiter that stands in the queue while its slot moves is handed the lock at the new node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_is_handed_the_lock_where_the_slot_has_moved_to() {
    let cluster = RedisCluster::start();
    let (one, other) = (within(&cluster).await, within(&cluster).await);
    let (holder, waiting) = (claim("order:42"), claim("order:42"));
    one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let waiter = queued(other.clone(), waiting.clone()).await;
    let slot = cluster.slot_of("order:42");
    cluster.migrate(slot, elsewhere(&cluster, slot));
    one.renew(&holder).await.unwrap();
    one.release(&holder).await.unwrap();
    tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap();
    other.renew(&waiting).await.unwrap();
    other.release(&waiting).await.unwrap();
    assert_eq!(cluster.command_for("order:42", &["EXISTS", "order:42"]), "0");
}

/// While a slot is on its way a holder is renewed, on either side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_is_renewed_while_its_slot_moves() {
    let cluster = RedisCluster::start();
    let locks = over(within(&cluster).await, BRIEF);
    let guard = locks.lock("order:42").await.unwrap();
    let slot = cluster.slot_of("order:42");
    let to = elsewhere(&cluster, slot);
    let outlive = async || dlock_core::sleep_until(Moment::now().after(guard.remaining())).await;
    cluster.begin_migration(slot, to);
    outlive().await;
    assert!(guard.is_valid(), "while the key is here still");
    cluster.move_keys(slot, to);
    outlive().await;
    assert!(guard.is_valid(), "while the key is there already");
    cluster.end_migration(slot, to);
    outlive().await;
    assert!(guard.is_valid(), "when all is over");
    guard.release().await.unwrap();
    assert_eq!(cluster.command_for("order:42", &["EXISTS", "order:42"]), "0");
}

/// B35: whatever the bytes of a key are, the scripts' keys lie in one slot: locked, waited for, handed off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_shape_are_locked_and_handed_off() {
    let cluster = RedisCluster::start();
    let (one, other) = (over(within(&cluster).await, LONG), over(within(&cluster).await, LONG));
    let shapes: [&[u8]; 10] = [
        b"order:42",
        b"{order}:42",
        b"foo{}bar",
        b"{}{x}",
        b"a{b",
        b"a}b{c}",
        b"{a}b",
        b"}",
        b"{",
        b"\xff\x00{\x01",
    ];
    for key in shapes {
        let guard = one.lock(key).await.unwrap();
        assert!(other.lock(key).try_acquire().await.unwrap().is_none());
        let waiter = tokio::spawn(other.lock(key).acquire());
        wait_until_async("somebody waits", PATIENCE, async || {
            let queues = |node| cluster.command_on(node, &["KEYS", "dlock:w:*"]);
            cluster.primaries().into_iter().any(|node| !queues(node).is_empty())
        })
        .await;
        let token = guard.token();
        guard.release().await.unwrap();
        let next = waiter.await.unwrap().unwrap();
        assert!(next.token() > token);
        next.release().await.unwrap();
    }
}

/// In a cluster, too, a free lock costs one request each way, and a waiter does not poll: the subscription of
/// its slot costs one more, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_free_lock_costs_one_command_and_its_release_another() {
    let cluster = RedisCluster::start();
    let node = cluster.node(cluster.owner_of(cluster.slot_of("order:42")));
    let locks = over(within(&cluster).await, LONG);
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let before = script_calls(node);
    for _ in 0..10 {
        locks.lock("order:42").await.unwrap().release().await.unwrap();
    }
    assert_eq!(script_calls(node) - before, 20);
}

/// B23: a monitor does not hear what goes to a shard channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_waiter_beside_a_monitor_is_passed_over() {
    let cluster = RedisCluster::start();
    let node = cluster.node(cluster.owner_of(cluster.slot_of("order:42")));
    let _monitor = monitor(node);
    let (one, dying, living) = (within(&cluster).await, within(&cluster).await, within(&cluster).await);
    let holding = claim("order:42");
    tried(&one, &holding).await.unwrap();
    let dead = queued(dying, claim("order:42")).await;
    let alive = queued(living, claim("order:42")).await;
    dead.abort();
    assert!(dead.await.unwrap_err().is_cancelled());
    wait_until_async("the server has noticed", PATIENCE, async || {
        node.command(&["PUBSUB", "SHARDCHANNELS"]).lines().count() == 1
    })
    .await;
    one.release(&holding).await.unwrap();
    granted(alive).await;
}

/// The quarantine holds in a cluster as well: a slot is not granted from until it is over, for the first time
/// and after a failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_with_quarantine_makes_no_two_holders() {
    let mut cluster = RedisCluster::start();
    let mut managers = Vec::new();
    for _ in 0..4 {
        let builder = RedisBackend::builder().url(cluster.url()).quarantine(BRIEF);
        managers.push(over(builder.build().await.unwrap(), BRIEF));
    }
    let refused = managers[0].lock("order:42").try_acquire().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let contention = Contention::start(&managers, &["order:42"]);
    contention.more_turns(50).await;
    let slot = cluster.slot_of("order:42");
    let old = cluster.kill_owner_of(slot);
    cluster.await_new_owner(slot, old);
    contention.more_turns(50).await;
    contention.end().await;
}

/// B31: a foreign release is told of in a cluster too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_release_wakes_the_waiter() {
    let cluster = RedisCluster::start();
    cluster.command_for("order:42", &["SET", "order:42", "another library's token"]);
    let node = cluster.node(cluster.owner_of(cluster.slot_of("order:42")));
    let waiter = queued(within(&cluster).await, claim("order:42")).await;
    let watched = async || node.command(&["INFO", "clients"]).contains("tracking_clients:1");
    wait_until_async("the server watches the key", PATIENCE, watched).await;
    cluster.command_for("order:42", &["DEL", "order:42"]);
    tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap();
}

/// Servers of the wrong kind are refused, with what to write instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_by_itself_and_a_server_that_is_no_cluster_are_refused() {
    let cluster = RedisCluster::start();
    let build = async |url: String| {
        RedisBackend::builder().url(url).connect_within(Duration::ZERO).build().await.unwrap_err()
    };
    let node = build(format!("redis://{}", cluster.nodes()[0])).await;
    assert_eq!(node.kind(), ErrorKind::InvalidOption, "{node}");
    assert!(node.to_string().contains("redis+cluster://"), "{node}");
    let single = build(shared_redis().url().replace("redis://", "redis+cluster://")).await;
    assert_eq!(single.kind(), ErrorKind::InvalidOption, "{single}");
    let database = build(cluster.url() + "/3").await;
    assert_eq!(database.kind(), ErrorKind::InvalidOption, "{database}");
    assert!(database.to_string().contains("cluster-databases"), "{database}");
}

/// How often a node answered with this error, whichever node it was.
fn answered(cluster: &RedisCluster, code: &str) -> u64 {
    cluster.nodes().into_iter().map(|node| errors(cluster.node(node), code)).sum()
}

/// Whether a node has answered with this error since.
fn redirected<'a>(cluster: &'a RedisCluster, code: &'a str) -> impl Fn() -> bool + 'a {
    let before = answered(cluster, code);
    move || answered(cluster, code) > before
}

/// B93: a renewal that replicas must acknowledge follows its slot: while the slot moves, and when it has moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_replicas_acknowledge_is_renewed_while_its_slot_moves() {
    let cluster = RedisCluster::start();
    let builder = RedisBackend::builder().url(cluster.url()).require_replicas(1);
    let (backend, mine) = (builder.build().await.unwrap(), claim("order:42"));
    let slot = cluster.slot_of("order:42");
    tried(&backend, &mine).await.unwrap();
    let to = elsewhere(&cluster, slot);
    cluster.begin_migration(slot, to);
    backend.renew(&mine).await.unwrap();
    cluster.move_keys(slot, to);
    let asked = redirected(&cluster, "ASK");
    backend.renew(&mine).await.unwrap();
    assert!(asked(), "on the way");
    cluster.end_migration(slot, to);
    let moved = redirected(&cluster, "MOVED");
    backend.renew(&mine).await.unwrap();
    assert!(moved(), "at the new node");
    backend.release(&mine).await.unwrap();
    assert_eq!(cluster.command_for("order:42", &["EXISTS", "order:42"]), "0");
}

/// B93: the renewal that replicas must acknowledge finds the new primary after a failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_replicas_acknowledge_outlives_a_dead_primary() {
    let mut cluster = RedisCluster::start();
    let builder = RedisBackend::builder().url(cluster.url()).require_replicas(1);
    let (backend, mine) = (builder.build().await.unwrap(), claim("order:42"));
    tried(&backend, &mine).await.unwrap();
    let slot = cluster.slot_of("order:42");
    let old = cluster.kill_owner_of(slot);
    cluster.await_new_owner(slot, old);
    cluster.restart(old);
    cluster.await_in_sync();
    let renewed = async || backend.renew(&mine).await.is_ok();
    wait_until_async("the new primary renews", PATIENCE, renewed).await;
}

/// B93: Recipe::Plain follows a slot while it moves and when it has moved. Its comparison is a script at one account,
/// and WATCH at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_lock_is_kept_while_its_slot_moves() {
    let rights = NO_SCRIPTS.replace("+client|setinfo", "+cluster|slots +asking");
    let everything = "user default on nopass ~* &* +@all";
    let cluster = RedisCluster::builder().config(&rights).config(everything).start();
    let by_watch = cluster.url().replace("://", "://dlock:any@");
    for url in [cluster.url(), by_watch] {
        let plain = RedisBackend::builder().url(url).recipe(Recipe::Plain).build().await.unwrap();
        plain_follows_a_slot_on_its_way(&cluster, &plain).await;
        plain_follows_a_slot_that_has_moved(&cluster, &plain).await;
    }
    assert!(answered(&cluster, "NOPERM") > 0, "the other account may run no scripts");
}

async fn plain_follows_a_slot_on_its_way(cluster: &RedisCluster, plain: &RedisBackend) {
    let (held, new, slot) = (claim("order:42"), claim("{order:42}:new"), cluster.slot_of("order:42"));
    tried(plain, &held).await.unwrap();
    let to = elsewhere(cluster, slot);
    cluster.begin_migration(slot, to);
    cluster.move_keys(slot, to);
    let asked = redirected(cluster, "ASK");
    plain.renew(&held).await.unwrap();
    assert!(asked(), "the renewal");
    let asked = redirected(cluster, "ASK");
    tried(plain, &new).await.unwrap();
    assert!(asked(), "the acquire");
    assert_eq!(tried(plain, &claim("order:42")).await.unwrap_err().kind(), ErrorKind::Busy);
    let asked = redirected(cluster, "ASK");
    plain.release(&new).await.unwrap();
    assert!(asked(), "the release");
    cluster.end_migration(slot, to);
    plain.release(&held).await.unwrap();
    assert_eq!(cluster.command_for("order:42", &["EXISTS", "order:42"]), "0");
}

async fn plain_follows_a_slot_that_has_moved(cluster: &RedisCluster, plain: &RedisBackend) {
    let (mine, slot) = (claim("order:42"), cluster.slot_of("order:42"));
    for step in ["the acquire", "the renewal", "the release"] {
        cluster.migrate(slot, elsewhere(cluster, slot));
        let moved = redirected(cluster, "MOVED");
        match step {
            "the acquire" => tried(plain, &mine).await.map(drop),
            "the renewal" => plain.renew(&mine).await.map(drop),
            _ => plain.release(&mine).await,
        }
        .unwrap();
        assert!(moved(), "{step}");
    }
}

/// B93: whatever the nodes answer of themselves, every script is done in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_script_outlasts_what_nodes_answer() {
    let cluster = RedisCluster::start();
    every_script_follows_redirections(&cluster).await;
    a_lock_whose_keys_are_apart_is_tried_again(&cluster).await;
    every_script_outlasts_a_slot_that_is_not_served(&cluster).await;
}

/// A slot that has moved is followed by each script, and by a renewal on its way as well: the nodes did answer
/// MOVED to each, and ASK to the renewal.
async fn every_script_follows_redirections(cluster: &RedisCluster) {
    let (backend, mine, slot) = (within(cluster).await, claim("order:42"), cluster.slot_of("order:42"));
    let redirected = |code| redirected(cluster, code);
    let moves = |cluster: &RedisCluster| cluster.migrate(slot, elsewhere(cluster, slot));
    moves(cluster);
    let moved = redirected("MOVED");
    tried(&backend, &mine).await.unwrap();
    assert!(moved(), "the acquire");
    moves(cluster);
    let moved = redirected("MOVED");
    backend.renew(&mine).await.unwrap();
    assert!(moved(), "the renewal");
    let to = elsewhere(cluster, slot);
    cluster.begin_migration(slot, to);
    cluster.move_keys(slot, to);
    let asked = redirected("ASK");
    backend.renew(&mine).await.unwrap();
    assert!(asked(), "the renewal, on the way");
    cluster.end_migration(slot, to);
    let moved = redirected("MOVED");
    backend.release(&mine).await.unwrap();
    assert!(moved(), "the release");
    assert_eq!(cluster.command_for("order:42", &["EXISTS", "order:42"]), "0");
}

/// While some of a lock's keys lie here and some nowhere yet, both nodes answer TRYAGAIN to a script of several
/// keys. It is tried again until the slot has moved: an acquire and a release.
async fn a_lock_whose_keys_are_apart_is_tried_again(cluster: &RedisCluster) {
    let builder = RedisBackend::builder().url(cluster.url()).request_timeout(PATIENCE);
    let (backend, slot) = (builder.build().await.unwrap(), cluster.slot_of("order:42"));
    let before = claim("order:42");
    // Leaves the fence.
    tried(&backend, &before).await.unwrap();
    backend.release(&before).await.unwrap();
    let mine = claim("order:42");
    for releases in [false, true] {
        let to = elsewhere(cluster, slot);
        cluster.begin_migration(slot, to);
        let refused = answered(cluster, "TRYAGAIN");
        let (asking, claim) = (backend.clone(), mine.clone());
        let task = tokio::spawn(async move {
            match releases {
                true => asking.release(&claim).await,
                false => tried(&asking, &claim).await.map(drop),
            }
        });
        let again = async || answered(cluster, "TRYAGAIN") > refused;
        wait_until_async("it is to be tried again", PATIENCE, again).await;
        assert!(!task.is_finished());
        cluster.move_keys(slot, to);
        cluster.end_migration(slot, to);
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(cluster.command_for("order:42", &["EXISTS", "order:42"]), "0");
}

/// A slot that no node serves: each script is tried again until one does. A client that asks the one node that knows is
/// told so at once, and asks again by itself, as managers do.
async fn every_script_outlasts_a_slot_that_is_not_served(cluster: &RedisCluster) {
    let builder = RedisBackend::builder().url(cluster.url()).request_timeout(PATIENCE);
    let (backend, mine) = (builder.build().await.unwrap(), claim("order:42"));
    let slot = cluster.slot_of("order:42");
    let (owner, number) = (cluster.owner_of(slot), slot.to_string());
    for step in 0..3 {
        cluster.command_on(owner, &["CLUSTER", "DELSLOTS", &number]);
        let refused = answered(cluster, "CLUSTERDOWN");
        let (asking, claim) = (backend.clone(), mine.clone());
        let task = tokio::spawn(async move {
            loop {
                let outcome = match step {
                    0 => tried(&asking, &claim).await.map(drop),
                    1 => asking.renew(&claim).await.map(drop),
                    _ => asking.release(&claim).await,
                };
                match outcome {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {}
                    settled => return settled,
                }
            }
        });
        let again = async || answered(cluster, "CLUSTERDOWN") > refused;
        wait_until_async("it is refused", PATIENCE, again).await;
        // Refused if the node has learnt from the others meanwhile that the slot is its own.
        let _ = cluster.node(owner).try_command(&["CLUSTER", "ADDSLOTS", &number]);
        let outcome = tokio::time::timeout(PATIENCE, task).await.expect("in time").unwrap();
        outcome.unwrap_or_else(|error| unreachable!("{step}: {error}"));
    }
}

/// Takes the lock and gives it back, with each recipe's ways to the node of a slot, wherever that has moved to.
async fn follows_moves(cluster: &RedisCluster, backend: &RedisBackend) {
    let (mine, slot) = (claim("order:42"), cluster.slot_of("order:42"));
    let moved = redirected(cluster, "MOVED");
    tried(backend, &mine).await.unwrap();
    cluster.migrate(slot, elsewhere(cluster, slot));
    backend.renew(&mine).await.unwrap();
    assert!(moved(), "the renewal is redirected");
    let to = elsewhere(cluster, slot);
    cluster.begin_migration(slot, to);
    cluster.move_keys(slot, to);
    let asked = redirected(cluster, "ASK");
    backend.renew(&mine).await.unwrap();
    assert!(asked(), "the renewal, on the way");
    cluster.end_migration(slot, to);
    backend.release(&mine).await.unwrap();
    assert_eq!(cluster.command_for("order:42", &["EXISTS", "order:42"]), "0");
}

/// Nodes announce IPv6 addresses, which stand without brackets in MOVED, ASK and CLUSTER SLOTS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_ipv6_addresses_is_followed() {
    let builder = RedisCluster::builder().config("bind 127.0.0.1 ::1").config("cluster-announce-ip ::1");
    let cluster = builder.start();
    let port = cluster.nodes()[0].port();
    for seed in [cluster.url(), format!("redis+cluster://[::1]:{port}")] {
        let backend = RedisBackend::builder().url(seed).build().await.unwrap();
        follows_moves(&cluster, &backend).await;
        let waiting = backend.clone();
        let holding = claim("order:42");
        tried(&backend, &holding).await.unwrap();
        let waiter = queued(waiting, claim("order:42")).await;
        backend.release(&holding).await.unwrap();
        granted(waiter).await;
        cluster.command_for("order:42", &["DEL", "order:42"]);
    }
}

/// A cluster whose nodes announce names that mean nothing here.
fn behind_a_nat() -> RedisCluster {
    let builder = RedisCluster::builder().config("cluster-announce-hostname redis.invalid");
    builder.config("cluster-preferred-endpoint-type hostname").start()
}

fn near(host: &str, port: u16) -> (String, u16) {
    assert_eq!(host, "redis.invalid");
    ("127.0.0.1".to_owned(), port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_behind_a_nat_is_reached_by_the_address_map() {
    let cluster = behind_a_nat();
    let backend = RedisBackend::builder().url(cluster.url()).address_map(near).build().await.unwrap();
    follows_moves(&cluster, &backend).await;
    let plain = RedisBackend::builder().url(cluster.url()).address_map(near).recipe(Recipe::Plain);
    follows_moves(&cluster, &plain.build().await.unwrap()).await;
}

/// The map is code of others: when it panics, that is an error of the request, which passes with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_map_that_panics_fails_the_request_and_nothing_else() {
    use std::sync::atomic::AtomicBool;
    static PANICS: AtomicBool = AtomicBool::new(true);
    let cluster = behind_a_nat();
    let map = |host: &str, port: u16| {
        assert!(!PANICS.load(Ordering::SeqCst), "on purpose");
        near(host, port)
    };
    let builder = || RedisBackend::builder().url(cluster.url()).address_map(map);
    let refused = builder().build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    PANICS.store(false, Ordering::SeqCst);
    let (backend, mine, slot) =
        (builder().build().await.unwrap(), claim("order:42"), cluster.slot_of("order:42"));
    PANICS.store(true, Ordering::SeqCst);
    cluster.migrate(slot, elsewhere(&cluster, slot));
    let refused = tried(&backend, &mine).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    PANICS.store(false, Ordering::SeqCst);
    tried(&backend, &mine).await.unwrap();
}

/// A node that never answers comes first in the URL. The limits here are longer than the test is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_is_not_waited_for() {
    let cluster = RedisCluster::start();
    let hangs = FakeRedis::start(|_| Fake::Silence).await.unwrap();
    let url = cluster.url().replace("://", &format!("://{},", hangs.address()));
    let builder = RedisBackend::builder().url(url).connect_timeout(LONG).request_timeout(LONG);
    let built = tokio::time::timeout(PATIENCE, builder.build()).await.expect("it is not waited for").unwrap();
    tried(&built, &claim("order:42")).await.unwrap();
}

/// A node that is cut off tells of the cluster as it was: all slots are at a server that is gone. The others are asked,
/// too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_tells_an_old_map_is_not_believed_for_ever() {
    let (cluster, mut gone) = (RedisCluster::start(), RedisServer::start());
    gone.kill();
    let node = format!("*2\r\n$9\r\n127.0.0.1\r\n:{}\r\n", gone.port());
    let slots = format!("*1\r\n*3\r\n:0\r\n:16383\r\n{node}");
    let say = move |command: &[String]| match command[0].as_str() {
        "CLUSTER" => Fake::Answer(slots.clone()),
        _ => Fake::Pass,
    };
    let cut_off = FakeRedis::start(say).await.unwrap();
    let url = cluster.url().replace("://", &format!("://{},", cut_off.address()));
    let built = RedisBackend::builder().url(url).connect_within(PATIENCE).build().await.unwrap();
    tried(&built, &claim("order:42")).await.unwrap();
}

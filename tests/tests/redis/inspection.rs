//! Who holds a lock and who waits for it: what is seen, and by whom.

use super::*;
use dlock_core::backend::redis::Recipe;
use dlock_core::{ClientKind, ListedLock, RedlockBackend};
use dlock_tests::{RedisCluster, RedisSentinel};

async fn all(locks: &LockManager, prefix: &str) -> Result<Vec<ListedLock>, LockError> {
    let (mut list, mut all) = (locks.list(prefix), Vec::new());
    while let Some(page) = list.next_page().await? {
        all.extend(page);
    }
    all.sort_by(|one, next| one.key.cmp(&next.key));
    all.dedup_by(|one, next| one.key == next.key);
    Ok(all)
}

fn keys(listed: &[ListedLock]) -> Vec<String> {
    listed.iter().map(|lock| lock.key.to_string()).collect()
}

#[tokio::test]
async fn a_holder_and_its_waiters_are_seen_and_nothing_is_changed() {
    let server = RedisServer::start();
    let (one, other, locks) = (backend(&server).await, backend(&server).await, manager(&server).await);
    let label = |label: &str| Some(Label::new(label).unwrap());
    let (mine, next) =
        (claim("order:42").with_label(label("web-1")), claim("order:42").with_label(label("web-2")));
    let grant = tried(&one, &mine).await.unwrap();
    let waiter = queued(other.clone(), next.clone()).await;
    let writes = || ["set", "zadd", "pexpire", "del"].map(|command| calls(&server, command));
    let before = writes();
    let seen = locks.inspect("order:42").await.unwrap();
    assert_eq!(writes(), before);
    let holder = &seen.holders[0];
    assert_eq!(
        (holder.label.clone(), holder.token, holder.tokens),
        (mine.label.clone(), Some(grant.token), grant.tokens)
    );
    assert_eq!((holder.client, holder.is_taken_away), (ClientKind::Dlock, false));
    assert!(holder.remaining.is_some_and(|left| left <= LONG && left > LONG / 2), "{holder:?}");
    assert!(holder.held_for.is_some_and(|held_for| held_for < PATIENCE), "{holder:?}");
    assert_eq!((seen.waiters.len(), seen.waiters[0].label.clone()), (1, next.label.clone()));
    assert!(seen.waiters[0].waiting_for.is_some_and(|waiting| waiting < PATIENCE), "{seen:?}");
    let secrets = [mine.owner, next.owner].map(|owner| format!("{:032x}", owner.as_u128()));
    assert!(secrets.iter().all(|secret| !format!("{seen:?}").contains(secret)));
    one.release(&mine).await.unwrap();
    granted(waiter).await;
    other.release(&next).await.unwrap();
}

#[tokio::test]
async fn foreign_locks_are_seen_and_not_listed() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    server.command(&["SET", "order:1", "someone else"]);
    server.command(&["SET", "order:2", "someone else", "PX", "60000"]);
    server.command(&["RPUSH", "order:3", "no lock"]);
    let _held = locks.lock("order:4").await.unwrap();
    let for_ever = locks.inspect("order:1").await.unwrap();
    assert_eq!((for_ever.holders[0].client, for_ever.holders[0].remaining), (ClientKind::Foreign, None));
    assert!(locks.inspect("order:2").await.unwrap().holders[0].remaining.is_some());
    assert_eq!(locks.inspect("order:3").await.unwrap_err().kind(), ErrorKind::Corrupt);
    let listed = all(&locks, "order:").await.unwrap();
    assert_eq!(keys(&listed), ["order:4"]);
}

#[tokio::test]
async fn a_list_is_of_one_namespace_and_takes_a_prefix_as_it_is() {
    let server = RedisServer::start();
    let in_shop = RedisBackend::builder().url(server.url()).namespace("shop:").build().await.unwrap();
    let (shop, locks) = (over(in_shop, LONG), manager(&server).await);
    let mut held = Vec::new();
    for number in 0..300 {
        held.push(shop.lock(format!("order:{number:03}")).await.unwrap());
    }
    held.push(shop.lock("order*?").await.unwrap());
    held.push(locks.lock("order:x").await.unwrap());
    let listed = all(&shop, "order:").await.unwrap();
    assert_eq!(keys(&listed), (0..300).map(|number| format!("order:{number:03}")).collect::<Vec<_>>());
    assert_eq!(keys(&all(&shop, "order*").await.unwrap()), ["order*?"]);
    assert_eq!(all(&locks, "").await.unwrap().len(), 302, "without a namespace it is all of the server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_comes_to_every_primary_of_a_cluster() {
    let cluster = RedisCluster::start();
    let backend = || async { RedisBackend::builder().url(cluster.url()).build().await.unwrap() };
    let (one, other) = (over(backend().await, LONG), over(backend().await, LONG));
    let mut held = Vec::new();
    for number in 0..30 {
        held.push(one.lock(format!("order:{number:02}")).label("web-1").await.unwrap());
    }
    let listed = all(&other, "order:").await.unwrap();
    assert_eq!(keys(&listed), (0..30).map(|number| format!("order:{number:02}")).collect::<Vec<_>>());
    let seen = other.inspect("order:07").await.unwrap();
    assert!(seen.holders[0].has_token(held[7].token()));
    assert_eq!(seen.holders[0].label.as_ref().map(Label::as_str), Some("web-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_behind_sentinels_is_looked_at() {
    let sentinel = RedisSentinel::start();
    let backend = RedisBackend::builder().url(sentinel.url()).build().await.unwrap();
    let locks = over(backend, LONG);
    let held = locks.lock("order:42").label("web-1").await.unwrap();
    let seen = locks.inspect("order:42").await.unwrap();
    assert!(seen.holders[0].has_token(held.token()));
    assert_eq!(keys(&all(&locks, "").await.unwrap()), ["order:42"]);
    let forced = locks.admin().force_release("order:42", held.token()).await.unwrap();
    assert_eq!(lost(&held).await, LossReason::TakenAway);
    let next = locks.lock("order:42").await.unwrap();
    assert!(next.token() > forced.fence);
}

#[tokio::test]
async fn what_shows_no_holder_says_so_and_what_helps() {
    let servers = [(); 3].map(|()| RedisServer::start());
    let with = |recipe| RedisBackend::builder().url(servers[0].url()).recipe(recipe);
    let redlock = RedlockBackend::builder().servers(servers.iter().map(RedisServer::url));
    for locks in [
        over(with(Recipe::Plain).build().await.unwrap(), LONG),
        over(with(Recipe::Timestamp).build().await.unwrap(), LONG),
        over(redlock.build().await.unwrap(), LONG),
    ] {
        let held = locks.lock("order:42").await.unwrap();
        let told = [
            locks.inspect("order:42").await.unwrap_err(),
            all(&locks, "").await.unwrap_err(),
            locks.admin().force_release("order:42", held.token()).await.unwrap_err(),
            locks.admin().force_release_now("order:42", held.token()).await.unwrap_err(),
        ];
        for error in told {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(
                error.to_string().contains("use Recipe::Fair") || error.to_string().contains("RedisBackend"),
                "{error}"
            );
        }
        let busy = locks.lock("order:42").wait(Duration::from_millis(50)).await.unwrap_err();
        assert_eq!((busy.kind(), busy.holder_label()), (ErrorKind::Busy, None));
        held.release().await.unwrap();
    }
}

/// The right to scan is needed only by an account that lists.
#[tokio::test]
async fn an_account_that_may_not_scan_is_told_so() {
    let server = RedisServer::start();
    let rights = "dlock on >secret resetkeys ~order:* ~dlock:* resetchannels &dlock:i:* +@all -scan";
    server.command(&[&["ACL", "SETUSER"][..], &rights.split_whitespace().collect::<Vec<_>>()].concat());
    let url = server.url().replace("://", "://dlock:secret@");
    let locks = over(RedisBackend::builder().url(url).build().await.unwrap(), LONG);
    let _held = locks.lock("order:42").await.unwrap();
    assert_eq!(locks.inspect("order:42").await.unwrap().holders.len(), 1);
    assert_eq!(all(&locks, "").await.unwrap_err().kind(), ErrorKind::Auth);
    server.command(&["ACL", "SETUSER", "dlock", "+scan"]);
    server.command(&["SET", "stock:7", "not this account's"]);
    assert_eq!(keys(&all(&locks, "").await.unwrap()), ["order:42"]);
}

/// A waiter's place counts those of its own process and those of others.
#[tokio::test]
async fn a_wait_that_ends_tells_the_place_in_the_order_of_all_processes() {
    let server = RedisServer::start();
    let (first, second) = (manager(&server).await, manager(&server).await);
    let _held = first.lock("order:42").label("web-1").await.unwrap();
    let other = backend(&server).await;
    let ahead = queued(other.clone(), claim("order:42")).await;
    let waiting = tokio::spawn(second.lock("order:42").acquire());
    wait_until_async("both wait", PATIENCE, async || waiters(&server, "order:42") == 2).await;
    let placed = async || loop {
        let before = script_calls(&server);
        let busy = second.lock("order:42").wait(Duration::from_millis(400)).await.unwrap_err();
        if busy.queue_place().is_some() {
            assert!(script_calls(&server) > before);
            break busy;
        }
    };
    let busy = tokio::time::timeout(PATIENCE, placed()).await.expect("the place is seen");
    assert_eq!(busy.queue_place(), Some(3), "one of another process and one of its own are ahead");
    assert_eq!(busy.holder_label().map(Label::as_str), Some("web-1"));
    assert!(busy.to_string().contains("number 3"), "{busy}");
    drop((ahead, waiting));
}

/// A try asks nothing beside its own question.
#[tokio::test]
async fn a_try_that_is_refused_costs_one_command() {
    let server = RedisServer::start();
    let (one, other) = (manager(&server).await, manager(&server).await);
    let _held = one.lock("order:42").await.unwrap();
    let before = script_calls(&server);
    assert!(other.lock("order:42").try_acquire().await.unwrap().is_none());
    assert_eq!(script_calls(&server) - before, 1);
}

//! Other clients on the same keys, and other things in their place.

use super::*;

/// B31, B32.
#[tokio::test]
async fn a_foreign_lock_on_the_same_key_excludes_us_and_we_exclude_it() {
    let server = shared_redis();
    let locks = manager(server).await;
    let key = fresh_key("foreign");
    server.command(&["SET", &key, "another library's token", "NX"]);
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none(), "a key without expiry is not stolen");
    let waiter = tokio::spawn(locks.lock(&key).acquire());
    server.command(&["DEL", &key]);
    let guard = waiter.await.unwrap().unwrap();
    assert_eq!(server.command(&["SET", &key, "another library's token", "NX", "PX", "1000"]), "(nil)");
    guard.release().await.unwrap();
    assert_eq!(server.command(&["SET", &key, "another library's token", "NX", "PX", "1000"]), "OK");
}

/// B32, S17.
#[tokio::test]
async fn keys_of_another_kind_are_refused_and_left_alone() {
    let server = shared_redis();
    let locks = manager(server).await;
    let key = fresh_key("hash");
    server.command(&["HSET", &key, "field", "1"]);
    let refused = locks.lock(&key).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    assert_eq!(locks.lock(&key).try_acquire().await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(server.command(&["HGET", &key, "field"]), "1");
}

/// B82, S17: what others wrote to the counter is no number, and stops no lock.
#[tokio::test]
async fn a_counter_that_holds_no_number_starts_again() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    let mut last = locks.lock("order:42").await.unwrap().token();
    for garbage in ["abc", "-1", "1e3", "", "007", "9223372036854775807"] {
        server.command(&["SET", "dlock:f", garbage]);
        let guard = locks.lock("order:42").await.unwrap();
        assert!(guard.token() > last, "{garbage:?}: {} after {last}", guard.token());
        last = guard.token();
        guard.release().await.unwrap();
    }
    server.command(&["DEL", "dlock:f"]);
    server.command(&["HSET", "dlock:f", "some", "field"]);
    assert!(locks.lock("order:42").await.unwrap().token() > last);
}

/// B31: the server tells of a foreign release, and no waiter polls for it.
#[tokio::test]
async fn a_foreign_release_wakes_the_first_waiter_and_none_polls() {
    let server = RedisServer::start();
    let locks = manager(&server).await;
    server.command(&["SET", "order:42", "another library's token"]);
    let backend = backend(&server).await;
    let waiter = queued(backend, claim("order:42")).await;
    let second = tokio::spawn(locks.lock("order:42").acquire());
    let watched = async || {
        let stats = server.command(&["INFO", "clients"]);
        stats.lines().any(|line| line.trim_end() == "tracking_clients:1")
    };
    wait_until_async("the server watches the key", PATIENCE, watched).await;
    wait_until_async("both wait", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:w:p:{order:42}"]) == "2"
    })
    .await;
    let asked = script_calls(&server);
    server.command(&["DEL", "order:42"]);
    tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap();
    assert!(script_calls(&server) - asked <= 2, "asked once, but for a sign of life");
    second.abort();
}

/// B31: a foreign lease that ends wakes the first waiter as well.
#[tokio::test]
async fn a_foreign_expiry_wakes_the_first_waiter() {
    let server = shared_redis();
    let locks = manager(server).await;
    let key = fresh_key("foreign expiry");
    server.command(&["SET", &key, "another library's token", "PX", "100"]);
    assert!(locks.lock(&key).await.unwrap().is_valid());
}

/// B31: an account that may not ask to be told still gets the lock, by asking again.
#[tokio::test]
async fn a_foreign_release_is_found_by_an_account_that_may_not_watch() {
    let server = RedisServer::builder()
        .config("user dlock on nopass ~* &* +@all -client")
        .config("user default on nopass ~* &* +@all")
        .start();
    let url = server.url().replace("redis://", "redis://dlock:any@");
    let locks = over(RedisBackend::builder().url(url).build().await.unwrap(), LONG);
    server.command(&["SET", "order:42", "another library's token"]);
    let waiter = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || {
        server.command(&["ZCARD", "dlock:w:p:{order:42}"]) == "1"
    })
    .await;
    server.command(&["DEL", "order:42"]);
    assert!(waiter.await.unwrap().unwrap().is_valid());
}

/// B32, B33: under contention among ourselves a foreign client that polls gets its turn, if a gap is left for it.
/// Without one it does not, which is the control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_lets_a_foreign_client_have_its_turn() {
    let server = Arc::new(RedisServer::start());
    for gap in [Duration::ZERO, Duration::from_millis(100)] {
        let key = fresh_key("gap");
        let builder = RedisBackend::builder().url(server.url()).foreign_gap(Duration::from_millis(50), gap);
        let (one, other) = (builder.clone().build().await.unwrap(), builder.build().await.unwrap());
        let turns = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for locks in [over(one.clone(), LONG), over(one, LONG), over(other, LONG)] {
            let (key, turns, server) = (key.clone(), Arc::clone(&turns), Arc::clone(&server));
            tasks.push(tokio::spawn(async move {
                loop {
                    let guard = locks.lock(&key).await.unwrap();
                    turns.fetch_add(1, Ordering::SeqCst);
                    // Else the lock would be free for a moment, on a busy machine.
                    while waiters(&server, &key) == 0 {
                        tokio::task::yield_now().await;
                    }
                    guard.release().await.unwrap();
                }
            }));
        }
        let contended = || turns.load(Ordering::SeqCst) > 10;
        wait_until_async("they contend", PATIENCE, async || contended()).await;
        let begun = turns.load(Ordering::SeqCst);
        let mut got = false;
        // The foreign client polls until it has the lock, or for as many turns of ours.
        wait_until_async("the foreign client is done", PATIENCE, async || {
            got = got || server.command(&["SET", &key, "foreign", "NX", "PX", "60000"]) == "OK";
            got || turns.load(Ordering::SeqCst) > begun + 100
        })
        .await;
        assert_eq!(got, !gap.is_zero(), "with a gap of {gap:?}");
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// B32: while the lock is left free for others, none of ours takes it: neither a waiter nor a try.
#[tokio::test]
async fn a_gap_is_kept_by_our_own() {
    let server = RedisServer::start();
    let (between, gap) = (Duration::from_millis(1), Duration::from_secs(600));
    let builder = RedisBackend::builder().url(server.url()).foreign_gap(between, gap);
    let (one, other) = (builder.clone().build().await.unwrap(), builder.build().await.unwrap());
    // The first releases only begin the time between two gaps.
    let mut open = false;
    while !open {
        let (holder, waiting) = (claim("order:42"), claim("order:42"));
        one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
        let waiter = queued(other.clone(), waiting.clone()).await;
        one.release(&holder).await.unwrap();
        open = server.command(&["ZSCORE", "dlock:n:p:{order:42}", "|gap"]) != "(nil)";
        if open {
            assert_eq!(server.command(&["EXISTS", "order:42"]), "0");
            let tried = one.acquire(&AcquireRequest::new(claim("order:42"), Mode::Try)).await;
            assert_eq!(tried.unwrap_err().kind(), ErrorKind::Busy);
            assert_eq!(server.command(&["SET", "order:42", "foreign", "NX", "PX", "60000"]), "OK");
            assert!(!waiter.is_finished());
            waiter.abort();
        } else {
            waiter.await.unwrap();
            other.release(&waiting).await.unwrap();
        }
    }
}

/// S17: whatever is of another kind beside the lock, an acquire that meets it is refused, and nothing is written
/// nor deleted.
#[tokio::test]
async fn side_keys_of_another_kind_are_refused_and_left_alone() {
    let server = shared_redis();
    let (backend, other) = (backend(server).await, manager(server).await);
    for side in ["w", "n"] {
        let key = fresh_key("side");
        let name = format!("dlock:{side}:p:{{{key}}}");
        server.command(&["HSET", &name, "field", "1"]);
        let refused = tried(&backend, &claim(&key)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{side}: {refused}");
        assert_eq!(other.lock(&key).await.unwrap_err().kind(), ErrorKind::Corrupt, "{side}");
        assert_eq!(holder(server, &key), "(nil)", "{side}");
        assert_eq!(server.command(&["HGETALL", &name]), "field\n1");
    }
}

/// S18: an expiry that an operator takes away is given back by the next request, so that a dead holder's lock ends.
#[tokio::test]
async fn a_lease_without_its_expiry_gets_one_again() {
    let server = RedisServer::start();
    let (dead, living) = (backend(&server).await, manager(&server).await);
    tried(&dead, &claim_for("order:42", BRIEF)).await.unwrap();
    assert_eq!(server.command(&["PERSIST", "order:42"]), "1");
    assert!(living.lock("order:42").await.unwrap().is_valid());
}

/// S18: a lease that an operator ends, and a lock that is renamed, are lost to their holders, and free.
#[tokio::test]
async fn a_lease_cut_short_and_a_lock_renamed_are_lost() {
    let server = RedisServer::start();
    let (one, other) = (brief_manager(&server).await, manager(&server).await);
    let end: [&[&str]; 2] = [&["PEXPIRE", "order:42", "1"], &["RENAME", "order:42", "order:43"]];
    for command in end {
        let guard = one.lock("order:42").await.unwrap();
        server.command(command);
        let next = other.lock("order:42").await.unwrap();
        assert_eq!(lost(&guard).await, LossReason::NotOwner, "{command:?}");
        assert!(next.token() > guard.token() && next.is_valid());
        next.release().await.unwrap();
    }
}

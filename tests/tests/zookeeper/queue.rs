//! Whose turn it is, and what a request costs.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_backends_exclude_each_other() {
    let (one, other) = (manager(backend().await), manager(backend().await));
    let key = LockKey::new(fresh_key("two")).unwrap();
    let guard = one.lock(&key).await.unwrap();
    assert!(other.lock(&key).try_acquire().await.unwrap().is_none());
    assert_eq!(Operator::of(shared_zookeeper()).queue(&key).len(), 1, "the refused try left nothing");
    guard.release().await.unwrap();
    assert!(other.lock(&key).try_acquire().await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn five_waiters_are_served_in_order() {
    let (one, other) = (backend().await, backend().await);
    let key = fresh_key("five");
    let holder = claim(&key);
    grant(&one, &holder).await;
    let mut waiters = Vec::new();
    for backend in [&one, &other, &other, &one, &other] {
        let claim = claim(&key);
        let waiter = Waiter::queued(backend, &claim).await;
        waiters.push((backend, claim, waiter));
    }
    release(&one, &holder).await.unwrap();
    while !waiters.is_empty() {
        let (backend, claim, waiter) = waiters.remove(0);
        waiter.grant().await;
        assert!(waiters.iter().all(|(_, _, later)| !later.task.is_finished()), "granted out of turn");
        release(backend, &claim).await.unwrap();
    }
}

/// I1: that the node ahead is gone does not mean that one is first.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_waits_on_when_the_one_ahead_of_it_leaves() {
    let backend = backend().await;
    let key = fresh_key("leaves");
    let [holder, first, leaver, last] = [(); 4].map(|()| claim(&key));
    grant(&backend, &holder).await;
    let waiting = Waiter::queued(&backend, &first).await;
    let leaving = Waiter::queued(&backend, &leaver).await;
    let behind = Waiter::queued(&backend, &last).await;
    leaving.task.abort();
    let _ = release(&backend, &leaver).await;
    release(&backend, &holder).await.unwrap();
    waiting.grant().await;
    assert!(!behind.task.is_finished(), "granted out of turn");
    release(&backend, &first).await.unwrap();
    behind.grant().await;
    release(&backend, &last).await.unwrap();
}

/// W1: what it costs, whatever the machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_free_lock_costs_one_request_and_a_release_another() {
    let relay = Relay::to(shared_zookeeper()).await;
    let backend = at(&relay.hosts()).session_timeout(Duration::from_secs(60)).build().await.unwrap();
    let key = fresh_key("cost");
    for round in 0..2 {
        relay.take_requests();
        let claim = claim(&key);
        grant(&backend, &claim).await;
        release(&backend, &claim).await.unwrap();
        let writes_and_reads: Vec<_> = relay
            .take_requests()
            .into_iter()
            .filter(|code| ![code::PING, code::SYNC, code::EPHEMERALS].contains(code))
            .collect();
        if round > 0 {
            assert_eq!(writes_and_reads, [code::MULTI, code::DELETE]);
        }
    }
}

/// I4, at every await of an acquire: on a free lock and on a held one, with and without its directory.
#[tokio::test(flavor = "multi_thread")]
async fn an_acquire_dropped_at_any_await_leaves_no_node() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let held = claim(&fresh_key("held"));
    grant(&backend, &held).await;
    let free = LockKey::new(fresh_key("free")).unwrap();
    for (key, mode, left) in
        [(&free, Mode::Wait, 0), (&free, Mode::Try, 0), (&held.key, Mode::Wait, 1), (&held.key, Mode::Try, 1)]
    {
        for polls in 1..40 {
            let claim = Claim::new(key.clone(), Ttl::default()).unwrap();
            let request = AcquireRequest::new(claim.clone(), mode);
            let dropped = poll_and_drop(backend.acquire(&request), polls).await;
            let _ = release(&backend, &claim).await;
            assert_eq!(operator.queue(key).len(), left, "{key} {mode:?} after {polls} polls");
            if !dropped {
                break;
            }
            if left == 0 && polls % 2 == 0 {
                operator.delete_if_there(&format!("/locks/{key}"));
            }
        }
    }
    release(&backend, &held).await.unwrap();
}

/// Nothing grows, neither nodes nor watches, whatever becomes of the acquires.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_waiters_leave_neither_nodes_nor_watches() {
    let server = ZooKeeperServer::start();
    let backend = at(&server.hosts()).build().await.unwrap();
    let (holder, key) = (claim("k"), "k");
    grant(&backend, &holder).await;
    for _ in 0..50 {
        let claim = claim(key);
        let waiter = Waiter::queued(&backend, &claim).await;
        waiter.task.abort();
        assert!(soon("the waiter ends", waiter.task).await.unwrap_err().is_cancelled());
        let _ = release(&backend, &claim).await;
    }
    assert_eq!(Operator::of(&server).queue(&holder.key).len(), 1);
    until("no watch is left", async || server.four_letter("wchs").contains("Total watches:0")).await;
}

/// More waiters in one process than the client library can bring over a reconnect.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_waiters_survive_a_reconnect() {
    let relay = Relay::to(shared_zookeeper()).await;
    let holding = backend().await;
    let waiting = at(&relay.hosts()).session_timeout(Duration::from_secs(20)).build().await.unwrap();
    let pad = "x".repeat(100);
    let mut waiters = Vec::new();
    for number in 0..1_000 {
        let key = format!("{}{pad}", fresh_key("many"));
        let (holder, next) = (claim(&key), claim(&key));
        grant(&holding, &holder).await;
        waiters.push((holder, next.clone(), Waiter::start(&waiting, &next)));
        if number % 100 == 99 {
            until("all are queued", async || {
                waiters.iter().all(|(_, _, waiter)| waiter.request.progress.is_queued())
            })
            .await;
        }
    }
    let operator = Operator::of(shared_zookeeper());
    let before = operator.queue(&waiters[0].1.key);
    relay.cut();
    let probe = claim(&fresh_key("reconnected"));
    Waiter::start(&waiting, &probe).grant().await;
    release(&waiting, &probe).await.unwrap();
    assert_eq!(operator.queue(&waiters[0].1.key), before, "all kept their places");
    for (holder, ..) in &waiters {
        release(&holding, holder).await.unwrap();
    }
    for (_, next, waiter) in waiters {
        waiter.grant().await;
        release(&waiting, &next).await.unwrap();
    }
}

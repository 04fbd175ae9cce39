//! Whose turn it is, and what those leave who do not wait for it.

use super::textbook_recipe::TextbookClient;
use super::*;

/// I1.
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

/// S6, S16, Z7, I1: that the node ahead is gone does not mean that one is first.
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

/// S6, I4, I6: one in the middle of five leaves, while it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_that_leaves_the_middle_changes_nobody_s_turn() {
    let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
    let key = fresh_key("middle");
    let holder = claim(&key);
    grant(&backend, &holder).await;
    let mut waiters = Vec::new();
    for _ in 0..5 {
        let claim = claim(&key);
        let waiter = Waiter::queued(&backend, &claim).await;
        waiters.push((claim, waiter));
    }
    let before = operator.queue(&holder.key);
    let (left, leaving) = waiters.remove(2);
    leaving.task.abort();
    let _ = release(&backend, &left).await;
    let after = operator.queue(&holder.key);
    assert_eq!(after.len(), 5);
    assert!(after.iter().all(|node| before.contains(node)), "the others kept their places");
    let mut last = holder;
    while !waiters.is_empty() {
        assert!(waiters.iter().all(|(_, waiter)| !waiter.task.is_finished()), "granted early");
        release(&backend, &last).await.unwrap();
        let (claim, waiter) = waiters.remove(0);
        waiter.grant().await;
        last = claim;
    }
    release(&backend, &last).await.unwrap();
}

/// S5, I4: an acquire is dropped while its request is on the way. What the request brings about when it comes is
/// undone, and the next one gets the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_after_its_future_was_dropped_leaves_no_node() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = manager(patient(&relay.hosts()).build().await.unwrap());
    let (key, operator) = (LockKey::new(fresh_key("late")).unwrap(), Operator::of(shared_zookeeper()));
    operator.make(&format!("/locks/{key}"));
    relay.hold(op_code::MULTI);
    let acquiring = tokio::spawn(locks.lock(&key).acquire());
    until("the request is on its way", async || relay.is_holding()).await;
    acquiring.abort();
    assert!(acquiring.await.unwrap_err().is_cancelled());
    relay.let_go();
    let next = manager(backend().await).lock(&key).wait(LIMIT).await.unwrap();
    until("the own node alone is left", async || operator.queue(&key).len() == 1).await;
    next.release().await.unwrap();
    assert!(operator.queue(&key).is_empty());
}

/// Z6, the control: a create of the client library whose future is dropped is carried out, and nothing undoes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_create_leaves_its_node() {
    let relay = Relay::to(shared_zookeeper()).await;
    let (key, operator) = (LockKey::new(fresh_key("left")).unwrap(), Operator::of(shared_zookeeper()));
    operator.make(&format!("/locks/{key}"));
    let textbook = Arc::new(TextbookClient::at(&relay.hosts(), LIMIT, &key).await);
    relay.hold(op_code::CREATE_2);
    let creating = tokio::spawn({
        let textbook = Arc::clone(&textbook);
        async move { textbook.enqueue("lock-").await }
    });
    until("the request is on its way", async || relay.is_holding()).await;
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    relay.let_go();
    assert_eq!(textbook.queue().await.len(), 1, "asked after it, by the same client");
}

/// S23, Z5, I6: the node ahead goes after the queue was seen and before it is watched.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_before_it_is_watched_is_not_waited_for() {
    let relay = Relay::to(shared_zookeeper()).await;
    let (holding, waiting) = (backend().await, patient(&relay.hosts()).build().await.unwrap());
    let key = fresh_key("unwatched");
    let (holder, next) = (claim(&key), claim(&key));
    grant(&holding, &holder).await;
    relay.hold(op_code::GET_DATA);
    let waiter = Waiter::start(&waiting, &next);
    until("it is about to watch", async || relay.is_holding()).await;
    release(&holding, &holder).await.unwrap();
    relay.let_go();
    waiter.grant().await;
    release(&waiting, &next).await.unwrap();
}

/// S24, I1: two tasks of one session. Those who know their nodes by the session alone share one: the control.
#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_of_one_session_exclude_each_other() {
    let (locks, key) = (each_for_itself(backend().await), LockKey::new(fresh_key("tasks")).unwrap());
    Operator::of(shared_zookeeper()).make(&format!("/locks/{key}"));
    let guard = locks.lock(&key).await.unwrap();
    let other = tokio::spawn(locks.lock(&key).try_acquire());
    assert!(other.await.unwrap().unwrap().is_none());
    let textbook = TextbookClient::at(&shared_zookeeper().hosts(), LIMIT, &key).await;
    guard.release().await.unwrap();
    let first = textbook.enqueue("session-7-").await.unwrap();
    let second = textbook.find("session-7-").await.unwrap();
    assert!(textbook.believes_in(&first).await && textbook.believes_in(&second).await, "the control");
}

/// S43, I6: two hundred wait in four processes, and one release wakes one of them.
#[tokio::test(flavor = "multi_thread")]
async fn one_release_wakes_one_of_two_hundred() {
    let relay = Relay::to(shared_zookeeper()).await;
    let holding = backend().await;
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(patient(&relay.hosts()).build().await.unwrap());
    }
    let key = fresh_key("herd");
    let holder = claim(&key);
    grant(&holding, &holder).await;
    let mut waiters = Vec::new();
    for number in 0..200 {
        let claim = claim(&key);
        waiters.push(Waiter::queued(&processes[number % 4], &claim).await);
    }
    pass(&processes).await;
    relay.take_requests();
    release(&holding, &holder).await.unwrap();
    waiters.remove(0).grant().await;
    pass(&processes).await;
    assert_eq!(relay.events(), 1);
    assert!(!relay.take_requests().contains(&op_code::LIST), "nobody looked at the queue");
    assert!(waiters.iter().all(|waiter| !waiter.task.is_finished()));
    waiters.iter().for_each(|waiter| waiter.task.abort());
}

/// Returns when whatever the servers had to tell these is told: by the answer to a later request.
async fn pass(processes: &[ZooKeeperBackend]) {
    for backend in processes {
        let probe = claim(&fresh_key("probe"));
        grant(backend, &probe).await;
        release(backend, &probe).await.unwrap();
    }
}

/// S5, I4, at every await of an acquire: on a free lock and on a held one, with and without its directory.
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
            let dropped = poll_and_drop(&backend, request, polls).await;
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

/// S44: nothing grows, neither nodes nor watches, whatever becomes of the acquires.
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

/// Z5, Z11: more waiters in one process than the client library can bring over a reconnect.
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

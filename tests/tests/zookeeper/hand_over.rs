//! Many that wait in one process: they share one place in the queue.

use super::*;

/// A process that hands a lock over inside itself.
fn process(backend: ZooKeeperBackend, hand_over: HandOver) -> LockManager {
    LockManager::builder(backend).wait(LIMIT * 2).hand_over(hand_over).build().unwrap()
}

/// Tasks of one process that want `key`, each holding it for a moment.
fn hundred(locks: &LockManager, key: &LockKey) -> JoinSet<u64> {
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let acquire = locks.lock(key).acquire();
        tasks.spawn(async move {
            let guard = acquire.await.unwrap();
            let token = guard.token().as_u64();
            guard.release().await.unwrap();
            token
        });
    }
    tasks
}

/// Returns when everything that was sent by way of `relay` is answered, and nothing more is sent for locks.
async fn settled(relay: &Relay, locks: &LockManager, count: usize) {
    let mut places = 0;
    until("all have asked", async || {
        places += relay.take_requests().iter().filter(|code| **code == op_code::GET_DATA).count();
        places >= count
    })
    .await;
    locks.lock(fresh_key("probe")).await.unwrap().release().await.unwrap();
}

/// S38: a session is much shorter than the `ttl`, and what it holds is handed over all the same: a hundred turns take few
/// places in the queue, or where nothing is handed over one each.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_turns_of_one_process_take_few_places() {
    for (hand_over, places) in [(HandOver::new(64, LIMIT), 2..50), (HandOver::OFF, 100..usize::MAX)] {
        let relay = Relay::to(shared_zookeeper()).await;
        let locks = process(at(&relay.hosts()).build().await.unwrap(), hand_over);
        let mut tasks = hundred(&locks, &LockKey::new(fresh_key("turns")).unwrap());
        while let Some(served) = soon("all are served", tasks.join_next()).await {
            served.unwrap();
        }
        let taken = relay.take_requests().into_iter().filter(|code| *code == op_code::MULTI).count();
        assert!(places.contains(&taken), "{taken} places, {hand_over:?}");
    }
}

/// S38, I1: a hundred wait in one process at one place of the queue, and at a hundred places where nothing is handed
/// over: the control. Another process that waits behind has its turn after as many as one grant serves.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_waiters_of_one_process_are_one_in_the_queue() {
    let (operator, holding) = (Operator::of(shared_zookeeper()), backend().await);
    for (hand_over, places) in [(HandOver::default(), 1), (HandOver::OFF, 100)] {
        let relay = Relay::to(shared_zookeeper()).await;
        let locks = process(patient(&relay.hosts()).build().await.unwrap(), hand_over);
        let holder = claim(&fresh_key("hundred"));
        grant(&holding, &holder).await;
        let mut tasks = hundred(&locks, &holder.key);
        settled(&relay, &locks, places).await;
        assert_eq!(operator.queue(&holder.key).len(), 1 + places, "{hand_over:?}");
        let other = claim(&holder.key.to_string());
        let waiter = Waiter::queued(&holding, &other).await;
        release(&holding, &holder).await.unwrap();
        let token = waiter.grant().await.token.as_u64();
        release(&holding, &other).await.unwrap();
        let mut tokens = Vec::new();
        while let Some(served) = soon("all are served", tasks.join_next()).await {
            tokens.push(served.unwrap());
        }
        let before = tokens.iter().filter(|served| **served < token).count();
        assert!(before <= 64.max(places), "{before} before the other process");
        assert!(hand_over == HandOver::OFF || before < 100, "it had its turn");
    }
}

/// S39, I2: over ten thousand grants, local and remote, in three processes.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_rise_over_local_and_remote_grants() {
    let key = LockKey::new(fresh_key("rise")).unwrap();
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let locks = process(backend().await, HandOver::default());
        for _ in 0..4 {
            let (locks, key, tokens) = (locks.clone(), key.clone(), Arc::clone(&tokens));
            tasks.spawn(async move {
                for _ in 0..840 {
                    let guard = soon("its turn comes", locks.lock(&key).acquire()).await.unwrap();
                    tokens.lock().unwrap().push(guard.token());
                    soon("it is released", guard.release()).await.unwrap();
                }
            });
        }
    }
    tasks.join_all().await;
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens.len(), 3 * 4 * 840);
    assert!(tokens.is_sorted_by(|one, next| one < next), "in the order of the grants");
}

/// S40, I4: the first of two is dropped while its request is on the way. The second one inherits what comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_inherits_the_request_of_the_first() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = process(patient(&relay.hosts()).build().await.unwrap(), HandOver::default());
    let (key, operator) = (LockKey::new(fresh_key("inherits")).unwrap(), Operator::of(shared_zookeeper()));
    operator.make(&format!("/locks/{key}"));
    relay.hold(op_code::MULTI);
    let first = tokio::spawn(locks.lock(&key).acquire());
    until("the request is on its way", async || relay.is_holding()).await;
    let second = tokio::spawn(locks.lock(&key).acquire());
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    relay.let_go();
    let guard = soon("the second has it", second).await.unwrap().unwrap();
    let [node] = &operator.queue(&key)[..] else { panic!("one place in the queue") };
    assert_eq!(operator.czxid(&format!("/locks/{key}/{node}")), Some(guard.token().as_u64() / 64));
    guard.release().await.unwrap();
    assert!(operator.queue(&key).is_empty());
}

/// S41, I3: the session ends. The holder of a lock in it is told, and the waiter behind gets the lock in the next
/// session.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_reaches_all_its_holders() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = process(at(&relay.hosts()).build().await.unwrap(), HandOver::default());
    let keys = [(); 2].map(|()| LockKey::new(fresh_key("all")).unwrap());
    let mut held = Vec::new();
    let mut waiting = JoinSet::new();
    for key in &keys {
        held.push(locks.lock(key).await.unwrap());
        waiting.spawn(locks.lock(key).acquire());
        waiting.spawn(locks.lock(key).acquire());
    }
    relay.close();
    for guard in &held {
        assert!(is_end_of_session(soon("the guard is lost", guard.lost()).await));
    }
    relay.reopen();
    while let Some(granted) = soon("who waited is granted", waiting.join_next()).await {
        let guard = granted.unwrap().unwrap();
        assert!(guard.is_valid() && held.iter().all(|lost| !lost.is_valid()));
        guard.release().await.unwrap();
    }
}

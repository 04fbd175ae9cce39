//! What many owners write at once goes to the server in one transaction. Here it gathers behind a write that the relay
//! holds back. The runtimes have one thread: what is spawned in a row has asked after one yield.

use super::*;

/// A backend that was asked for nothing yet, its relay, and claims to keys of their own whose directories are there.
async fn asked_by<const N: usize>() -> (Relay, ZooKeeperBackend, [Claim; N]) {
    let relay = Relay::to(shared_zookeeper()).await;
    let backend = patient(&relay.hosts()).build().await.unwrap();
    let (operator, claims) = (Operator::of(shared_zookeeper()), [(); N].map(|()| claim(&fresh_key("many"))));
    for claim in &claims {
        operator.make(&format!("/locks/{}", claim.key));
    }
    relay.take_requests();
    (relay, backend, claims)
}

/// The requests that write, since the last call.
fn writes(relay: &Relay) -> Vec<i32> {
    let writes = [op_code::MULTI, op_code::DELETE, op_code::CREATE_CONTAINER];
    relay.take_requests().into_iter().filter(|code| writes.contains(code)).collect()
}

/// Drops what is asked for and not answered.
async fn give_up<T: std::fmt::Debug>(asked: JoinHandle<T>) {
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
}

fn start_release(backend: &ZooKeeperBackend, claim: &Claim) -> JoinHandle<Result<(), LockError>> {
    let (backend, claim) = (backend.clone(), claim.clone());
    tokio::spawn(async move { backend.release(&claim).await })
}

/// Starts a write, and returns while it is under way.
async fn hold_one<T>(relay: &Relay, code: i32, start: impl FnOnce() -> T) -> T {
    relay.hold(code);
    let started = start();
    until("it is under way", async || relay.is_holding()).await;
    started
}

/// S42: as many locks as are asked for at once cost one request, and as many releases another.
#[tokio::test]
async fn many_locks_cost_what_one_does() {
    let (relay, backend, claims) = asked_by::<33>().await;
    let (first, rest) = claims.split_first().unwrap();
    let ahead = hold_one(&relay, op_code::MULTI, || Waiter::start(&backend, first)).await;
    let waiters: Vec<_> = rest.iter().map(|claim| Waiter::start(&backend, claim)).collect();
    tokio::task::yield_now().await;
    relay.let_go();
    for waiter in [ahead].into_iter().chain(waiters) {
        waiter.grant().await;
    }
    assert_eq!(writes(&relay), [op_code::MULTI, op_code::MULTI], "all are free");
    let ahead = hold_one(&relay, op_code::DELETE, || start_release(&backend, first)).await;
    let releases: Vec<_> = rest.iter().map(|claim| start_release(&backend, claim)).collect();
    tokio::task::yield_now().await;
    relay.let_go();
    for released in [ahead].into_iter().chain(releases) {
        soon("it is released", released).await.unwrap().unwrap();
    }
    assert_eq!(writes(&relay), [op_code::DELETE, op_code::MULTI]);
    let operator = Operator::of(shared_zookeeper());
    assert!(claims.iter().all(|claim| operator.queue(&claim.key).is_empty()));
}

/// I2: a token is that of a transaction, so owners who ask for one key at once need a transaction each.
#[tokio::test]
async fn owners_that_ask_at_once_for_one_key_have_tokens_of_their_own() {
    let (relay, backend, [first]) = asked_by().await;
    let claims = [first.clone(), claim(&first.key.to_string()), claim(&first.key.to_string())];
    let waiters = claims.each_ref().map(|claim| Waiter::start(&backend, claim));
    let mut tokens = Vec::new();
    for (waiter, claim) in waiters.into_iter().zip(&claims) {
        tokens.push(waiter.grant().await.token);
        release(&backend, claim).await.unwrap();
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    assert_eq!(writes(&relay).iter().filter(|code| **code == op_code::MULTI).count(), 3);
}

/// I8: one directory is not there, and one node was removed. That fails the transaction that they are in, but no other
/// lock and no other release.
#[tokio::test]
async fn what_one_write_lacks_touches_no_other() {
    let (relay, backend, [first, free, removed, held]) = asked_by().await;
    let (operator, new) = (Operator::of(shared_zookeeper()), claim(&fresh_key("new")));
    grant(&backend, &removed).await;
    grant(&backend, &held).await;
    let [node] = &operator.queue(&removed.key)[..] else { panic!("one node") };
    operator.delete(&format!("/locks/{}/{node}", removed.key));
    writes(&relay);
    let ahead = hold_one(&relay, op_code::MULTI, || Waiter::start(&backend, &first)).await;
    let waiters = [&free, &new].map(|claim| Waiter::start(&backend, claim));
    let releases = [&removed, &held].map(|claim| start_release(&backend, claim));
    tokio::task::yield_now().await;
    relay.let_go();
    ahead.grant().await;
    let [of_removed, of_held] = releases.map(|release| soon("it has an answer", release));
    assert_eq!(of_removed.await.unwrap().unwrap_err().kind(), ErrorKind::Lost);
    of_held.await.unwrap().unwrap();
    for waiter in waiters {
        waiter.grant().await;
    }
    let alone = [op_code::MULTI, op_code::MULTI, op_code::DELETE, op_code::DELETE];
    let made = [op_code::CREATE_CONTAINER, op_code::MULTI];
    assert_eq!(writes(&relay), [&[op_code::MULTI; 2], &alone[..], &made].concat());
    for claim in [&first, &free, &new] {
        release(&backend, claim).await.unwrap();
    }
}

/// I4: what is given up before it is sent has no effect; only a release is carried out all the same.
#[tokio::test]
async fn what_is_given_up_unsent_leaves_nothing() {
    let (relay, backend, [under_way, given_up, held]) = asked_by().await;
    let operator = Operator::of(shared_zookeeper());
    grant(&backend, &held).await;
    let first = hold_one(&relay, op_code::MULTI, || Waiter::start(&backend, &under_way)).await;
    let (second, released) = (Waiter::start(&backend, &given_up), start_release(&backend, &held));
    tokio::task::yield_now().await;
    give_up(second.task).await;
    give_up(released).await;
    relay.let_go();
    first.grant().await;
    release(&backend, &under_way).await.unwrap();
    assert!(operator.queue(&given_up.key).is_empty(), "it was not sent");
    assert!(operator.queue(&held.key).is_empty(), "it was sent at once");
}

/// I4: a transaction fails, and of what was in it, one lock and one release were given up meanwhile. The lock is not
/// asked for again behind its owner's back, and the release is carried out.
#[tokio::test]
async fn what_is_given_up_in_a_transaction_that_fails_leaves_nothing() {
    let (relay, backend, [ahead, given_up, held]) = asked_by().await;
    let (operator, new) = (Operator::of(shared_zookeeper()), claim(&fresh_key("new")));
    grant(&backend, &ahead).await;
    grant(&backend, &held).await;
    let ahead = hold_one(&relay, op_code::DELETE, || start_release(&backend, &ahead)).await;
    let first = Waiter::start(&backend, &new);
    let (second, released) = (Waiter::start(&backend, &given_up), start_release(&backend, &held));
    tokio::task::yield_now().await;
    relay.hold(op_code::MULTI);
    soon("it is released", ahead).await.unwrap().unwrap();
    until("they are under way", async || relay.is_holding()).await;
    give_up(second.task).await;
    give_up(released).await;
    let undone = start_release(&backend, &given_up);
    relay.let_go();
    let undone = soon("there is nothing to undo", undone).await.unwrap();
    assert_eq!(undone.unwrap_err().kind(), ErrorKind::Lost);
    first.grant().await;
    release(&backend, &new).await.unwrap();
    assert!(operator.queue(&given_up.key).is_empty(), "it was not sent again");
    assert!(operator.queue(&held.key).is_empty(), "it was removed");
}

/// The runtime in which the backend was built ends while one lock is asked for and another is about to be.
#[tokio::test]
async fn what_is_asked_for_outlives_the_runtime_of_the_builder() {
    let relay = Relay::to(shared_zookeeper()).await;
    let other = tokio::task::spawn_blocking(|| Runtime::new().unwrap()).await.unwrap();
    let hosts = relay.hosts();
    let built = other.spawn(async move { patient(&hosts).request_timeout(LIMIT * 2).build().await.unwrap() });
    let backend = soon("it is connected", built).await.unwrap();
    let claims = [(); 2].map(|()| claim(&fresh_key("ended")));
    relay.hold(op_code::MULTI);
    let under_way = Waiter::start(&backend, &claims[0]);
    until("it is under way", async || relay.is_holding()).await;
    let unsent = Waiter::start(&backend, &claims[1]);
    tokio::task::yield_now().await;
    tokio::task::spawn_blocking(move || drop(other)).await.unwrap();
    relay.let_go();
    for (waiter, claim) in [under_way, unsent].into_iter().zip(&claims) {
        waiter.grant().await;
        release(&backend, claim).await.unwrap();
    }
}

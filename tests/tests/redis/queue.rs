//! Waiters, hand-offs and pushes.

use super::*;

/// B21: a push that is older than the last answer tells of a grant that is long over.
#[tokio::test]
async fn an_old_push_is_not_believed() {
    let server = RedisServer::start();
    let (one, other) = (backend(&server).await, backend(&server).await);
    let (holder, claim) = (claim("order:42"), claim("order:42"));
    let held = one.acquire(&AcquireRequest::new(holder.clone(), Mode::Try)).await.unwrap();
    let waiter = queued(other.clone(), claim.clone()).await;
    let owner = server.command(&["ZRANGE", "dlock:w:p:{order:42}", "0", "0"]);
    let inbox = format!("dlock:i:{}", owner.split('|').nth(1).unwrap());
    let before = script_calls(&server);
    for token in [0, 1, held.token.as_u64()] {
        assert_eq!(server.command(&["PUBLISH", &inbox, &format!("{owner}|{token}|order:42")]), "1");
    }
    wait_until_async("the waiter asks instead", PATIENCE, async || script_calls(&server) > before).await;
    assert!(!waiter.is_finished(), "the lock is another's");
    one.release(&holder).await.unwrap();
    tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap();
    other.release(&claim).await.unwrap();
}

/// A waiter whose process is dead, as the server knows, and behind it a living one. The lock is held by `holding`.
async fn dead_and_living(
    server: &RedisServer,
    holding: &Claim,
) -> (RedisBackend, tokio::task::JoinHandle<Grant>) {
    let (holder, dying, living) = (backend(server).await, backend(server).await, backend(server).await);
    tried(&holder, holding).await.unwrap();
    let dead = queued(dying, claim("order:42")).await;
    let alive = queued(living, claim("order:42")).await;
    dead.abort();
    assert!(dead.await.unwrap_err().is_cancelled());
    wait_until_async("the server has noticed", PATIENCE, async || {
        server.command(&["PUBSUB", "CHANNELS", "dlock:i:*"]).lines().count() == 2
    })
    .await;
    (holder, alive)
}

/// B23: in the script of the release itself, which is one request.
#[tokio::test]
async fn a_waiter_whose_process_died_is_passed_over() {
    let server = RedisServer::start();
    let holding = claim("order:42");
    let (holder, alive) = dead_and_living(&server, &holding).await;
    let scripts = script_calls(&server);
    holder.release(&holding).await.unwrap();
    assert_eq!(script_calls(&server) - scripts, 1);
    assert_ne!(self::holder(&server, "order:42"), "(nil)", "the living waiter has it already");
    granted(alive).await;
}

/// B23: a monitor hears what the dead waiter is told. The living one is granted the lock by the release all the same.
#[tokio::test]
async fn a_dead_waiter_that_a_monitor_hears_for_is_passed_over() {
    let server = RedisServer::start();
    let _monitor = monitor(&server);
    let holding = claim("order:42");
    let (holder, alive) = dead_and_living(&server, &holding).await;
    let (dead, scripts) = (first_waiter(&server, "order:42"), script_calls(&server));
    holder.release(&holding).await.unwrap();
    assert_eq!(script_calls(&server) - scripts, 1);
    assert_ne!(self::holder(&server, "order:42"), dead);
    granted(alive).await;
}

/// B23: the same where the holder is dead as well. The living waiter takes over when the holder's lease ends, and waits
/// for no second lease.
#[tokio::test]
async fn an_expired_lock_passes_over_a_dead_waiter_that_a_monitor_hears_for() {
    let server = RedisServer::start();
    let _monitor = monitor(&server);
    let (_holder, alive) = dead_and_living(&server, &claim("order:42")).await;
    server.command(&["PEXPIREAT", "order:42", "1"]);
    granted(alive).await;
}

/// B27.
#[tokio::test]
async fn a_lock_deleted_by_hand_is_lost_and_goes_to_the_next_waiter() {
    let server = RedisServer::start();
    let (one, other) = (brief_manager(&server).await, brief_manager(&server).await);
    let guard = one.lock("order:42").await.unwrap();
    let waiter = tokio::spawn(other.lock("order:42").acquire());
    server.command(&["DEL", "order:42"]);
    assert_eq!(lost(&guard).await, LossReason::NotOwner);
    assert!(waiter.await.unwrap().unwrap().token() > guard.token());
}

/// The pushes of `owner`'s inbox, as a client that believes all of them would hear them.
fn listen(server: &RedisServer, owner: &str) -> RespConnection {
    let mut inbox = server.connect();
    inbox.send(&[["SUBSCRIBE", &format!("dlock:i:{}", owner.split('|').nth(1).unwrap())]]).unwrap();
    inbox.receive().unwrap();
    inbox
}

/// The owner at the head of the queue.
fn first_waiter(server: &RedisServer, key: &str) -> String {
    server.command(&["ZRANGE", &format!("dlock:w:p:{{{key}}}"), "0", "0"])
}

/// B20, B21: the network holds up what a waiter is told, and what it asks, until the lease that it was told of
/// is over and another has the lock. Then the waiter must not begin, whether it has asked meanwhile or not.
/// The control: a client that believes every push would begin, since it hears that push while another holds.
#[tokio::test]
async fn a_push_that_comes_after_its_lease_is_not_believed() {
    for asks_meanwhile in [false, true] {
        let server = RedisServer::start();
        let (relay, behind) = relayed(&server, PATIENCE).await;
        let (one, holding, mine) = (backend(&server).await, claim("order:42"), claim_for("order:42", BRIEF));
        tried(&one, &holding).await.unwrap();
        let waiter = queued(behind.clone(), mine.clone()).await;
        let mut believer = listen(&server, &first_waiter(&server, "order:42"));
        relay.hold();
        relay.hold_answers();
        one.release(&holding).await.unwrap();
        let told = holder(&server, "order:42");
        let next = claim("order:42");
        let ask = AcquireRequest::new(next.clone(), Mode::Wait);
        let second = tokio::time::timeout(PATIENCE, one.acquire(&ask)).await.expect("in time").unwrap();
        if asks_meanwhile {
            wait_until_async("the waiter has asked", PATIENCE, async || relay.kept() > 0).await;
        }
        let scripts = script_calls(&server);
        assert!(believer.receive().unwrap().contains(&told), "the control believes to have it, and has not");
        assert_ne!(holder(&server, "order:42"), told);
        relay.let_go();
        wait_until_async("the waiter asks", PATIENCE, async || script_calls(&server) > scripts).await;
        one.renew(&next).await.expect("the lock is still the second one's");
        one.release(&next).await.unwrap();
        let third = granted(waiter).await;
        assert!(third.token > second.token, "not the token of the old push");
        behind.release(&mine).await.unwrap();
    }
}

/// B22: the push is lost with its connection. The waiter asks as soon as it has a new connection, and finds that it has
/// the lock: since the release, and with the token of that moment.
#[tokio::test]
async fn a_push_lost_with_its_connection_costs_a_question() {
    let server = RedisServer::start();
    let (relay, behind) = relayed(&server, PATIENCE).await;
    let (one, holding, mine) = (backend(&server).await, claim("order:42"), claim("order:42"));
    tried(&one, &holding).await.unwrap();
    let waiter = queued(behind.clone(), mine.clone()).await;
    relay.hold_answers();
    one.release(&holding).await.unwrap();
    wait_until_async("the push is on its way", PATIENCE, async || relay.kept_answers() > 0).await;
    let last: u64 = server.command(&["GET", "dlock:f"]).parse().unwrap();
    assert!(!waiter.is_finished());
    relay.cut();
    assert_eq!(granted(waiter).await.token.as_u64(), last * 64);
    behind.release(&mine).await.unwrap();
}

/// B23: a waiter that is gone without a word, as after a loss of power, is granted the lock once, and costs the
/// living one behind it that lease.
#[tokio::test]
async fn a_waiter_that_is_gone_without_a_word_costs_one_lease() {
    let server = RedisServer::start();
    let (relay, dying) = relayed(&server, PATIENCE).await;
    let (holding, living, holder_claim) = (backend(&server).await, backend(&server).await, claim("order:42"));
    tried(&holding, &holder_claim).await.unwrap();
    let dead = queued(dying, claim_for("order:42", BRIEF)).await;
    let gone = first_waiter(&server, "order:42");
    let alive = queued(living, claim("order:42")).await;
    relay.hold();
    relay.hold_answers();
    dead.abort();
    holding.release(&holder_claim).await.unwrap();
    assert_eq!(holder(&server, "order:42"), gone, "to the server it lives");
    let tokens = calls(&server, "publish");
    granted(alive).await;
    assert_eq!(calls(&server, "publish"), tokens, "and it was granted the lock only once");
}

/// Puts `dead` waiters whose processes are gone into the queue, ahead of all others.
fn crowd(server: &RedisServer, key: &str, dead: usize) {
    let queue = format!("dlock:w:p:{{{key}}}");
    let member = |number| format!("dl2|00000000deadbeef|{number:032x}|3600000|");
    let members: Vec<String> = (0..dead).flat_map(|number| [number.to_string(), member(number)]).collect();
    let command = ["ZADD", &queue].into_iter().chain(members.iter().map(String::as_str));
    assert_eq!(server.command(&command.collect::<Vec<_>>()), dead.to_string());
}

/// B24: ten thousand dead waiters stand before a living one. No call walks over more than 64 of them, and the
/// living one is reached by its own questions: each walks on.
#[tokio::test]
async fn a_crowd_of_dead_waiters_is_walked_over_in_bounded_steps() {
    let server = RedisServer::start();
    let (one, other, holding) = (backend(&server).await, backend(&server).await, claim("order:42"));
    tried(&one, &holding).await.unwrap();
    crowd(&server, "order:42", 10_000);
    let waiter = queued(other, claim("order:42")).await;
    let (told, scripts) = (calls(&server, "publish"), script_calls(&server));
    let walked = || (calls(&server, "publish") - told, script_calls(&server) - scripts);
    // The waiter's sign of life may have come just before. It passes no dead waiter over while the lock is held.
    one.release(&holding).await.unwrap();
    wait_until_async("a question walks on", PATIENCE, async || walked().0 >= 128).await;
    let (over, asked) = walked();
    assert!(over <= 64 * asked, "{over} in {asked} calls");
    assert_eq!(holder(&server, "order:42"), "(nil)", "none of the dead has it");
    // The rest of the way would be the same.
    let last_dead = (waiters(&server, "order:42") - 10).to_string();
    server.command(&["ZREMRANGEBYRANK", "dlock:w:p:{order:42}", "0", &last_dead]);
    granted(waiter).await;
    assert_eq!(waiters(&server, "order:42"), 0);
}

/// B24: the lock is free all that time, so the living one asks on at once, as the script's answer tells it to.
#[tokio::test]
async fn a_free_lock_behind_a_crowd_is_asked_for_again_at_once() {
    let server = RedisServer::start();
    let (one, other, holding) = (backend(&server).await, backend(&server).await, claim("order:42"));
    tried(&one, &holding).await.unwrap();
    crowd(&server, "order:42", 10_000);
    let waiter = queued(other, claim("order:42")).await;
    one.release(&holding).await.unwrap();
    granted(waiter).await;
}

/// B25: a waiter leaves while the grant is on its way to it. The lock passes on to the next, and the queue is empty.
#[tokio::test]
async fn a_waiter_that_leaves_while_it_is_granted_passes_the_lock_on() {
    let server = RedisServer::start();
    let (relay, behind) = relayed(&server, PATIENCE).await;
    let (locks, next) = (over(behind, LONG), backend(&server).await);
    let guard = manager(&server).await.lock("order:42").await.unwrap();
    let leaver = tokio::spawn(locks.lock("order:42").acquire());
    wait_until_async("somebody waits", PATIENCE, async || waiters(&server, "order:42") == 1).await;
    let second = queued(next, claim("order:42")).await;
    relay.hold_answers();
    guard.release().await.unwrap();
    assert_eq!(waiters(&server, "order:42"), 1, "the first has the lock and does not know");
    leaver.abort();
    assert!(leaver.await.unwrap_err().is_cancelled());
    granted(second).await;
    assert_eq!(waiters(&server, "order:42"), 0);
}

/// B03, B25: a place in the queue is granted the lock, though its owner is no longer known: its process lives, and
/// hears of it. A process that is told of a grant to an unknown owner gives it back.
#[tokio::test]
async fn a_grant_for_an_unknown_waiter_is_given_back() {
    let server = RedisServer::start();
    let (one, other, holding) = (backend(&server).await, backend(&server).await, claim("order:42"));
    tried(&one, &holding).await.unwrap();
    let waiter = queued(other, claim("order:42")).await;
    let known = first_waiter(&server, "order:42");
    let inbox = known.split('|').nth(1).unwrap();
    server.command(&["ZADD", "dlock:w:p:{order:42}", "1", &format!("dl2|{inbox}|{:032x}|60000|", 7)]);
    one.release(&holding).await.unwrap();
    let goes_on = async || holder(&server, "order:42") == known;
    wait_until_async("the living waiter has it", Duration::from_secs(5), goes_on).await;
    granted(waiter).await;
}

/// B26: the holder is dead and no other client comes. The first waiter asks when the lease ends, and has the lock: two
/// or three questions in all, and no second lease.
#[tokio::test]
async fn the_first_waiter_asks_when_a_dead_holders_lease_ends() {
    let server = RedisServer::start();
    let (dead, living) = (backend(&server).await, backend(&server).await);
    let first = tried(&dead, &claim_for("order:42", BRIEF)).await.unwrap();
    let scripts = script_calls(&server);
    let waiter = queued(living, claim("order:42")).await;
    assert!(granted(waiter).await.token > first.token);
    let asked = script_calls(&server) - scripts;
    assert!((2..=3).contains(&asked), "{asked}");
}

/// B28: a queue lasts as long as a waiter in it shows that it lives, however long that is. A queue that was deleted is
/// there again with the next sign of life.
#[tokio::test]
async fn a_waiter_that_lives_keeps_its_queue() {
    let server = RedisServer::start();
    let queue = "dlock:w:p:{order:42}";
    let (one, other, holding) = (backend(&server).await, backend(&server).await, claim("order:42"));
    tried(&one, &holding).await.unwrap();
    let waiter = queued(other, claim_for("order:42", BRIEF)).await;
    // Longer than the test waits, so that it is not a new queue that is found to last longer.
    server.command(&["PEXPIRE", queue, "40000"]);
    wait_until_async("its time is prolonged", PATIENCE, async || left_ms(&server, queue) > 40_000).await;
    server.command(&["DEL", queue]);
    wait_until_async("it is there again", PATIENCE, async || waiters(&server, "order:42") == 1).await;
    one.release(&holding).await.unwrap();
    granted(waiter).await;
}

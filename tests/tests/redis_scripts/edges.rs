//! Where random steps do not come: single moments, and what the scripts do there that their headers do not say.

use super::run::{Errand, batch_of};
use super::script::Scripts;
use super::server::{Inbox, Invocation, Names, Outcome, Script, Server, monitor, words};
use super::span::Span;
use super::state::{Fence, Slot, WRONG_TYPE};
use super::step::Part;
use dlock_tests::{RedisServer, fresh_key, shared_redis};

const ME: &str = "dl1|aaaa|1|600000";
const OTHER: &str = "dl1|aaaa|2|600000";

struct Edge {
    server: Server,
    names: [Names; 1],
}

impl Edge {
    fn new() -> Self {
        Self::on(shared_redis(), &Scripts::real())
    }

    fn on(redis: &RedisServer, scripts: &Scripts) -> Self {
        let server = Server::connect(redis, scripts);
        Self { server, names: [Names::fresh(&fresh_key("dlock:m"))] }
    }

    /// Commands in which `{lock}`, `{queue}`, `{fence}` and `{marks}` stand for the keys.
    fn run(&mut self, commands: &[&str]) {
        let parts = [
            ("{lock}", Part::Lock),
            ("{queue}", Part::Queue),
            ("{fence}", Part::Fence),
            ("{marks}", Part::Marks),
        ];
        let named =
            |text: &&str| {
                words(&parts.iter().fold((*text).to_owned(), |text, (name, part)| {
                    text.replace(name, &self.names[0].of(*part))
                }))
            };
        let commands: Vec<_> = commands.iter().map(named).collect();
        self.server.run(&commands);
    }

    fn call(&mut self, script: Script, arguments: &str) -> Outcome {
        let keys = [Part::Lock, Part::Queue, Part::Fence, Part::Marks].map(|part| self.names[0].of(part));
        let invocation = Invocation { script, keys: keys.to_vec(), arguments: words(arguments) };
        self.server.call(&invocation, &self.names)
    }

    fn acquire(&mut self, owner: &str) -> Outcome {
        self.call(Script::Acquire, &format!("{owner} 600000 0"))
    }
}

/// It holds with the scripts as they are, and with another text in this one's place it does not.
fn hangs_on(text: &str, other: &str, holds: impl Fn(&Scripts) -> bool) {
    assert!(holds(&Scripts::real()));
    assert!(!holds(&Scripts::with(text, other)), "it holds with {other:?} as well");
}

/// A release while a living process waits, after these commands. The waiter asks for a lease of so many ms.
fn hand_off(redis: &RedisServer, scripts: &Scripts, ttl: i64, before: &[&str]) -> (Outcome, String) {
    let inbox = Inbox::open(redis, "", fresh_key("").replace('-', ""));
    let waiter = format!("dl1|{}|2|{ttl}", inbox.name);
    let mut edge = Edge::on(redis, scripts);
    edge.acquire(ME).answer.unwrap();
    edge.run(&[&format!("ZADD {{queue}} 1 {waiter}"), "PEXPIRE {queue} 600000"]);
    edge.run(before);
    (edge.call(Script::Release, ME), waiter)
}

/// What frees a lock for its waiters.
#[derive(Clone, Copy)]
enum Freed {
    /// By the way straight to the next waiter, which the release goes first.
    Straight,
    /// By the walk over the queue: a request of the owner may be under way.
    Walking,
    /// By the end of the lease. Another client asks.
    Expired,
}

/// The lock is freed while a monitor listens, a dead process waits and a living one waits behind it.
fn is_the_living_one_s(redis: &RedisServer, scripts: &Scripts, freed: Freed) -> bool {
    let _monitor = monitor(redis);
    let inbox = Inbox::open(redis, "", fresh_key("").replace('-', ""));
    let living = format!("dl1|{}|2|600000", inbox.name);
    let mut edge = Edge::on(redis, scripts);
    edge.acquire(ME).answer.unwrap();
    edge.run(&[&format!("ZADD {{queue}} 1 dl1|dead|1|600000 2 {living}"), "PEXPIRE {queue} 600000"]);
    let outcome = match freed {
        Freed::Straight => edge.call(Script::Release, ME),
        Freed::Walking => edge.call(Script::Release, &format!("{ME} 1000")),
        Freed::Expired => {
            edge.run(&["PEXPIREAT {lock} 1"]);
            edge.acquire(OTHER)
        }
    };
    outcome.answer.unwrap();
    outcome.states[0].lock.read().unwrap() == Some(&living)
}

fn now(redis: &RedisServer) -> i64 {
    Server::connect(redis, &Scripts::real()).states(&[]).0
}

fn holder(outcome: &Outcome) -> Option<&str> {
    outcome.states[0].lock.read().unwrap().map(String::as_str)
}

/// The server removes what is over by and by; until then it must be as if it were not there.
#[test]
fn a_lease_that_is_over_is_free_before_the_server_has_removed_it() {
    let mut edge = Edge::new();
    edge.acquire(OTHER).answer.unwrap();
    edge.run(&["PEXPIRE {lock} 1"]);
    let (begin, _) = edge.server.states(&[]);
    while edge.server.states(&[]).0 < begin + 3000 {}
    let outcome = edge.acquire(ME);
    assert_eq!(outcome.answer.as_ref().unwrap()[0], Span::exactly(1));
    assert_eq!(holder(&outcome), Some(ME));
}

/// What goes wrong in a batch is done alone, so only this shows that it works.
#[test]
fn a_batch_does_what_most_requests_come_to() {
    let marker = fresh_key("dlock:m");
    let names: [Names; 6] = std::array::from_fn(|_| Names::fresh(&marker));
    let owners: [String; 6] = std::array::from_fn(|number| format!("dl1|aaaa|{number}|600000"));
    let mut server = Server::connect(shared_redis(), &Scripts::real());
    let mut call = |script, keys: Vec<String>, arguments: String| {
        server.call(&Invocation { script, keys, arguments: words(&arguments) }, &names)
    };
    let parts = |number: usize| {
        [Part::Lock, Part::Queue, Part::Fence, Part::Marks].map(|part| names[number].of(part))
    };
    for (number, owner) in owners.iter().enumerate().skip(2) {
        call(Script::Acquire, parts(number).to_vec(), format!("{owner} 600000")).answer.unwrap();
    }
    let errands =
        [Errand::Acquire, Errand::Release, Errand::Renew].into_iter().flat_map(|errand| [errand; 2]);
    let items: Vec<_> =
        errands.zip(&names).zip(&owners).map(|((errand, names), owner)| (errand, names, &**owner)).collect();
    let Invocation { script, keys, arguments } = batch_of(&items, 900_000);
    let Outcome { answer, during, states } = call(script, keys, arguments.join(" "));
    let answer = answer.unwrap();
    assert!(answer[..2].iter().all(|token| token.overlaps(during)), "{answer:?} at {during:?}");
    assert_ne!(answer[0], answer[1], "tokens tell the answers apart");
    assert_eq!(answer[2..], [1; 4].map(Span::exactly));
    for (number, state) in states.iter().enumerate() {
        match &state.lock {
            Slot::Nothing => assert!((2..4).contains(&number), "{number} was not released"),
            Slot::Holds(owner, Some(ends)) => {
                assert_eq!(*owner, owners[number]);
                let left = ends.minus(during.thousandths());
                assert_eq!(left.is_after(Span::exactly(800_000)), !(2..4).contains(&number), "{left:?}");
            }
            other => unreachable!("{other:?}"),
        }
    }
}

/// Else a fence that is in use would end.
#[test]
fn a_fence_lives_anew_once_an_hour() {
    let mut edge = Edge::new();
    let (now, _) = edge.server.states(&[]);
    let hours_ago = now - 2 * 3_600_000_000;
    edge.run(&[&format!("SET {{fence}} {hours_ago} PX 900000")]);
    let outcome = edge.acquire(ME);
    let Slot::Holds(_, Some(ends)) = outcome.states[0].fence else { unreachable!("{:?}", outcome.states) };
    assert!(ends.from - now / 1000 > 600_000_000, "{ends:?}");
}

#[test]
fn a_fence_lives_anew_once_an_hour_by_hand_offs_alone() {
    let lives_anew = |scripts: &Scripts| {
        let now = now(shared_redis());
        let old = format!("SET {{fence}} {} PX 900000", now - 2 * 3_600_000_000);
        let (outcome, waiter) = hand_off(shared_redis(), scripts, 600_000, &[&old]);
        assert_eq!(holder(&outcome), Some(&*waiter));
        let ends = outcome.states[0].fence.ends().unwrap();
        ends.from - now / 1000 > 600_000_000
    };
    hangs_on("step >= TOKENS and step <= newest % 3600000000 and", "step >= TOKENS and", lives_anew);
}

/// The server does not count it.
#[test]
fn a_hand_off_past_a_fence_with_zeros_before_it_writes_the_fence() {
    let is_written = |scripts: &Scripts| {
        let before = now(shared_redis());
        let zeros = format!("SET {{fence}} 000{before} PX 900000");
        let (outcome, _) = hand_off(shared_redis(), scripts, 600_000, &[&zeros]);
        matches!(&outcome.states[0].fence, Slot::Holds(Fence::Token(token), _) if token.from > before)
    };
    hangs_on(
        "and type(redis.pcall('INCRBY', fence, step)) == 'number'\n      and",
        "and redis.pcall('INCRBY', fence, step) and",
        is_written,
    );
}

#[test]
fn a_hand_off_for_a_lease_that_the_server_refuses_leaves_a_free_lock() {
    let is_free = |scripts: &Scripts| {
        let (outcome, _) = hand_off(shared_redis(), scripts, 0, &[]);
        assert_eq!(outcome.answer, Ok(vec![Span::exactly(1)]));
        holder(&outcome).is_none()
    };
    let set = "redis.pcall('SET', lock, head, 'PX', ttl_ms)";
    hangs_on(&format!("{set}.ok"), set, is_free);
}

#[test]
fn a_full_server_hands_off() {
    let redis = RedisServer::start();
    let handed = |scripts: &Scripts| {
        redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
        let (outcome, waiter) = hand_off(&redis, scripts, 600_000, &["CONFIG SET maxmemory 1"]);
        outcome.answer == Ok(vec![Span::exactly(1)]) && holder(&outcome) == Some(&*waiter)
    };
    hangs_on(
        "and type(redis.pcall('INCRBY', fence, step)) == 'number'\n      and",
        "and redis.call('INCRBY', fence, step) and",
        handed,
    );
    hangs_on("  redis.call('DEL', lock)\nelseif queued", "elseif queued", handed);
}

/// One call may hand out as many tokens as it walks over dead waiters.
#[test]
fn the_last_tokens_are_kept_for_a_walk() {
    let mut edge = Edge::new();
    edge.run(&["SET {fence} 9007199254736830"]);
    assert_eq!(edge.acquire(ME).answer, Ok([1, 9_007_199_254_736_831].map(Span::exactly).to_vec()));
    assert_eq!(edge.acquire(ME).answer.unwrap_err(), "DLOCKCORRUPT");
}

#[test]
fn a_walk_over_dead_waiters_takes_no_token_that_is_not_exact() {
    let mut edge = Edge::new();
    let crowd: String = (1..=64).map(|place| format!(" {place} dl1|dead|{place}|600000")).collect();
    edge.run(&["SET {fence} 9007199254736830", &format!("ZADD {{queue}}{crowd}"), "PEXPIRE {queue} 600000"]);
    let outcome = edge.acquire(ME);
    assert_eq!(outcome.answer.as_ref().unwrap()[0], Span::exactly(0), "after the walk");
    assert_eq!(holder(&outcome), None);
    assert!(matches!(&outcome.states[0].fence, Slot::Holds(Fence::Token(token), _) if token.to < 1 << 53));
}

/// Nobody has the lock, so the owner is to ask again at once.
#[test]
fn after_the_longest_walk_a_free_lock_is_to_be_asked_for_again_at_once() {
    let mut edge = Edge::new();
    let crowd: String = (1..=65).map(|place| format!(" {place} dl1|dead|{place}|600000")).collect();
    edge.run(&[&format!("ZADD {{queue}}{crowd}"), "PEXPIRE {queue} 600000"]);
    let outcome = edge.acquire(ME);
    assert_eq!(outcome.answer.as_ref().unwrap()[..4], [0, 0, 0, 0].map(Span::exactly));
    assert_eq!(holder(&outcome), None);
}

/// The marks are written last, so that all else is done when they cannot be.
#[test]
fn a_release_that_fails_on_marks_of_another_type_has_freed_the_lock() {
    let mut edge = Edge::new();
    edge.acquire(ME).answer.unwrap();
    edge.run(&["HSET {marks} some field"]);
    let outcome = edge.call(Script::Release, &format!("{ME} 1000"));
    assert_eq!(outcome.answer.as_ref().unwrap_err(), WRONG_TYPE);
    assert_eq!(holder(&outcome), None);
}

#[test]
fn a_release_past_a_queue_of_another_type_frees_the_lock_and_says_so() {
    let mut edge = Edge::new();
    edge.acquire(ME).answer.unwrap();
    edge.run(&["HSET {queue} some field"]);
    let outcome = edge.call(Script::Release, ME);
    assert_eq!(outcome.answer, Ok(vec![Span::exactly(1)]));
    assert_eq!(holder(&outcome), None);
}

const ASKS: &str = "redis.pcall('PUBSUB', 'NUMSUB', channel)[2] or heard";

/// It is alive to PUBLISH, which counts the monitor.
#[test]
fn a_dead_waiter_that_a_monitor_hears_for_is_passed_over() {
    for freed in [Freed::Straight, Freed::Walking, Freed::Expired] {
        hangs_on(ASKS, "heard", |scripts| is_the_living_one_s(shared_redis(), scripts, freed));
    }
}

/// A monitor alone is one receiver, as a waiter is. The server is the test's own: other tests have monitors as well.
#[test]
fn a_single_receiver_may_be_a_monitor() {
    let redis = RedisServer::start();
    hangs_on("if heard == 0 or", "if heard < 2 or", |scripts| {
        is_the_living_one_s(&redis, scripts, Freed::Straight)
    });
}

/// Only the dead are then told from the living less well.
#[test]
fn an_account_that_may_not_ask_for_subscribers_hands_off() {
    let redis = RedisServer::builder().config("user default on nopass ~* &* +@all -pubsub").start();
    let handed = |scripts: &Scripts| {
        let (outcome, waiter) = hand_off(&redis, scripts, 600_000, &[]);
        outcome.answer == Ok(vec![Span::exactly(1)]) && holder(&outcome) == Some(&*waiter)
    };
    hangs_on(ASKS, "redis.pcall('PUBSUB', 'NUMSUB', channel)[2] or 0", handed);
    assert!(!is_the_living_one_s(&redis, &Scripts::real(), Freed::Straight), "every receiver counts");
}

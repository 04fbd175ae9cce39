//! Where random steps do not come: single moments, and what the scripts do there that their headers do not say.

use super::run::{Errand, batch_of};
use super::script::Scripts;
use super::server::{Inbox, Invocation, Names, Outcome, Script, Server, monitor, words};
use super::span::Span;
use super::state::{Held, LARGEST_NUMBER, Number, Slot, WRONG_TYPE};
use super::step::Part;
use dlock_tests::{RedisServer, fresh_key, shared_redis};

const ME: &str = "dl2|aaaa|1|600000|";
const OTHER: &str = "dl2|aaaa|2|600000|";

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

    /// Commands in which `{lock}`, `{queue}`, `{counter}` and `{marks}` stand for the keys.
    fn run(&mut self, commands: &[&str]) {
        let parts = [
            ("{lock}", Part::Lock),
            ("{queue}", Part::Queue),
            ("{counter}", Part::Counter),
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
        let keys = [Part::Lock, Part::Queue, Part::Counter, Part::Marks].map(|part| self.names[0].of(part));
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

/// A release while a living process waits, after these commands. The waiter asks for a lease of `ttl` ms.
fn hand_off(redis: &RedisServer, scripts: &Scripts, ttl: i64, before: &[&str]) -> (Outcome, String) {
    let inbox = Inbox::open(redis, "", fresh_key("").replace('-', ""));
    let waiter = format!("dl2|{}|2|{ttl}|", inbox.name);
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
    let living = format!("dl2|{}|2|600000|", inbox.name);
    let mut edge = Edge::on(redis, scripts);
    edge.acquire(ME).answer.unwrap();
    edge.run(&[&format!("ZADD {{queue}} 1 dl2|dead|1|600000| 2 {living}"), "PEXPIRE {queue} 600000"]);
    let outcome = match freed {
        Freed::Straight => edge.call(Script::Release, ME),
        Freed::Walking => edge.call(Script::Release, &format!("{ME} 1000")),
        Freed::Expired => {
            edge.run(&["PEXPIREAT {lock} 1"]);
            edge.acquire(OTHER)
        }
    };
    outcome.answer.as_ref().unwrap();
    holder(&outcome) == Some(&*living)
}

fn now(redis: &RedisServer) -> i64 {
    Server::connect(redis, &Scripts::real()).states(&[]).0
}

fn holder(outcome: &Outcome) -> Option<&str> {
    outcome.states[0].lock.owner()
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
    let owners: [String; 6] = std::array::from_fn(|number| format!("dl2|aaaa|{number}|600000|"));
    let mut server = Server::connect(shared_redis(), &Scripts::real());
    let mut call = |script, keys: Vec<String>, arguments: String| {
        server.call(&Invocation { script, keys, arguments: words(&arguments) }, &names)
    };
    let parts = |number: usize| {
        [Part::Lock, Part::Queue, Part::Counter, Part::Marks].map(|part| names[number].of(part))
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
    assert!(answer[0].overlaps(during), "{answer:?} at {during:?}");
    assert_eq!(answer[1..], [1; 6].map(Span::exactly));
    for (number, state) in states.iter().enumerate() {
        match &state.lock {
            Slot::Nothing => assert!((2..4).contains(&number), "{number} was not released"),
            Slot::Holds(Held::By(owner, count), Some(ends)) => {
                assert_eq!(*owner, owners[number]);
                assert_eq!(count == &answer[0], number < 2, "one number for all grants of the call");
                let left = ends.minus(during.thousandths());
                assert_eq!(left.is_after(Span::exactly(800_000)), !(2..4).contains(&number), "{left:?}");
            }
            other => unreachable!("{other:?}"),
        }
    }
}

#[test]
fn a_hand_off_for_a_lease_that_the_server_refuses_leaves_a_free_lock() {
    let is_free = |scripts: &Scripts| {
        let (outcome, _) = hand_off(shared_redis(), scripts, 0, &[]);
        assert_eq!(outcome.answer, Ok(vec![Span::exactly(1)]));
        holder(&outcome).is_none()
    };
    let set = "redis.pcall('SET', lock, head .. number, 'PX', ttl_ms)";
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
    hangs_on("redis.pcall('SET', counter, now, 'GET')", "redis.call('SET', counter, now, 'GET')", handed);
    hangs_on("  redis.call('DEL', lock)\nelse\n", "else\n", handed);
}

/// How often the server has carried out this command.
fn calls(redis: &RedisServer, command: &str) -> u64 {
    let stats = redis.command(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// The fast paths go on while the counter is ahead of the clock, as it is for all locks after the clock went back an hour:
/// what is free is taken, and one command more counts.
#[test]
fn a_counter_ahead_of_the_clock_sends_no_request_the_long_way() {
    let redis = RedisServer::start();
    let mut edge = Edge::on(&redis, &Scripts::real());
    let ahead = now(&redis) + 3_600_000_000;
    edge.run(&[&format!("SET {{counter}} {ahead}")]);
    let count = |command: &str| calls(&redis, command);
    let commands = ["zscore", "get", "set", "time"];
    let before = commands.map(count);
    // By a connection that reads nothing: what the harness reads would be counted as well.
    let keys = [Part::Lock, Part::Queue, Part::Counter, Part::Marks].map(|part| edge.names[0].of(part));
    let call = ["EVAL", &Scripts::real().acquire, "4", &keys[0], &keys[1], &keys[2], &keys[3], ME, "600000"];
    assert_eq!(redis.command(&call), (ahead + 1).to_string());
    let after = commands.map(count);
    let made: Vec<_> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert_eq!(made, [0, 0, 3, 1], "of {commands:?}");
}

/// No greater number could be told exactly by all who count with doubles once a process has made tokens of it.
#[test]
fn no_number_is_greater_than_the_largest() {
    let mut edge = Edge::new();
    edge.run(&[&format!("SET {{counter}} {}", LARGEST_NUMBER - 1)]);
    assert_eq!(edge.acquire(ME).answer, Ok([1, LARGEST_NUMBER].map(Span::exactly).to_vec()));
    edge.call(Script::Release, ME).answer.unwrap();
    let outcome = edge.acquire(ME);
    assert!(outcome.answer.unwrap()[1].overlaps(outcome.during), "the counter begins anew");
}

/// The owner ends with the bar before the number.
#[test]
fn a_ttl_that_another_one_begins_with_is_another_owner_s() {
    let mut edge = Edge::new();
    edge.acquire(ME).answer.unwrap();
    let [longer, shorter] = [ME.replace("|600000|", "|6000000|"), ME.replace("|600000|", "|6|")];
    for other in [&longer, &shorter] {
        assert_eq!(edge.call(Script::Release, other).answer, Ok(vec![Span::exactly(0)]));
        assert_eq!(edge.acquire(other).answer.unwrap()[0], Span::exactly(0));
    }
    assert_eq!(edge.call(Script::Release, ME).answer, Ok(vec![Span::exactly(1)]));
}

/// MGET reads a hash as nothing.
#[test]
fn a_batch_leaves_a_foreign_hash_alone() {
    let is_left = |scripts: &Scripts| {
        let mut edge = Edge::on(shared_redis(), scripts);
        edge.run(&["HSET {lock} some field"]);
        let batch = batch_of(&[(Errand::Acquire, &edge.names[0], ME)], 600_000);
        let outcome = edge.server.call(&batch, &edge.names);
        outcome.answer.unwrap()[1] == Span::exactly(0) && outcome.states[0].lock == Slot::Other
    };
    hangs_on("ARGV[3 + i] .. number, 'NX', 'PX', ttl_ms)", "ARGV[3 + i] .. number, 'PX', ttl_ms)", is_left);
}

/// A waiter of a later build, and one whose process is gone.
#[test]
fn a_waiter_of_another_build_is_told_and_keeps_its_place_while_its_process_lives() {
    let redis = shared_redis();
    let mut inbox = Inbox::open(redis, "", fresh_key("").replace('-', ""));
    let later = format!("dl7|{}|of-another-form", inbox.name);
    let mut edge = Edge::on(redis, &Scripts::real());
    edge.acquire(ME).answer.unwrap();
    edge.run(&[&format!("ZADD {{queue}} 1 dl7|dead|x 2 {later}"), "PEXPIRE {queue} 600000"]);
    let outcome = edge.call(Script::Release, ME);
    assert_eq!(outcome.answer, Ok(vec![Span::exactly(1)]));
    assert_eq!(outcome.states[0].lock, Slot::Nothing, "it is free for whoever knows how to have it");
    assert_eq!(outcome.states[0].queue.first().unwrap().as_deref(), Some(&*later));
    inbox.ask();
    assert_eq!(inbox.heard().len(), 1);
    let asked = edge.acquire(OTHER);
    assert_eq!(asked.answer.unwrap()[..2], [0, 100].map(Span::exactly), "nobody passes it");
    inbox.close(&mut edge.server);
    assert_eq!(holder(&edge.acquire(OTHER)), Some(OTHER), "the dead wait for nothing");
}

/// A push is on its way when the server forgets all, and a client of another library takes the lock. What the waiter is
/// told then must not be less than the push, which it would believe.
#[test]
fn a_waiter_is_told_more_than_an_old_push_although_the_counter_was_lost() {
    let is_told_more = |scripts: &Scripts| {
        let mut edge = Edge::on(shared_redis(), scripts);
        let pushed = edge.acquire(ME).answer.unwrap()[1];
        edge.run(&["DEL {lock} {queue} {counter} {marks}", "SET {lock} foreign PX 600000"]);
        let told = edge.call(Script::Acquire, &format!("{ME} 600000")).answer.unwrap();
        told[4].is_after(pushed)
    };
    hangs_on(
        "number > tonumber(now) and last or now",
        "number > tonumber(now) and last or '0'",
        is_told_more,
    );
}

/// Numbers begin by the clock, whatever stood there.
#[test]
fn a_counter_that_holds_no_number_stops_no_lock() {
    for garbage in ["SET {counter} 1e3", "SET {counter} 9223372036854775807", "SADD {counter} x"] {
        let mut edge = Edge::new();
        edge.run(&[garbage]);
        let outcome = edge.acquire(ME);
        assert!(outcome.answer.unwrap()[1].overlaps(outcome.during), "{garbage}");
        assert!(matches!(outcome.states[0].counter, Slot::Holds(Number::Is(_), None)));
    }
}

#[test]
fn a_full_server_counts_no_grant_and_takes_no_lock() {
    let redis = RedisServer::start();
    let mut edge = Edge::on(&redis, &Scripts::real());
    edge.acquire(ME).answer.unwrap();
    edge.call(Script::Release, ME).answer.unwrap();
    edge.run(&["CONFIG SET maxmemory 1"]);
    let refused = edge.acquire(ME);
    assert!(refused.answer.unwrap_err().contains("OOM"));
    assert_eq!(refused.states[0].lock, Slot::Nothing);
}

/// The lock has no holder, so the owner is to ask again at once.
#[test]
fn after_the_longest_walk_a_free_lock_is_to_be_asked_for_again_at_once() {
    let mut edge = Edge::new();
    let crowd: String = (1..=65).map(|place| format!(" {place} dl2|dead|{place}|600000|")).collect();
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

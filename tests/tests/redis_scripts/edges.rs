//! Where random steps do not come: single moments, and what the scripts do there that their headers do not say.

use super::script::Scripts;
use super::server::{Invocation, Names, Outcome, Script, Server, words};
use super::span::Span;
use super::state::{Fence, Slot, WRONG_TYPE};
use super::step::Part;
use dlock_tests::{fresh_key, shared_redis};

const ME: &str = "dl1|aaaa|1|600000";
const OTHER: &str = "dl1|aaaa|2|600000";

struct Edge {
    server: Server,
    names: [Names; 1],
}

impl Edge {
    fn new() -> Self {
        let server = Server::connect(shared_redis(), &Scripts::real());
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
        self.call(Script::Acquire, &format!("{owner} 600000 0 700000"))
    }
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

#[test]
fn the_last_token_of_all_is_given_and_none_after_it() {
    let mut edge = Edge::new();
    edge.run(&["SET {fence} 9007199254740990"]);
    assert_eq!(edge.acquire(ME).answer, Ok([1, 9_007_199_254_740_991].map(Span::exactly).to_vec()));
    assert_eq!(edge.acquire(ME).answer.unwrap_err(), "DLOCKCORRUPT");
}

/// Not said in the header of acquire.lua: as after 64 dead waiters nobody has the lock, what is left of its
/// holder's lease is what PTTL says of no key.
#[test]
fn after_the_longest_walk_a_free_lock_is_refused_with_a_lease_of_minus_two() {
    let mut edge = Edge::new();
    let crowd: String = (1..=65).map(|place| format!(" {place} dl1|dead|{place}|600000")).collect();
    edge.run(&[&format!("ZADD {{queue}}{crowd}"), "PEXPIRE {queue} 600000"]);
    let outcome = edge.acquire(ME);
    assert_eq!(outcome.answer.as_ref().unwrap()[..4], [0, -2, -1, 0].map(Span::exactly));
    assert_eq!(holder(&outcome), None);
}

/// Not said in the header of release.lua: the error of a key of another type may come after the lock was
/// deleted, and a hand-off that met one is no error.
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
    let outcome = edge.call(Script::Release, &format!("{ME} 0"));
    assert_eq!(outcome.answer, Ok(vec![Span::exactly(1)]));
    assert_eq!(holder(&outcome), None);
}

/// Against "before the first write" in acquire.lua: the walk over a dead waiter takes the last token, and the
/// script then fails with the lock set and no token. It takes a fence that only an operator can have written.
#[test]
fn a_walk_that_takes_the_last_token_leaves_the_lock_to_an_owner_without_a_token() {
    let mut edge = Edge::new();
    edge.run(&["SET {fence} 9007199254740990", "ZADD {queue} 1 dl1|dead|1|600000", "PEXPIRE {queue} 600000"]);
    let outcome = edge.acquire(ME);
    assert!(outcome.answer.is_err());
    assert_eq!(holder(&outcome), Some(ME));
    assert!(matches!(outcome.states[0].fence, Slot::Holds(Fence::Garbage(_), _)));
}

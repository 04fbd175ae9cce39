//! A lock that is taken away, by the scripts alone: it stays closed, and only its holder opens it. Broken texts are noticed.

use super::script::{Scripts, text};
use super::server::Names;
use super::step::Part;
use dlock_tests::{RedisServer, fresh_key, shared_redis};

const HOLDER: &str = "dl2|aaaa|1|600000=web-1|";
const OTHER: &str = "dl2|bbbb|2|600000|";

/// The scripts, and the keys of one lock.
struct Forced {
    redis: &'static RedisServer,
    names: Names,
    scripts: Scripts,
    force: String,
}

impl Forced {
    fn new(old: &str, new: &str) -> Self {
        let (real, force) = (Scripts::real(), text!("keys", "number", "tell", "force").to_owned());
        assert!(old.is_empty() || real.release.contains(old) || force.contains(old), "no script has {old:?}");
        let replaced = |text: &str| if old.is_empty() { text.to_owned() } else { text.replace(old, new) };
        let scripts = Scripts { release: replaced(&real.release), ..real.clone() };
        Self {
            redis: shared_redis(),
            names: Names::fresh(&fresh_key("dlock:m")),
            scripts,
            force: replaced(&force),
        }
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Vec<String> {
        let keys = [Part::Lock, Part::Queue, Part::Counter, Part::Marks].map(|part| self.names.of(part));
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let answer = self.redis.command(&[&["EVAL", script, "4"], &keys[..], arguments].concat());
        answer.lines().map(str::to_owned).collect()
    }

    fn acquire(&self, owner: &str) -> Vec<String> {
        self.run(&self.scripts.acquire, &[owner, "600000", "0"])
    }

    fn release(&self, owner: &str) -> String {
        self.run(&self.scripts.release, &[owner]).concat()
    }

    fn value(&self) -> String {
        self.redis.command(&["GET", &self.names.of(Part::Lock)])
    }

    fn left(&self) -> i64 {
        self.redis.command(&["PTTL", &self.names.of(Part::Lock)]).parse().unwrap()
    }
}

/// What does not hold, if anything does not.
fn broken(old: &str, new: &str) -> Option<&'static str> {
    let it = Forced::new(old, new);
    let number = it.acquire(HOLDER).concat();
    it.redis.command(&["PEXPIRE", &it.names.of(Part::Lock), "100000"]);
    let says = |holds: bool, what: &'static str| if holds { None } else { Some(what) };
    let not_its = it.run(&it.force, &["7"]);
    let untouched = not_its.is_empty() && it.value().starts_with(HOLDER);
    let forced = it.run(&it.force, &[&number]);
    let fence = forced.first().cloned().unwrap_or_default();
    let again = it.run(&it.force, &[&fence]).first().cloned();
    let renewed = it.run(&it.scripts.renew, &[HOLDER, "600000"]).concat();
    let (left, asked) = (it.left(), it.acquire(OTHER));
    let released_by_other = it.release(OTHER);
    let is_closed = it.value().contains("!=web-1|");
    let released = it.release(HOLDER);
    says(untouched, "another grant is left alone")
        .or_else(|| says(fence > number && fence.len() == number.len(), "the fence rises"))
        .or_else(|| says(again.as_deref() == Some(&fence), "it is taken away once"))
        .or_else(|| says(renewed == "0", "its holder cannot renew"))
        .or_else(|| says((1..=100_000).contains(&left), "it is closed for what was left of the lease"))
        .or_else(|| says(asked.first().is_some_and(|first| first == "0"), "it is granted to no other owner"))
        .or_else(|| {
            says(
                asked.get(3).is_some_and(|foreign| foreign == "0"),
                "its holder is known as a client of dlock",
            )
        })
        .or_else(|| says(released_by_other == "0" && is_closed, "another owner does not open it"))
        .or_else(|| says(released == "0" && it.left() == -2, "its holder opens it, and had it no longer"))
}

#[test]
fn a_lock_that_is_taken_away_is_closed_until_its_holder_leaves() {
    assert_eq!(broken("", ""), None);
}

#[test]
fn broken_texts_are_noticed() {
    for (old, new) in [
        ("if not who or number ~= ARGV[1] then", "if not who then"),
        ("local fence = next_number(counter)", "local fence = number"),
        ("if string.find(ttl, '^%d+!') then", "if false then"),
        ("'!' .. label", "label"),
        ("closed .. fence, 'PX', left)", "closed .. fence, 'PX', asked)"),
        ("redis.call('SET', lock, closed .. fence, 'PX', left)", "redis.call('DEL', lock)"),
        ("return who and is_of(holder, who) and string.find(holder, '^%d+!', #who + 1)", "return true"),
        ("if is_taken_from(redis.call('GET', lock), me) then redis.call('DEL', lock) end", ""),
    ] {
        assert!(broken(old, new).is_some(), "not noticed: {old}");
    }
}

/// The waiters are served when the holder leaves, as after a release, and a waiter of the holder's own leaves with it.
#[test]
fn a_lock_that_is_opened_goes_to_its_waiters() {
    let it = Forced::new("", "");
    let inbox = super::server::Inbox::open(it.redis, "", fresh_key("").replace('-', ""));
    let waiter = format!("dl2|{}|3|600000|", inbox.name);
    let number = it.acquire(HOLDER).concat();
    it.run(&it.scripts.acquire, &[&waiter, "600000"]);
    it.run(&it.force, &[&number]);
    it.run(&it.scripts.acquire, &[HOLDER, "600000"]);
    assert!(it.value().contains('!'), "it is not granted to its holder again");
    assert_eq!(it.release(HOLDER), "0");
    assert!(it.value().starts_with(&waiter), "{}", it.value());
    assert_eq!(it.redis.command(&["ZCARD", &it.names.of(Part::Queue)]), "0");
}

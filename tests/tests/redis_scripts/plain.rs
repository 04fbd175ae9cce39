//! The scripts of the recipes without a queue against a model: one key, random calls.

use super::model::Answer;
use super::script::{Scripts, text};
use super::server::{Names, Server, Words, code, held, numbers};
use super::span::Span;
use super::state::{Agrees, CORRUPT, Held, LARGEST, Number, Slot, State};
use super::step::Part;
use dlock_tests::{fresh_key, printed_seed, shared_redis};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// By the taker's clock: now, and the end of its lease.
    TakeOver(i64, i64),
    Remove(&'static str),
    Replace(&'static str, &'static str),
    Propose(&'static str, i64),
    /// An owner gives up while a proposal of it may be under way.
    GiveUp(&'static str),
    /// A foreign client writes the lock, with or without an expiry.
    Put(&'static str, bool),
    Fence(&'static str),
    Delete(Part),
    Spoil(Part),
}

const TTL: i64 = 600_000;
const HALF: i64 = TTL / 2;
const FENCE_TTL: i64 = 604_800_000;

fn step() -> impl Strategy<Value = Step> {
    let value = || select(VALUES);
    let time = || select(vec![1_700_000_000_000, 1_700_000_000_999, 1_700_000_001_000, 1_800_000_000_000]);
    let token = select(vec![1, 64, 65, 66, 128, 9_007_199_254_740_989, 9_007_199_254_740_990]);
    let part = || select(vec![Part::Lock, Part::Fence, Part::Marks]);
    prop_oneof![
        4 => (time(), time()).prop_map(|(now, end)| Step::TakeOver(now, end)),
        2 => value().prop_map(Step::Remove),
        2 => (value(), value()).prop_map(|(old, new)| Step::Replace(old, new)),
        6 => (select(OWNERS), token).prop_map(|(owner, token)| Step::Propose(owner, token)),
        1 => select(OWNERS).prop_map(Step::GiveUp),
        4 => (value(), any::<bool>()).prop_map(|(value, expires)| Step::Put(value, expires)),
        1 => select(vec!["0", "7", "x", "-3", "", "9007199254740991"]).prop_map(Step::Fence),
        4 => part().prop_map(Step::Delete),
        1 => part().prop_map(Step::Spoil),
    ]
}

const OWNERS: &[&str] = &["one|", "other|"];

/// Ends of leases in milliseconds and in seconds, with and without a fraction, and what is none.
const VALUES: &[&str] = &[
    "one|5",
    "other|6",
    "one",
    "",
    "1700000000999",
    "1700000001000",
    "1700000000.5",
    "1700000001",
    "1800000000.",
    "99999999999",
    "100000000000",
    "1700000000.5.5",
    "-1700000000",
    "1700000000x",
];

/// A piece of a script's text and what stands there instead.
type Swap = (&'static str, &'static str);

const NO_SWAP: Swap = ("", "");

fn command(step: Step, names: &Names, swap: Swap) -> Words {
    let [lock, fence, marks] = &[Part::Lock, Part::Fence, Part::Marks].map(|part| names.of(part));
    let eval = |script: &str, keys: &[&String], arguments: &[&str]| {
        let script = script.replace(swap.0, swap.1);
        let head = ["EVAL", &script, &keys.len().to_string()].map(str::to_owned);
        let keys = keys.iter().map(|key| (*key).clone());
        head.into_iter().chain(keys).chain(arguments.iter().copied().map(str::to_owned)).collect()
    };
    let plain = |words: &[&str]| words.iter().copied().map(str::to_owned).collect();
    match step {
        Step::TakeOver(at, end) => eval(text!("take_over"), &[lock], &[&at.to_string(), &end.to_string()]),
        Step::Remove(value) => eval(text!("remove"), &[lock], &[value]),
        Step::Replace(old, new) => eval(text!("replace"), &[lock], &[old, new]),
        Step::Propose(owner, token) => {
            eval(text!("propose"), &[lock, fence, marks], &[owner, &TTL.to_string(), &token.to_string()])
        }
        Step::GiveUp(owner) => plain(&["ZADD", marks, "1", owner]),
        Step::Put(value, false) => plain(&["SET", lock, value]),
        Step::Put(value, true) => plain(&["SET", lock, value, "PX", &HALF.to_string()]),
        Step::Fence(text) => plain(&["SET", fence, text]),
        Step::Delete(part) => plain(&["DEL", &names.of(part)]),
        Step::Spoil(part) => {
            eval("redis.call('DEL', KEYS[1]) redis.call('RPUSH', KEYS[1], 'x')", &[&names.of(part)], &[])
        }
    }
}

/// What the step does to the state, and what a script answers. `now` is the server's time.
fn model(step: Step, state: &mut State, now: Span) -> Option<Answer> {
    match step {
        Step::TakeOver(at, end) => return Some(take_over(state, at, end, now)),
        Step::Remove(value) => return Some(replace(state, value, Slot::Nothing)),
        Step::Replace(old, new) => return Some(replace(state, old, Slot::Holds(held(new), None))),
        Step::Propose(owner, token) => return Some(propose(state, owner, token, now.thousandths())),
        Step::GiveUp(owner) => {
            let _ = state.marks.put(owner, Span::exactly(1));
        }
        Step::Put(value, expires) => {
            let ends = expires.then(|| now.thousandths().plus(HALF));
            state.lock = Slot::Holds(held(value), ends);
        }
        Step::Fence(text) => state.fence = Slot::Holds(parsed(text), None),
        Step::Delete(part) => put(state, part, false),
        Step::Spoil(part) => put(state, part, true),
    }
    None
}

fn put(state: &mut State, part: Part, spoilt: bool) {
    match part {
        Part::Lock => state.lock = if spoilt { Slot::Other } else { Slot::Nothing },
        Part::Marks => state.marks = if spoilt { Slot::Other } else { Slot::Nothing },
        _ => state.fence = if spoilt { Slot::Other } else { Slot::Nothing },
    }
}

fn parsed(text: &str) -> Number {
    match text.parse() {
        Ok(number) if (0..LARGEST).contains(&number) => Number::Is(Span::exactly(number)),
        _ => Number::Garbage(text.to_owned()),
    }
}

fn take_over(state: &mut State, at: i64, end: i64, now: Span) -> Answer {
    if let Some(Held::Other(value)) = state.lock.read()? {
        let Some(ends) = end_of_lease(value) else { return Ok(vec![Span::exactly(-1)]) };
        if ends >= at {
            return Ok(vec![Span::exactly(0), Span::exactly(ends)]);
        }
    }
    state.lock = Slot::Holds(Held::Other(end.to_string()), None);
    Ok(vec![Span::exactly(1), now])
}

/// In milliseconds. Smaller numbers are seconds, without their fraction.
fn end_of_lease(value: &str) -> Option<i64> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = Some(whole).filter(|_| digits(whole) && digits(fraction))?.parse::<i64>().ok()?;
    Some(if number < 100_000_000_000 { number * 1000 } else { number })
}

fn replace(state: &mut State, old: &str, new: Slot<Held>) -> Answer {
    let has_it = state.lock.read()?.is_some_and(|value| *value == held(old));
    if has_it {
        state.lock = new;
    }
    Ok(vec![Span::exactly(i64::from(has_it))])
}

fn propose(state: &mut State, owner: &str, token: i64, now: Span) -> Answer {
    let last = match state.fence.read()? {
        None => 0,
        Some(Number::Is(last)) => last.from,
        Some(Number::Garbage(_)) => return Err(CORRUPT.to_owned()),
    };
    if state.marks.score(owner)?.is_some() {
        return Ok(vec![Span::exactly(3)]);
    }
    match state.lock.read()? {
        Some(Held::Other(holder)) if !holder.starts_with(owner) => {
            let Slot::Holds(_, ends) = &state.lock else { return Ok(vec![]) };
            let left = ends.map_or(Span::exactly(-1), |ends| ends.minus(now).widened());
            return Ok(vec![Span::exactly(0), left]);
        }
        Some(_) => state.lock.expire(now.plus(TTL)),
        None => state.lock = Slot::Holds(held(&format!("{owner}{token}")), Some(now.plus(TTL))),
    }
    if token <= last {
        return Ok(vec![Span::exactly(2), Span::exactly(last)]);
    }
    state.fence = Slot::Holds(Number::Is(Span::exactly(token)), Some(now.plus(FENCE_TTL)));
    Ok(vec![Span::exactly(1)])
}

fn run(server: &mut Server, swap: Swap, steps: &[Step]) -> Result<(), TestCaseError> {
    let names = [Names::fresh(&fresh_key("dlock:m"))];
    let (mut from, mut states) = server.states(&names);
    for step in steps.iter().copied() {
        let answer = server.ask(&[command(step, &names[0], swap)]).remove(0);
        let (to, found) = server.states(&names);
        let expected = model(step, &mut states[0], Span { from, to });
        prop_assert!(found[0].agrees(&states[0]), "{:?}: {:?} is not {:?}", step, found[0], states[0]);
        if let Some(expected) = expected {
            let answer: Answer = answer.map(|text| numbers(&text)).map_err(|error| code(&error));
            prop_assert!(answer.agrees(&expected), "{:?}: {:?} is not {:?}", step, answer, expected);
        }
        (from, states) = (to, found);
    }
    Ok(())
}

fn runs(mut runner: TestRunner, swap: Swap) -> Result<(), TestError<Vec<Step>>> {
    let server = RefCell::new(Server::connect(shared_redis(), &Scripts::real()));
    let steps = prop::collection::vec(step(), 1..40);
    runner.run(&steps, |steps| run(&mut server.borrow_mut(), swap, &steps))
}

#[test]
fn the_scripts_without_a_queue_do_as_the_model() {
    let rng_seed = RngSeed::Fixed(printed_seed());
    let config = Config { failure_persistence: None, rng_seed, ..Config::default() };
    runs(TestRunner::new(config), NO_SWAP).unwrap();
}

#[test]
fn broken_ones_do_not() {
    let swaps = [
        (
            "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\nreturn redis.call('DEL'",
            "return redis.call('DEL'",
        ),
        ("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\nredis.call('SET'", "redis.call('SET'"),
        ("if ends >= now then", "if ends > now then"),
        ("if ends < 100000000000 then", "if ends <= 100000000000 then"),
        ("if not ends then return {-1} end", "if not ends then ends = 0 end"),
        ("if redis.call('ZSCORE', marks, me) then return {3} end", ""),
        ("if proposed <= last then", "if proposed < last then"),
        ("if proposed <= last then return {2, last} end", ""),
        ("if string.find(redis.call('GET', lock), me, 1, true) ~= 1 then return", "if false then return"),
        ("string.find(redis.call('GET', lock), me, 1, true) ~= 1", "redis.call('GET', lock) ~= me"),
        ("redis.call('SET', fence, ARGV[3], 'PX'", "redis.call('SET', fence, tostring(proposed), 'PX'"),
        ("  redis.call('PEXPIRE', lock, ttl_ms)\n", ""),
    ];
    let all = [text!("take_over"), text!("remove"), text!("replace"), text!("propose")];
    for swap in swaps {
        let text = all.iter().find(|text| text.contains(swap.0)).unwrap();
        shared_redis().command(&["SCRIPT", "LOAD", &text.replace(swap.0, swap.1)]);
        let config =
            Config { cases: 100, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let outcome = runs(TestRunner::new_with_rng(config, rng), swap);
        assert!(matches!(outcome, Err(TestError::Fail(..))), "{swap:?} is not noticed: {outcome:?}");
    }
}

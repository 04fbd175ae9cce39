//! One run: steps are taken on the server and in the model, and all answers, messages and states compared.

use super::history::{Event, History};
use super::model::{Answer, Around, Conduct, Message, Model};
use super::outside;
use super::script::Scripts;
use super::server::{Inbox, Invocation, Names, Outcome, Script, Server, monitor, words};
use super::span::Span;
use super::state::{Agrees, State};
use super::step::{Action, Call, KEYS, Outside, PLACES, PROCESSES, Part, Place, Step, Who};
use dlock_tests::{RedisServer, RespConnection, fresh_key};
use proptest::test_runner::TestCaseError;
use std::collections::BTreeSet;

/// What a run is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    ModelAndPromises,
    Promises,
}

/// Takes the steps. An error says how the scripts differ from the model, or what they broke.
pub(crate) fn run(
    server: &RedisServer,
    scripts: &Scripts,
    judge: Judge,
    conduct: Conduct,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut run = Run::new(server, scripts, judge, conduct);
    for (number, step) in steps.iter().enumerate() {
        run.step(step).map_err(|story| TestCaseError::fail(format!("step {number}, {step:?}: {story}")))?;
    }
    Ok(())
}

struct Run<'a> {
    redis: &'a RedisServer,
    server: Server,
    in_batches: bool,
    name: String,
    judge: Judge,
    conduct: Conduct,
    names: Vec<Names>,
    states: Vec<State>,
    histories: [History; KEYS],
    processes: [Process; PROCESSES],
    owners: u64,
    _monitor: Option<RespConnection>,
}

/// A process, its inbox while it lives, and for each place and key what it claims.
#[derive(Default)]
struct Process {
    inbox: Option<Inbox>,
    claims: [[Claim; KEYS]; PLACES],
}

#[derive(Default, Clone)]
struct Claim {
    owner: String,
    /// The last owner before that was given up.
    given_up: Option<String>,
}

impl<'a> Run<'a> {
    fn new(redis: &'a RedisServer, scripts: &Scripts, judge: Judge, conduct: Conduct) -> Self {
        let mut server = Server::connect(redis, scripts);
        let marker = fresh_key("dlock:m");
        let names: Vec<_> = (0..KEYS).map(|_| Names::fresh_in(conduct.namespace, &marker)).collect();
        let (name, states) = (server.name(), server.states(&names).1);
        let (histories, processes) = Default::default();
        let in_batches = scripts.in_batches;
        let mut run = Self {
            redis,
            server,
            in_batches,
            name,
            judge,
            conduct,
            names,
            states,
            histories,
            processes,
            owners: 0,
            _monitor: conduct.monitored.then(|| monitor(redis)),
        };
        (0..PROCESSES).for_each(|process| run.start(process));
        run
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let key = step.key;
        match &step.action {
            Action::Call(call, who) => self.call(key, *call, *who),
            Action::Spoiled(part, call, who) => {
                let wrong = words(&format!("HSET {} some field", self.names[key].of(*part)));
                if *part == Part::Counter && self.is_ahead(key) {
                    return Ok(());
                }
                self.call_while(key, *part, wrong, *call, *who)
            }
            Action::Garbled(text, call, who) => {
                let garbage = ["SET", &self.names[key].of(Part::Counter), text, "PX", "600000"];
                let garbage = garbage.map(str::to_owned).to_vec();
                if self.is_ahead(key) {
                    return Ok(());
                }
                self.call_while(key, Part::Counter, garbage, *call, *who)
            }
            Action::Crash(process) => {
                if let Some(inbox) = self.processes[*process].inbox.take() {
                    inbox.close(&mut self.server);
                }
                Ok(())
            }
            Action::Start(process) => {
                if self.processes[*process].inbox.is_none() {
                    self.start(*process);
                }
                Ok(())
            }
            Action::Outside(what) => {
                self.outside(key, *what);
                Ok(())
            }
        }
    }

    /// A new process with an inbox and owners of its own.
    fn start(&mut self, process: usize) {
        let inbox = fresh_key("").replace('-', "");
        self.processes[process] = Process {
            inbox: Some(Inbox::open(self.redis, self.conduct.namespace, inbox)),
            ..Process::default()
        };
        for place in 0..PLACES {
            for key in 0..KEYS {
                self.processes[process].claims[place][key].owner =
                    self.owner(Place { process, number: place });
            }
        }
    }

    /// Whether only the counter keeps numbers rising, so that nothing may happen to it.
    fn is_ahead(&mut self, key: usize) -> bool {
        let (now, states) = self.server.states(&self.names);
        outside::is_ahead(&states[key], now)
    }

    fn owner(&mut self, place: Place) -> String {
        self.owners += 1;
        let inbox = self.processes[place.process].inbox.as_ref().map_or("", |inbox| &inbox.name);
        format!("dl2|{inbox}|{:032x}|{}{}|", self.owners, ttl(place), label(place))
    }

    fn outside(&mut self, key: usize, what: Outside) {
        let (now, _) = self.server.states(&self.names);
        let commands = outside::commands(what, &self.names[key], &self.states[key], &self.name, now);
        self.server.run(&commands);
        self.look();
        for (history, state) in self.histories.iter_mut().zip(&self.states) {
            history.changed(state);
        }
    }

    fn look(&mut self) {
        self.states = self.server.states(&self.names).1;
    }

    /// Puts something else at a key, for one call.
    fn call_while(
        &mut self,
        key: usize,
        part: Part,
        put: Vec<String>,
        call: Call,
        who: Who,
    ) -> Result<(), String> {
        let name = self.names[key].of(part);
        let aside = format!("{name}-aside");
        let exists = self.server.run(&[words(&format!("EXISTS {name}"))])[0] == "1";
        if exists {
            self.server.run(&[words(&format!("RENAME {name} {aside}"))]);
        }
        self.server.run(&[put]);
        self.look();
        self.call(key, call, who)?;
        self.server.run(&[words(&format!("DEL {name}"))]);
        if exists {
            self.server.run(&[words(&format!("RENAME {aside} {name}"))]);
        }
        self.look();
        Ok(())
    }

    /// A process that has crashed calls nothing.
    fn call(&mut self, key: usize, call: Call, who: Who) -> Result<(), String> {
        let Some(place) = self.place(key, who) else { return Ok(()) };
        let process = &self.processes[place.process];
        let claim = process.claims[place.number][key].clone();
        let owner = if call == Call::Late { claim.given_up } else { Some(claim.owner) };
        let Some(owner) = owner.filter(|_| process.inbox.is_some()) else { return Ok(()) };
        self.call_as(key, call, &owner, ttl(place))?;
        if matches!(call, Call::Release | Call::GiveUp) {
            let given_up = (call == Call::GiveUp).then_some(owner);
            let next = self.owner(place);
            self.processes[place.process].claims[place.number][key] = Claim { owner: next, given_up };
        }
        Ok(())
    }

    fn place(&self, key: usize, who: Who) -> Option<Place> {
        if let Who::Place(place) = who {
            return Some(place);
        }
        let holder = self.states[key].lock.owner()?;
        let places =
            (0..PROCESSES).flat_map(|process| (0..PLACES).map(move |number| Place { process, number }));
        places
            .into_iter()
            .find(|Place { process, number }| self.processes[*process].claims[*number][key].owner == holder)
    }

    fn call_as(&mut self, key: usize, call: Call, owner: &str, ttl: i64) -> Result<(), String> {
        let Outcome { answer, during, states } = match self.call_in_batch(key, call, owner, ttl)? {
            Some(outcome) => outcome,
            None => {
                let alone = invocation(&self.names[key], self.conduct, call, owner, ttl);
                self.server.call(&alone, &self.names)
            }
        };
        let (messages, alive) = self.heard();
        let before = std::mem::replace(&mut self.states, states);
        self.compare_others(key, &before)?;
        let around = Around { now: during, server: self.name.clone(), alive, conduct: self.conduct };
        if self.judge == Judge::ModelAndPromises {
            let mut expected = before[key].clone();
            let (by_model, told) = model(&mut expected, &around, call, owner, ttl);
            same("answer", &answer, &by_model)?;
            same("messages", &messages, &told)?;
            same("state", &self.states[key], &expected)?;
        }
        self.histories[key].check(&Event {
            call,
            owner,
            answer: &answer,
            messages: &messages,
            before: &before[key],
            after: &self.states[key],
            alive: &around.alive,
            conduct: self.conduct,
        })
    }

    /// As `batch.rs` calls it, with requests about the other locks around it. What is to be asked alone is left as
    /// it was.
    fn call_in_batch(
        &mut self,
        key: usize,
        call: Call,
        owner: &str,
        ttl: i64,
    ) -> Result<Option<Outcome>, String> {
        if !self.in_batches || call == Call::GiveUp {
            return Ok(None);
        }
        let (batch, place) = batch(&self.names, key, call, owner, ttl);
        let Outcome { answer, during, states } = self.server.call(&batch, &self.names);
        let numbers = answer.map_err(|error| format!("a batch raises {error}"))?;
        let done = match (numbers[1 + place], call) {
            (Span { to: 0, .. }, _) => {
                // A number that no grant got is none of a lock's.
                self.states.iter().zip(&states).try_for_each(|(was, is)| {
                    let was = State { counter: is.counter.clone(), ..was.clone() };
                    same("state left alone", is, &was)
                })?;
                self.states = states;
                return Ok(None);
            }
            (_, Call::Try | Call::Wait | Call::Late) => vec![Span::exactly(1), numbers[0]],
            (one, _) => vec![one],
        };
        Ok(Some(Outcome { answer: Ok(done), during, states }))
    }

    /// What live processes were told since the last time, and their inboxes.
    fn heard(&mut self) -> (Vec<Message>, BTreeSet<String>) {
        let mut inboxes: Vec<_> =
            self.processes.iter_mut().filter_map(|process| process.inbox.as_mut()).collect();
        inboxes.iter_mut().for_each(|inbox| inbox.ask());
        let messages = inboxes.iter_mut().flat_map(|inbox| inbox.heard()).collect();
        (messages, inboxes.iter().map(|inbox| inbox.name.clone()).collect())
    }

    /// The other locks are as they were, but for what they share.
    fn compare_others(&self, key: usize, before: &[State]) -> Result<(), String> {
        for other in (0..KEYS).filter(|other| *other != key) {
            let State { marker, counter, .. } = self.states[other].clone();
            let was = State { marker, counter, ..before[other].clone() };
            same("other lock's state", &self.states[other], &was)?;
        }
        Ok(())
    }
}

/// Each place asks for another lease, so that a wrong one is noticed.
fn ttl(place: Place) -> i64 {
    let number = place.process * PLACES + place.number;
    600_000 * (1 + i64::try_from(number).unwrap())
}

/// Every other place has a label.
fn label(place: Place) -> &'static str {
    if place.number % 2 == 1 { "=web-7%7C%201:2" } else { "" }
}

const LATE: i64 = 650_000;

fn model(state: &mut State, around: &Around, call: Call, owner: &str, ttl: i64) -> (Answer, Vec<Message>) {
    let mut model = Model { state, around, messages: Vec::new() };
    let answer = match call {
        Call::Try => model.acquire(owner, ttl, false),
        Call::Wait | Call::Late => model.acquire(owner, ttl, true),
        Call::Renew => model.renew(owner, ttl),
        Call::Release => model.release(owner, 0),
        Call::GiveUp => model.release(owner, LATE),
    };
    (answer, model.messages)
}

/// The arguments as `calls.rs` gives them.
fn invocation(names: &Names, conduct: Conduct, call: Call, owner: &str, ttl: i64) -> Invocation {
    let Conduct { barging, quarantine, between_gaps, gap, monitored, namespace } = conduct;
    let usual = conduct == Conduct { monitored, namespace, ..Conduct::default() };
    let of_conduct = [i64::from(barging).to_string(), String::new(), quarantine.to_string()];
    let gaps = [between_gaps, gap].map(|span| span.to_string());
    let (script, mut arguments) = match call {
        Call::Renew => (Script::Renew, vec![ttl.to_string()]),
        Call::Release if usual => (Script::Release, vec![]),
        Call::Release => {
            (Script::Release, [vec!["0".to_owned()], of_conduct.to_vec(), gaps.to_vec()].concat())
        }
        Call::GiveUp if usual => (Script::Release, vec![LATE.to_string()]),
        Call::GiveUp => {
            (Script::Release, [vec![LATE.to_string()], of_conduct.to_vec(), gaps.to_vec()].concat())
        }
        Call::Wait | Call::Late if usual => (Script::Acquire, vec![ttl.to_string()]),
        Call::Try if usual => (Script::Acquire, vec![ttl.to_string(), "0".to_owned()]),
        Call::Try | Call::Wait | Call::Late => {
            let waits = i64::from(call != Call::Try).to_string();
            (Script::Acquire, [vec![ttl.to_string(), waits], of_conduct.to_vec()].concat())
        }
    };
    let mut keys = [Part::Lock, Part::Queue, Part::Counter, Part::Marks].map(|part| names.of(part)).to_vec();
    keys.truncate(if call == Call::Renew { 1 } else { 4 });
    if quarantine > 0 && call != Call::Renew {
        keys.push(names.of(Part::Marker));
    }
    arguments.insert(0, owner.to_owned());
    Invocation { script, keys, arguments }
}

/// A batch of the call, with a release and a renewal by an owner that holds nothing, which do nothing; and the place of
/// the call in it.
fn batch(names: &[Names], key: usize, call: Call, owner: &str, ttl: i64) -> (Invocation, usize) {
    let other = &names[(key + 1) % KEYS];
    let (mut items, mine) = (
        vec![(Errand::Release, other, NOBODY), (Errand::Renew, other, NOBODY)],
        match call {
            Call::Renew => Errand::Renew,
            Call::Release | Call::GiveUp => Errand::Release,
            Call::Try | Call::Wait | Call::Late => Errand::Acquire,
        },
    );
    items.push((mine, &names[key], owner));
    items.sort_by_key(|item| item.0);
    let place = items.iter().position(|item| item.2 == owner).unwrap();
    (batch_of(&items, ttl), place)
}

/// As `batch.rs` in dlock-core calls it: the items by errand.
pub(crate) fn batch_of(items: &[(Errand, &Names, &str)], ttl: i64) -> Invocation {
    let count = |errand| items.iter().filter(|item| item.0 == errand).count();
    let numbers = [ttl.to_string(), count(Errand::Acquire).to_string(), count(Errand::Release).to_string()];
    let owners = items.iter().map(|item| item.2.to_owned());
    let arguments = numbers.into_iter().chain(owners).collect();
    let keys = items.chunk_by(|one, next| one.0 == next.0).flat_map(|items| {
        let all = |part| items.iter().map(move |item| item.1.of(part));
        let beside = || items.iter().flat_map(|item| [item.1.of(Part::Queue), item.1.of(Part::Marks)]);
        match items[0].0 {
            Errand::Acquire => all(Part::Lock).chain(beside()).collect::<Vec<_>>(),
            Errand::Release => all(Part::Lock).chain(all(Part::Queue)).collect(),
            Errand::Renew => all(Part::Lock).collect(),
        }
    });
    let counter = items[0].1.of(Part::Counter);
    Invocation { script: Script::Batch, keys: [counter].into_iter().chain(keys).collect(), arguments }
}

const NOBODY: &str = "dl2|dead|0|600000|";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Errand {
    Acquire,
    Release,
    Renew,
}

fn same<T: Agrees + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found.agrees(expected) {
        return Ok(());
    }
    Err(format!("{what}\n of the server: {found:?}\n of the model:  {expected:?}"))
}

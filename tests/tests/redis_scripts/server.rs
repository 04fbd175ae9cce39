//! The server's side: the keys of a lock, one pipeline that runs a script and reads all it keeps, and inboxes.

use super::model::{Answer, Message, Owner};
use super::script::Scripts;
use super::span::Span;
use super::state::{
    CORRUPT, Held, LARGEST, LARGEST_NUMBER, Marker, Members, Number, Slot, State, WRONG_TYPE,
};
use super::step::Part;
use dlock_tests::{HarnessError, RedisServer, RespConnection, fresh_key};

/// A command.
pub(crate) type Words = Vec<String>;

/// The command with these words, none of which has a space in it.
pub(crate) fn words(text: &str) -> Words {
    text.split(' ').map(str::to_owned).collect()
}

/// The names of what belongs to one lock.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    namespace: &'static str,
    lock: String,
    marker: String,
}

impl Names {
    /// `marker` is one for all locks of a server, and here of a run, since others run on this server; so is the counter,
    /// whose name is made of it.
    pub(crate) fn fresh(marker: &str) -> Self {
        Self::fresh_in("", marker)
    }

    /// The same in a namespace.
    pub(crate) fn fresh_in(namespace: &'static str, marker: &str) -> Self {
        let lock = format!("{namespace}{}", fresh_key("scripts"));
        Self { namespace, lock, marker: format!("{namespace}{marker}") }
    }

    pub(crate) fn of(&self, part: Part) -> String {
        match part {
            Part::Lock => self.lock.clone(),
            Part::Queue => self.beside('w'),
            Part::Counter => self.marker.replace("dlock:m", "dlock:f"),
            Part::Fence => self.beside('r'),
            Part::Marks => self.beside('n'),
            Part::Marker => self.marker.clone(),
        }
    }

    fn beside(&self, kind: char) -> String {
        let Self { namespace, lock, .. } = self;
        match lock.contains('{') {
            true => format!("{namespace}dlock:{kind}:t:{lock}"),
            false => format!("{namespace}dlock:{kind}:p:{{{lock}}}"),
        }
    }
}

/// A script's name and what it is called with.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) script: Script,
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Words,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    Acquire,
    Release,
    Renew,
    Batch,
}

/// What a call did.
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    /// The time in microseconds during the call.
    pub(crate) during: Span,
    pub(crate) states: Vec<State>,
}

/// A connection to the server, with the scripts it runs.
pub(crate) struct Server {
    connection: RespConnection,
    scripts: Scripts,
    hashes: [String; 4],
}

impl Server {
    pub(crate) fn connect(server: &RedisServer, scripts: &Scripts) -> Self {
        let mut connection = server.connect();
        let texts = [&scripts.acquire, &scripts.release, &scripts.renew, &scripts.batch];
        let hashes = texts.map(|text| {
            connection.send(&[["SCRIPT", "LOAD", text]]).unwrap();
            connection.receive().unwrap()
        });
        Self { connection, scripts: scripts.clone(), hashes }
    }

    /// The answers to commands, all of which must be well.
    pub(crate) fn run(&mut self, commands: &[Words]) -> Vec<String> {
        self.ask(commands).into_iter().map(Result::unwrap).collect()
    }

    /// The server's name for itself in the marker.
    pub(crate) fn name(&mut self) -> String {
        let all = self.run(&[words("INFO server"), words("INFO replication")]).concat();
        let value = |name: &str| all.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        format!("{}:{}", value("run_id:"), value("master_replid:"))
    }

    /// Runs the script by its hash, or by its text if the server has forgotten it, and reads all states.
    pub(crate) fn call(&mut self, invocation: &Invocation, names: &[Names]) -> Outcome {
        let (text, hash) = match invocation.script {
            Script::Acquire => (&self.scripts.acquire, &self.hashes[0]),
            Script::Release => (&self.scripts.release, &self.hashes[1]),
            Script::Renew => (&self.scripts.renew, &self.hashes[2]),
            Script::Batch => (&self.scripts.batch, &self.hashes[3]),
        };
        let by_text = command("EVAL", text, invocation);
        let by_hash = command("EVALSHA", hash, invocation);
        let outcome = self.call_as(by_hash, names);
        let mut outcome = match &outcome.answer {
            Err(error) if error.starts_with("NOSCRIPT") => self.call_as(by_text, names),
            _ => outcome,
        };
        if let (Script::Acquire, Ok([token])) = (invocation.script, outcome.answer.as_deref())
            && token.from != GIVEN_UP
        {
            outcome.answer = Ok(vec![Span::exactly(1), *token]);
        }
        outcome
    }

    fn call_as(&mut self, command: Words, names: &[Names]) -> Outcome {
        let mut commands = vec![words("TIME"), command];
        commands.extend(reading(names));
        let mut answers = self.ask(&commands);
        let rest = answers.split_off(2);
        let from = time(answers.remove(0).as_deref().unwrap());
        let answer = answers.remove(0).map_err(|error| code(&error)).map(|text| numbers(&text));
        let (to, states) = read(rest);
        Outcome { answer, during: Span { from: from - STEP_BACK, to }, states }
    }

    /// The time in microseconds, and all states.
    pub(crate) fn states(&mut self, names: &[Names]) -> (i64, Vec<State>) {
        let answers = self.ask(&reading(names));
        read(answers)
    }

    pub(crate) fn ask(&mut self, commands: &[Words]) -> Vec<Result<String, HarnessError>> {
        self.connection.send(commands).unwrap();
        commands.iter().map(|_| self.connection.receive()).collect()
    }
}

/// The microseconds by which a server's clock may go back between two commands, while the system sets it right.
const STEP_BACK: i64 = 10;

/// As dlock calls it: the arguments of a script, and before them its keys.
fn command(name: &str, script: &str, invocation: &Invocation) -> Words {
    let mut command = vec![name.to_owned(), script.to_owned(), invocation.keys.len().to_string()];
    command.extend(invocation.keys.iter().chain(&invocation.arguments).cloned());
    command
}

/// The answer to an owner that gave up, which is no number. A grant is answered by its number alone, here shown behind
/// a 1.
const GIVEN_UP: i64 = 2;

/// The error's code; a server before 7.0 has it in the middle of its text.
pub(crate) fn code(error: &HarnessError) -> String {
    let text = error.to_string();
    let known = [WRONG_TYPE, CORRUPT].into_iter().find(|code| text.contains(code));
    known.map_or(text.clone(), str::to_owned)
}

pub(crate) fn numbers(text: &str) -> Vec<Span> {
    // A number that is not written in digits is none.
    text.lines().map(|line| Span::exactly(line.parse().unwrap_or(-1))).collect()
}

/// How many commands read one lock.
const READS: usize = 12;

fn reading(names: &[Names]) -> Vec<Words> {
    let one = |names: &Names| {
        let [lock, queue, counter, fence, marks, marker] =
            [Part::Lock, Part::Queue, Part::Counter, Part::Fence, Part::Marks, Part::Marker]
                .map(|part| names.of(part));
        let set = |key: &str| words(&format!("ZRANGE {key} 0 -1 WITHSCORES"));
        let read = |key: &str| words(&format!("GET {key}"));
        let values = [read(&lock), set(&queue), read(&counter), read(&fence), set(&marks), read(&marker)];
        let ends = [lock, queue, counter, fence, marks, marker].map(|key| words(&format!("PTTL {key}")));
        values.into_iter().zip(ends).flat_map(|(value, ends)| [value, ends]).collect::<Vec<_>>()
    };
    let reads = names.iter().flat_map(one);
    [words("TIME")].into_iter().chain(reads).chain([words("TIME")]).collect()
}

/// When the reading began, and what was read.
fn read(mut answers: Vec<Result<String, HarnessError>>) -> (i64, Vec<State>) {
    let end = time(answers.pop().unwrap().as_deref().unwrap());
    let begin = time(answers.remove(0).as_deref().unwrap());
    let now = Span { from: begin, to: end }.thousandths();
    let states = answers.chunks(READS).map(|answers| state(answers, now)).collect();
    (begin, states)
}

fn time(text: &str) -> i64 {
    let (seconds, micros) = text.split_once('\n').unwrap();
    seconds.parse::<i64>().unwrap() * 1_000_000 + micros.parse::<i64>().unwrap()
}

fn state(answers: &[Result<String, HarnessError>], now: Span) -> State {
    State {
        lock: slot(&answers[0], &answers[1], now, held),
        queue: slot(&answers[2], &answers[3], now, members),
        counter: slot(&answers[4], &answers[5], now, |text| number(text, LARGEST_NUMBER)),
        fence: slot(&answers[6], &answers[7], now, |text| number(text, LARGEST)),
        marks: slot(&answers[8], &answers[9], now, members),
        marker: slot(&answers[10], &answers[11], now, marker),
    }
}

fn slot<T>(
    value: &Result<String, HarnessError>,
    left: &Result<String, HarnessError>,
    now: Span,
    parse: impl Fn(&str) -> T,
) -> Slot<T> {
    let left: i64 = left.as_deref().unwrap().parse().unwrap();
    match value {
        Err(error) => {
            assert!(error.to_string().contains(WRONG_TYPE), "{error}");
            Slot::Other
        }
        Ok(_) if left == -2 => Slot::Nothing,
        Ok(text) => Slot::Holds(parse(text), (left >= 0).then(|| now.plus(left))),
    }
}

fn members(text: &str) -> Members {
    let lines: Vec<&str> = text.lines().collect();
    let member = |pair: &[&str]| (pair[0].to_owned(), Span::exactly(pair[1].parse().unwrap()));
    lines.chunks(2).map(member).collect()
}

/// An owner of dlock with its number, whatever is behind that.
pub(crate) fn held(text: &str) -> Held {
    let end = text.match_indices('|').nth(3).map_or(0, |(at, _)| at + 1);
    let (owner, rest) = text.split_at(end);
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match (Owner::parse(owner), rest[..digits].parse()) {
        (Some(_), Ok(number)) => Held::By(owner.to_owned(), Span::exactly(number)),
        _ => Held::Other(text.to_owned()),
    }
}

fn number(text: &str, largest: i64) -> Number {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<i64>() {
        Ok(number) if digits && number < largest => Number::Is(Span::exactly(number)),
        _ => Number::Garbage(text.to_owned()),
    }
}

fn marker(text: &str) -> Marker {
    let parts = text.split_once('|').and_then(|(server, over)| Some((server, over.parse().ok()?)));
    match parts {
        Some((server, over)) => Marker::Until(server.to_owned(), Span::exactly(over)),
        None => Marker::Garbage(text.to_owned()),
    }
}

/// A process as its inbox: what it hears is what it is told.
pub(crate) struct Inbox {
    pub(crate) name: String,
    channel: String,
    connection: RespConnection,
    pings: u64,
}

impl Inbox {
    /// Returns once the server counts it.
    pub(crate) fn open(server: &RedisServer, namespace: &str, name: String) -> Self {
        let (mut connection, channel) = (server.connect(), format!("{namespace}dlock:i:{name}"));
        connection.send(&[["SUBSCRIBE", &channel]]).unwrap();
        connection.receive().unwrap();
        Self { name, channel, connection, pings: 0 }
    }

    /// Asks for a sign that all messages of earlier calls have been sent.
    pub(crate) fn ask(&mut self) {
        self.pings += 1;
        self.connection.send(&[["PING", &self.pings.to_string()]]).unwrap();
    }

    /// The messages before that sign.
    pub(crate) fn heard(&mut self) -> Vec<Message> {
        let sign = format!("pong\n{}", self.pings);
        let texts =
            std::iter::from_fn(|| Some(self.connection.receive().unwrap()).filter(|text| *text != sign));
        texts.map(|text| message(&self.name, &text)).collect()
    }

    /// Closes the connection, and returns once the server knows.
    pub(crate) fn close(self, server: &mut Server) {
        let count = [words(&format!("PUBSUB NUMSUB {}", self.channel))];
        drop(self.connection);
        while !server.run(&count)[0].ends_with("\n0") {}
    }
}

/// A client that subscribes by pattern, and so hears every message until it is dropped.
pub(crate) fn monitor(server: &RedisServer) -> RespConnection {
    let mut connection = server.connect();
    connection.send(&[["PSUBSCRIBE", "*"]]).unwrap();
    connection.receive().unwrap();
    connection
}

fn message(inbox: &str, text: &str) -> Message {
    let payload = text.lines().nth(2).unwrap();
    let (rest, _lock) = payload.rsplit_once('|').unwrap();
    let (owner, number) = rest.rsplit_once('|').unwrap();
    // A number that is not written in digits is none.
    (inbox.to_owned(), (format!("{owner}|"), Span::exactly(number.parse().unwrap_or(-1))))
}

//! The service under load: two processes of the program `serve_locked`.

use crate::{request, until};
use dlock_core::Moment;
use dlock_tests::{History, Section};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

pub(crate) struct Service([Process; 2]);

impl Service {
    /// Starts the processes, and returns when each has served a request.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut service = Self([Process::start(arguments), Process::start(arguments)]);
        for process in &mut service.0 {
            process.warm_up().await;
        }
        service
    }

    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        self.0.each_ref().map(|process| process.address)
    }

    /// Whether no process has more tasks, sockets and responses than before the load.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.0.iter_mut().all(Process::is_idle)
    }

    /// Waits until it is idle.
    pub(crate) async fn assert_idle(&mut self) {
        until("no task, connection or response is left", async || self.is_idle()).await;
    }

    /// Ends the processes, and tells what was done under which lock. Each of them did something.
    pub(crate) fn end(self) -> History {
        let histories = self.0.map(Process::end);
        assert!(histories.iter().all(|sections| !sections.is_empty()), "both have served");
        History(histories.into_iter().flatten().collect())
    }
}

/// What a process has.
#[derive(Debug, Clone, Copy)]
struct State {
    tasks: usize,
    responses: usize,
    sockets: usize,
}

/// A runtime that sends many requests to Redis may keep a connection of its own for a minute: a task that drives it, and one
/// that stands for the runtime.
const OWN: State = State { tasks: 2, responses: 0, sockets: 1 };

struct Process {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
    idle: State,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve_locked"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (questions, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let idle = State { tasks: 0, responses: 0, sockets: 0 };
        let mut process = Self { child, questions, answers, address: ([127, 0, 0, 1], 0).into(), idle };
        let port = process.hear().parse().expect("a port, unless it ended");
        process.address.set_port(port);
        process
    }

    /// Has one request served, so that what is started by the first one and stays is there, and takes note of it.
    async fn warm_up(&mut self) {
        let sockets = self.state().sockets;
        request::whole(self.address, "warm-up").await;
        until("the connection of the first request is closed", async || {
            self.idle = self.state();
            self.idle.sockets <= sockets && self.idle.responses == 0
        })
        .await;
    }

    fn is_idle(&mut self) -> bool {
        let (now, idle) = (self.state(), self.idle);
        let (tasks, sockets) = (idle.tasks + OWN.tasks, idle.sockets + OWN.sockets);
        now.tasks <= tasks && now.sockets <= sockets && now.responses == 0
    }

    fn state(&mut self) -> State {
        writeln!(self.questions.as_mut().unwrap()).unwrap();
        let answer = self.hear();
        let (tasks, responses) = answer.split_once(' ').expect("two numbers, unless it ended");
        let (tasks, responses) = (tasks.parse().unwrap(), responses.parse().unwrap());
        State { tasks, responses, sockets: self.sockets() }
    }

    fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("a process that runs");
        let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn end(mut self) -> Vec<Section> {
        drop(self.questions.take());
        let mut lines = String::new();
        self.answers.read_to_string(&mut lines).unwrap();
        assert!(self.child.wait().unwrap().success());
        lines.lines().map(section).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads `KEY TOKEN FROM UNTIL`.
fn section(line: &str) -> Section {
    let fields: Vec<_> = line.split(' ').collect();
    let [key, token, from, until] = fields[..] else { panic!("no section: {line}") };
    let at = |nanos: &str| Moment::START.after(Duration::from_nanos(nanos.parse().unwrap()));
    Section::of(key, token.parse().unwrap()).seen(at(from), at(until))
}

//! A process that is stopped while it holds, for longer than its lease.

use super::*;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Another process that holds a lock. It is killed when this is dropped.
struct Holder {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Holder {
    /// Returns once it holds the lock.
    fn of(server: &RedisServer, key: &str, ttl: Duration) -> (Self, FencingToken) {
        let arguments = [server.url(), key.to_owned(), ttl.as_millis().to_string()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_hold_lock"));
        let mut process =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (questions, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut holder = Self { process, questions, answers: BufReader::new(answers) };
        let token = FencingToken::new(holder.answer().parse().unwrap());
        (holder, token)
    }

    /// Asks whether its guard is valid.
    fn ask(&mut self) {
        writeln!(self.questions).unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.process);
        kill_process(process, signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// B49: a process is stopped for longer than its lease, until another has the lock. The first thing that it can
/// find when it goes on is that its guard is not valid; and if it wrote without asking, a store would refuse its
/// token. Whoever went by what it knew before it was stopped would write: the control.
#[tokio::test]
async fn a_process_that_was_stopped_knows_at_once_that_its_lock_is_lost() {
    let server = RedisServer::start();
    let (mut frozen, stale) = Holder::of(&server, "order:42", BRIEF);
    frozen.ask();
    let known_before = frozen.answer();
    frozen.signal(Signal::STOP);
    // Granted only when the lease is over, which was not renewed any more.
    let next = manager(&server).await.lock("order:42").await.unwrap();
    frozen.ask();
    frozen.signal(Signal::CONT);
    assert_eq!(frozen.answer(), "false", "the very first answer");
    assert_eq!(known_before, "true", "the control");
    assert!(stale < next.token(), "a store that has seen {} refuses {stale}", next.token());
    assert!(next.is_valid());
}

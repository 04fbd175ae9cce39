//! Another process that holds a lock, to be stopped or killed.

use crate::error::{Doing, HarnessError, OrFail};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The program `hold_lock`, running. It is killed when this is dropped.
///
/// Methods block for as long as the process does not answer.
#[derive(Debug)]
pub struct Holder {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    token: u64,
}

impl Holder {
    /// Runs `program`, which takes the lock `key` at `url`, and returns once it has it. Its lease, or with ZooKeeper
    /// its session, ends after `lease` if it does nothing for it.
    #[track_caller]
    pub fn start(program: impl AsRef<Path>, url: &str, key: &str, lease: Duration) -> Self {
        Self::spawn(program.as_ref(), url, key, lease).or_fail()
    }

    fn spawn(program: &Path, url: &str, key: &str, lease: Duration) -> Result<Self, HarnessError> {
        let mut command = Command::new(program);
        command.args([url, key, &lease.as_millis().to_string()]);
        let starting = || format!("start {}", program.display());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().doing(starting())?;
        let (questions, answers) = (process.stdin.take(), process.stdout.take());
        let answers = answers.map(BufReader::new).ok_or_else(no_pipe).doing(starting())?;
        let mut holder = Self { process, questions, answers, token: 0 };
        let token = holder.hear().and_then(|line| line.parse().map_err(io::Error::other));
        holder.token = token.doing("hear the token of a lock")?;
        Ok(holder)
    }

    /// Its fencing token.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Asks whether its guard is valid. A process that is stopped is asked when it goes on.
    #[track_caller]
    pub fn ask(&mut self) {
        let asked = self.questions.as_mut().ok_or_else(no_pipe).and_then(|questions| writeln!(questions));
        asked.doing("ask a process for its lock").or_fail();
    }

    /// The next answer: whether its guard was valid when it looked.
    #[track_caller]
    pub fn answer(&mut self) -> bool {
        let answer = self.hear().and_then(|line| line.parse().map_err(io::Error::other));
        answer.doing("hear whether a lock is held").or_fail()
    }

    /// What its guard knows of the lock, as `Debug` shows it.
    #[track_caller]
    pub fn state(&mut self) -> String {
        let asked =
            self.questions.as_mut().ok_or_else(no_pipe).and_then(|questions| writeln!(questions, "state"));
        asked.and_then(|()| self.hear()).doing("ask a process for the state of its lock").or_fail()
    }

    /// Stops the process where it is (SIGSTOP).
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on (SIGCONT).
    #[track_caller]
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Lets the process shut its manager down and end, and returns when it has ended; whether all was well.
    #[track_caller]
    pub fn shut_down(mut self) -> bool {
        drop(self.questions.take());
        self.process.wait().doing("wait for the end of a process").or_fail().success()
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        let sent = kill_process(Pid::from_child(&self.process), signal).map_err(io::Error::from);
        sent.doing("send a signal to a process").or_fail();
    }

    fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

fn no_pipe() -> io::Error {
    io::Error::other("it cannot be talked to")
}

impl Drop for Holder {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

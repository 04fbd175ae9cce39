//! One server process that cannot outlive the test process.
//!
//! A destructor is not enough: it does not run for a `static`, after an abort, or when the test process
//! is killed. So a small shell script (`supervise.sh`) is the server's parent. It reads a pipe that only
//! this process holds, and kills the server when that pipe closes, for whatever reason.

use crate::wait::poll;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A program and its arguments.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<std::ffi::OsString>,
}

/// A running server and its supervisor. Dropping it kills the server and waits for its end.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    supervisor: Child,
    server: Pid,
}

impl ServerProcess {
    /// Starts the server in `directory`, which goes with the test process; its output goes to `log`.
    pub(crate) fn start(command: &CommandLine, directory: &Path, log: File) -> io::Result<Self> {
        let mut supervisor = Command::new("sh")
            .args(["-c", include_str!("supervise.sh"), "supervise"])
            .arg(directory)
            .arg(&command.program)
            .args(&command.arguments)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0) // out of reach of the terminal's Ctrl-C and of a runner that kills groups
            .spawn()?;
        let server = read_pid(&mut supervisor)?;
        Ok(Self { supervisor, server })
    }

    /// The status the server ended with, when it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }

    /// Stops the server where it is: it keeps its connections and answers nothing.
    ///
    /// The signal only asks one of the server's threads to stop them all. On a busy machine that thread
    /// may wait for its turn while others still answer, so this returns when all have stopped.
    pub(crate) fn pause(&self) -> io::Result<()> {
        kill_process(self.server, Signal::STOP)?;
        let stopped = poll(STOP_LIMIT, || all_threads_stopped(self.server).then_some(()));
        stopped.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// Lets a paused server go on.
    pub(crate) fn resume(&self) -> io::Result<()> {
        Ok(kill_process(self.server, Signal::CONT)?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(mut orders) = self.supervisor.stdin.take() {
            // A supervisor that is gone has no server left to kill.
            let _ = orders.write_all(b"end\n");
        }
        let _ = self.supervisor.wait();
    }
}

fn read_pid(supervisor: &mut Child) -> io::Result<Pid> {
    let mut line = String::new();
    if let Some(output) = supervisor.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    let pid = line.trim().parse().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other(format!("the supervisor said {line:?} instead of a process id")))
}

fn all_threads_stopped(process: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()));
    threads.is_ok_and(|threads| threads.flatten().all(|thread| is_stopped(&thread.path())))
}

/// Whether a thread's state, the letter behind its name in parentheses, is "stopped". A thread that has
/// just ended counts as well.
fn is_stopped(thread: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(thread.join("stat")) else { return true };
    stat.rsplit_once(')').is_some_and(|(_, state)| state.starts_with(" T"))
}

const STOP_LIMIT: Duration = Duration::from_secs(10);

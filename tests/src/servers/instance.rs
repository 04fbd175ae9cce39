//! A server with its directory and log, through any number of restarts.

use super::process::{CommandLine, ServerProcess};
use crate::error::{Doing, HarnessError};
use crate::wait::poll;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A server that can be killed and started again in the same directory.
#[derive(Debug)]
pub(crate) struct Instance {
    name: String,
    command: CommandLine,
    /// Declared before the directory, so that the server ends before its files go.
    process: Option<ServerProcess>,
    paused: bool,
    directory: TempDir,
}

impl Instance {
    /// A server that does not run yet. `arguments` may name files of its directory by their bare names,
    /// for it runs there.
    pub(crate) fn new(
        name: String,
        program: PathBuf,
        arguments: Vec<OsString>,
    ) -> Result<Self, HarnessError> {
        let directory = tempfile::Builder::new().prefix("dlock-").tempdir().doing("make a directory")?;
        let command = CommandLine { program, arguments };
        Ok(Self { name, command, process: None, paused: false, directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file of the server's directory.
    pub(crate) fn write(&self, file: &str, contents: &str) -> Result<(), HarnessError> {
        let place = self.directory().join(file);
        fs::write(&place, contents).doing(format!("write {}", place.display()))
    }

    /// Starts the server, after killing it when it still runs. It need not be ready on return.
    pub(crate) fn spawn(&mut self) -> Result<(), HarnessError> {
        self.kill();
        let log = File::options().append(true).create(true).open(self.log_file());
        let log = log.doing("open a server's log")?;
        let process = ServerProcess::start(&self.command, self.directory(), log);
        self.process = Some(process.doing(format!("start {}", self.name))?);
        Ok(())
    }

    /// Waits until `ready`, or fails once the server has ended or `limit` has passed.
    pub(crate) fn await_ready(
        &mut self,
        limit: Duration,
        ready: impl Fn(&Self) -> bool,
    ) -> Result<(), HarnessError> {
        let outcome = poll(limit, || if ready(self) { Some(Ok(())) } else { self.ended().map(Err) });
        outcome
            .unwrap_or_else(|| Err(format!("was not ready within {limit:?}")))
            .map_err(|trouble| self.not_serving(trouble))
    }

    /// Whether the server runs and has not been paused.
    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some() && !self.paused
    }

    /// Whether a text that a server sent names this server's directory. A port may have gone to another
    /// process between choice and start, whose server would answer in place of this one.
    pub(crate) fn is_named_in(&self, answer: &str) -> bool {
        self.directory().file_name().is_some_and(|name| answer.contains(&*name.to_string_lossy()))
    }

    /// Kills the server and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        self.paused = false;
    }

    pub(crate) fn pause(&mut self) -> Result<(), HarnessError> {
        self.running()?.pause().doing(format!("pause {}", self.name))?;
        self.paused = true;
        Ok(())
    }

    pub(crate) fn resume(&mut self) -> Result<(), HarnessError> {
        self.running()?.resume().doing(format!("resume {}", self.name))?;
        self.paused = false;
        Ok(())
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let (_, tail) = lines.split_at(lines.len().saturating_sub(LOG_LINES));
        tail.join("\n")
    }

    /// The failure of this server to serve.
    pub(crate) fn not_serving(&self, trouble: String) -> HarnessError {
        let address_in_use = self.log().contains("Address already in use");
        HarnessError::NotServing { server: self.name.clone(), trouble, address_in_use, log: self.log_tail() }
    }

    fn running(&self) -> Result<&ServerProcess, HarnessError> {
        self.process.as_ref().ok_or_else(|| self.not_serving("does not run".to_owned()))
    }

    fn ended(&mut self) -> Option<String> {
        let status = self.process.as_mut()?.ended()?;
        Some(format!("ended ({status})"))
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.directory().join("server.log")
    }
}

const LOG_LINES: usize = 40;

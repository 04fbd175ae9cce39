//! A process that is given orders in lines and answers in lines.
//!
//! | order | answers |
//! |---|---|
//! | (the start) | `ready` |
//! | `try KEY TTL_MS` | `held` or `busy` |
//! | `acquire KEY TTL_MS` | `held`, after `waiting` if it was refused at first |
//! | `release` | `released` or `lost` |
//! | `count KEY TTL_MS COUNTER JOURNAL TIMES` | `counted`, or `lost` if a lock was |
//!
//! Locks in ZooKeeper have no ttl, so its clients pass over it. The counter and the journal are keys in Redis, or
//! files with ZooKeeper.
//!
//! The end of its input ends it, and that comes with the end of the test process.

use super::programs::Program;
use crate::error::{Doing, HarnessError};
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

#[derive(Debug)]
pub(super) struct Dialogue {
    program: Program,
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Orders and answers, for the report of a failure.
    said: Vec<String>,
    log: NamedTempFile,
}

impl Dialogue {
    /// Starts the program with these words about its server, and returns when it is ready for orders.
    pub(super) async fn start(program: Program, server: &[&str]) -> Result<Self, HarnessError> {
        let log = NamedTempFile::new().doing("make a log")?;
        let mut process = spawn(&program, server, &log).map_err(|error| program.missing(&error))?;
        let (orders, answers) = pipes(&mut process).doing("talk to a process")?;
        let answers = BufReader::new(answers).lines();
        let mut dialogue = Self { program, process, orders, answers, said: Vec::new(), log };
        match dialogue.hear(&["ready"]).await {
            Ok(_) => Ok(dialogue),
            Err(error) => Err(dialogue.program.missing(&error)),
        }
    }

    /// Gives an order, if one is left to give, and returns the answer, which must be one of `known`.
    pub(super) async fn exchange(
        &mut self,
        order: Option<String>,
        known: &[&'static str],
    ) -> Result<&'static str, HarnessError> {
        if let Some(order) = order {
            self.tell(&order).await?;
        }
        self.hear(known).await
    }

    /// Kills the process, and returns when it has ended.
    pub(super) async fn kill(&mut self) -> Result<(), HarnessError> {
        self.process.kill().await.doing(format!("kill {}", self.program.name))
    }

    async fn tell(&mut self, order: &str) -> Result<(), HarnessError> {
        self.said.push(format!("  told: {order}"));
        let told = self.orders.write_all(format!("{order}\n").as_bytes()).await;
        told.map_err(|error| self.failed(format!("takes no orders: {error}")))
    }

    async fn hear(&mut self, known: &[&'static str]) -> Result<&'static str, HarnessError> {
        let answer = match timeout(LIMIT, self.answers.next_line()).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) => return Err(self.failed("ended".to_owned())),
            Ok(Err(error)) => return Err(self.failed(format!("cannot be heard: {error}"))),
            Err(_) => return Err(self.failed(format!("said nothing within {LIMIT:?}"))),
        };
        self.said.push(format!("  said: {answer}"));
        let meant = known.iter().find(|known| **known == answer);
        meant.copied().ok_or_else(|| self.failed(format!("did not say {}", known.join(" or "))))
    }

    fn failed(&self, trouble: String) -> HarnessError {
        HarnessError::ForeignClient {
            client: self.program.name,
            trouble,
            said: self.said.join("\n"),
            log: std::fs::read_to_string(self.log.path()).unwrap_or_default(),
        }
    }
}

fn spawn(program: &Program, server: &[&str], log: &NamedTempFile) -> io::Result<Child> {
    Command::new(&program.interpreter)
        .args(&program.arguments)
        .args(server)
        .envs(program.variable.clone())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log.reopen()?)
        .kill_on_drop(true)
        .spawn()
}

fn pipes(process: &mut Child) -> io::Result<(ChildStdin, ChildStdout)> {
    let pipes = process.stdin.take().zip(process.stdout.take());
    pipes.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
}

const LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::programs::{curator, kazoo, redis_py, redlock};
    use super::*;
    use crate::{fresh_key, shared_redis, shared_zookeeper};

    async fn start(program: Program) -> Dialogue {
        Dialogue::start(program, &[&shared_redis().url()]).await.unwrap()
    }

    async fn ask(dialogue: &mut Dialogue, order: String, answer: &'static str) -> Result<(), HarnessError> {
        dialogue.exchange(Some(order), &[answer]).await.map(drop)
    }

    async fn ends_with_its_input(program: Program) {
        let mut dialogue = start(program).await;
        let key = fresh_key("foreign");
        shared_redis().command(&["SET", &key, "another's"]);
        ask(&mut dialogue, format!("acquire {key} 1000"), "waiting").await.unwrap();
        drop(dialogue.orders);
        timeout(LIMIT, dialogue.process.wait()).await.expect("it ends").unwrap();
    }

    #[tokio::test]
    async fn a_waiting_redis_py_ends_with_its_input() {
        ends_with_its_input(redis_py()).await;
    }

    #[tokio::test]
    async fn a_waiting_redlock_ends_with_its_input() {
        ends_with_its_input(redlock()).await;
    }

    async fn a_client_of_zookeeper_ends_with_its_input(program: Program) {
        let hosts = shared_zookeeper().hosts();
        let server = [&*hosts, "30000", "standard"];
        let mut holder = Dialogue::start(program.clone(), &server).await.unwrap();
        let mut dialogue = Dialogue::start(program, &server).await.unwrap();
        let key = fresh_key("foreign");
        ask(&mut holder, format!("try {key} 1000"), "held").await.unwrap();
        ask(&mut dialogue, format!("acquire {key} 1000"), "waiting").await.unwrap();
        drop(dialogue.orders);
        timeout(LIMIT, dialogue.process.wait()).await.expect("it ends").unwrap();
    }

    #[tokio::test]
    async fn a_waiting_curator_ends_with_its_input() {
        a_client_of_zookeeper_ends_with_its_input(curator()).await;
    }

    #[tokio::test]
    async fn a_waiting_kazoo_ends_with_its_input() {
        a_client_of_zookeeper_ends_with_its_input(kazoo()).await;
    }

    #[tokio::test]
    async fn missing_jars_come_with_their_install_command() {
        let arguments = ["-cp", "/nowhere", "Curator"].map(Into::into).into();
        let program = Program { arguments, ..curator() };
        let error = Dialogue::start(program, &[]).await.unwrap_err().to_string();
        let install =
            "`apt-get install default-jdk-headless libcurator-recipes-java`, `scripts/foreign_clients.sh`";
        assert!(error.contains(install), "{error}");
        assert!(error.contains("find or load main class Curator"), "{error}");
    }

    #[tokio::test]
    async fn a_wrong_answer_is_told_with_all_that_was_said() {
        let mut dialogue = start(redis_py()).await;
        let order = format!("try {} 1000", fresh_key("foreign"));
        let error = ask(&mut dialogue, order.clone(), "busy").await.unwrap_err().to_string();
        assert!(error.starts_with("redis-py did not say busy"), "{error}");
        assert!(error.contains(&format!("said: ready\n  told: {order}\n  said: held")), "{error}");
    }

    #[tokio::test]
    async fn a_client_that_fails_is_told_with_its_log() {
        let mut dialogue = start(redlock()).await;
        let error = ask(&mut dialogue, "dance".to_owned(), "held").await.unwrap_err().to_string();
        assert!(error.starts_with("redlock ended") && error.contains("TypeError"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_interpreter_comes_with_its_install_command() {
        let program = Program { interpreter: "/nowhere/python".into(), ..redis_py() };
        let error = Dialogue::start(program, &[]).await.unwrap_err().to_string();
        assert!(error.contains("does not start with /nowhere/python"), "{error}");
        assert!(error.contains("`apt-get install python3-venv`, `scripts/foreign_clients.sh`"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_package_comes_with_its_install_command() {
        let program = Program { variable: Some(("NODE_PATH", "/nowhere".into())), ..redlock() };
        let error = Dialogue::start(program, &[]).await.unwrap_err().to_string();
        assert!(error.contains("`apt-get install nodejs npm`, `scripts/foreign_clients.sh`"), "{error}");
        assert!(error.contains("Cannot find module"), "{error}");
    }
}

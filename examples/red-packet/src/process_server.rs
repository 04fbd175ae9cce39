//! A server as a process of its own: this program, started again.
//!
//! The parent reads the port from the child's standard output, and holds its standard input open; the child
//! ends when that does, so no child outlives its parent, whatever became of the parent.

use crate::backend::Backend;
use crate::cli::ServeArguments;
use crate::server::{self, Settings};
use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::runtime::Builder;

/// A running server process. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct ProcessServer {
    address: SocketAddr,
    child: Child,
}

impl ProcessServer {
    /// Starts a server process and waits until it listens.
    pub(crate) async fn start(url: &str, settings: &Settings) -> anyhow::Result<Self> {
        let mut child = command(url, settings)?.spawn().context("cannot start a server process")?;
        let stdout = child.stdout.take().context("a server process without standard output")?;
        let port = match tokio::time::timeout(START_LIMIT, read_port(stdout)).await {
            Ok(port) => port?,
            Err(_) => bail!("a server process did not listen within {START_LIMIT:?}"),
        };
        Ok(Self { address: SocketAddr::from(([127, 0, 0, 1], port)), child })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills the process, with SIGKILL where there is one.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill a server process")
    }

    /// Lets the process finish its requests and release its locks; kills it if it takes too long.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(status) => status.map(drop).context("cannot wait for a server process"),
            Err(_) => self.kill().await,
        }
    }
}

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);

fn command(url: &str, settings: &Settings) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--backend").arg(url).arg("--database").arg(&settings.database);
    command.arg("--ttl").arg(format!("{}ms", settings.ttl.as_millis()));
    command.arg("--number").arg(settings.number.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

async fn read_port(stdout: ChildStdout) -> anyhow::Result<u16> {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    line.trim().parse().context("a server process ended before it listened")
}

/// What the child does.
pub(crate) fn main(arguments: ServeArguments) -> anyhow::Result<ExitCode> {
    let backend = Backend::parse(&arguments.backend)?;
    let ServeArguments { database, ttl, number, .. } = arguments;
    let settings = Settings { backend, database, ttl, number };
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?.port());
        server::serve(listener, settings, parent_is_gone()).await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn parent_is_gone() {
    let mut nothing = [0; 64];
    while let Ok(1..) = tokio::io::stdin().read(&mut nothing).await {}
}

//! A server in this process, with a thread and a runtime of its own, so that it can crash alone.

use crate::server::{self, Settings};
use anyhow::Context as _;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};

/// A running server. Dropped, it crashes.
#[derive(Debug)]
pub(crate) struct ThreadServer {
    address: SocketAddr,
    /// Gone means crash, true means end.
    end: Option<watch::Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl ThreadServer {
    /// Starts a server on a free port.
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = watch::channel(false);
        let (listening, address) = oneshot::channel();
        let name = format!("server-{}", settings.number);
        let thread =
            std::thread::Builder::new().name(name).spawn(move || run(runtime, settings, listening, ended))?;
        let address = address.await.context("a server ended before it listened")??;
        Ok(Self { address, end: Some(end), thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends as a crash does for its requests: they are dropped with the runtime, in the middle of their work.
    pub(crate) async fn crash(mut self) {
        self.end = None;
        self.join().await;
    }

    /// Lets the requests under way finish, and releases every lock.
    pub(crate) async fn stop(mut self) {
        if let Some(end) = &self.end {
            end.send_replace(true);
        }
        self.join().await;
    }

    async fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was reported by the thread.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for ThreadServer {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Listening = oneshot::Sender<anyhow::Result<SocketAddr>>;

fn run(runtime: Runtime, settings: Settings, listening: Listening, ended: watch::Receiver<bool>) {
    let mut crashed = ended.clone();
    runtime.block_on(async {
        tokio::select! {
            outcome = listen(settings, listening, ended) => report(outcome),
            _ = crashed.wait_for(|_| false) => {}
        }
    });
    runtime.shutdown_background();
}

async fn listen(
    settings: Settings,
    listening: Listening,
    mut ended: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    // If this fails, the fleet is being dropped, and this server with it.
    let _ = listening.send(listener.local_addr().map_err(Into::into));
    server::serve(listener, settings, async move {
        if ended.wait_for(|end| *end).await.is_err() {
            std::future::pending::<()>().await;
        }
    })
    .await
}

fn report(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("server: {error:#}");
    }
}

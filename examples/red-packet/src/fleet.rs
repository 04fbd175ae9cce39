//! The servers: started together, one of them killed and replaced if asked for, stopped together.

use crate::addresses::Addresses;
use crate::backend::Backend;
use crate::process_server::ProcessServer;
use crate::server::Settings;
use crate::thread_server::ThreadServer;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How each server is started.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Where the locks are; with locks in memory the servers are threads, otherwise processes.
    pub(crate) backend: Backend,
    /// The SQLite file with the packets.
    pub(crate) database: PathBuf,
    /// The length of a lease.
    pub(crate) ttl: Duration,
}

/// The running servers. Dropped, they are killed.
#[derive(Debug)]
pub(crate) struct Fleet {
    plan: Plan,
    servers: Vec<Numbered>,
    addresses: Addresses,
    next_number: u32,
}

#[derive(Debug)]
struct Numbered {
    number: u32,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Thread(ThreadServer),
    Process(ProcessServer),
}

impl Fleet {
    /// Starts `count` servers.
    pub(crate) async fn start(plan: Plan, count: u16) -> anyhow::Result<Self> {
        let (servers, addresses) = (Vec::new(), Addresses::default());
        let mut fleet = Self { plan, servers, addresses, next_number: 1 };
        for _ in 0..count {
            fleet.add().await?;
        }
        Ok(fleet)
    }

    /// Where the servers are, kept up to date.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// Kills server `number`, or any if there is none of that number, and starts a new one in its place.
    /// Returns the number of the one that was killed.
    pub(crate) async fn kill_and_replace(&mut self, number: Option<u32>) -> anyhow::Result<u32> {
        let found = self.servers.iter().position(|server| Some(server.number) == number);
        let victim = self.servers.swap_remove(found.unwrap_or(0));
        victim.server.kill().await?;
        self.publish();
        self.add().await?;
        Ok(victim.number)
    }

    /// Stops the servers; their locks are released.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for stopping in self.servers.drain(..) {
            stopping.server.stop().await?;
        }
        Ok(())
    }

    async fn add(&mut self) -> anyhow::Result<()> {
        let number = self.next_number;
        self.next_number += 1;
        let server = Server::start(&self.plan, number).await?;
        self.servers.push(Numbered { number, server });
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        self.addresses.set(self.servers.iter().map(|server| server.server.address()).collect());
    }
}

impl Server {
    async fn start(plan: &Plan, number: u32) -> anyhow::Result<Self> {
        let Plan { backend, database, ttl } = plan.clone();
        let settings = Settings { backend, database, ttl, number };
        Ok(match &plan.backend {
            Backend::Memory(_) => Self::Thread(ThreadServer::start(settings).await?),
            Backend::Remote(url) => Self::Process(ProcessServer::start(url, &settings).await?),
        })
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Thread(server) => server.address(),
            Self::Process(server) => server.address(),
        }
    }

    async fn kill(self) -> anyhow::Result<()> {
        match self {
            Self::Thread(server) => server.crash().await,
            Self::Process(server) => server.kill().await?,
        }
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Thread(server) => server.stop().await,
            Self::Process(server) => server.stop().await?,
        }
        Ok(())
    }
}

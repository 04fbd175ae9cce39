//! Connections for requests that must not share one: a server that waits for its replicas answers nothing else
//! on the same connection, and a transaction that watches a key is spoilt by any other request.

use super::address::Address;
use super::connection::Source;
use super::slots::slot;
use super::topology::Servers;
use crate::backend::redis::failure::classify;
use crate::error::LockError;
use parking_lot::Mutex;
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use std::future::Future;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Connections that carry one job at a time. Those that are idle are kept.
pub(crate) struct Exclusive {
    idle: Mutex<Vec<Taken>>,
    places: Semaphore,
    /// How long the server may take for an answer.
    limit: Duration,
}

struct Taken {
    /// `None` if there is only one server.
    address: Option<Address>,
    connection: MultiplexedConnection,
}

/// How many jobs are done at once. Each takes a connection at the server.
const MOST: usize = 16;

/// Requests that belong together.
pub(crate) trait Job: Sync {
    type Output: Send;

    /// Does it. Whatever fails, the connection is not used again.
    fn run(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<Self::Output>> + Send;
}

impl Exclusive {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { idle: Mutex::default(), places: Semaphore::new(MOST), limit }
    }

    /// Does a job at the server that keeps `key`. An idle connection may have died unnoticed; then the job is
    /// done again on another one.
    pub(crate) async fn run<J: Job>(
        &self,
        servers: &Servers,
        key: &[u8],
        job: &J,
    ) -> Result<J::Output, LockError> {
        // Never closed, so never an error.
        let _place = self.places.acquire().await;
        let address = servers.address(key).await?;
        while let Some(mut taken) = self.take(address.as_ref()) {
            match job.run(&mut taken.connection).await {
                Err(cause) if cause.is_connection_dropped() => {}
                outcome => return self.finish(servers, key, taken, outcome),
            }
        }
        let connection = servers.connect(address.as_ref(), self.limit).await?;
        let mut taken = Taken { address, connection };
        let outcome = job.run(&mut taken.connection).await;
        self.finish(servers, key, taken, outcome)
    }

    fn take(&self, address: Option<&Address>) -> Option<Taken> {
        let mut idle = self.idle.lock();
        let at = idle.iter().position(|taken| taken.address.as_ref() == address)?;
        Some(idle.swap_remove(at))
    }

    fn finish<T>(
        &self,
        servers: &Servers,
        key: &[u8],
        taken: Taken,
        outcome: RedisResult<T>,
    ) -> Result<T, LockError> {
        match outcome {
            Ok(output) => {
                self.idle.lock().push(taken);
                Ok(output)
            }
            Err(cause) => {
                if let (Servers::Cluster(cluster), Some(asked)) = (servers, &taken.address) {
                    cluster.learn(slot(key), &cause, asked);
                }
                Err(classify(cause))
            }
        }
    }
}

impl Servers {
    /// Which of several servers keeps `key`.
    async fn address(&self, key: &[u8]) -> Result<Option<Address>, LockError> {
        match self {
            Self::One(_) => Ok(None),
            Self::Cluster(cluster) => cluster.address(slot(key)).await.map(Some),
        }
    }

    /// A connection that nobody else uses.
    async fn connect(
        &self,
        address: Option<&Address>,
        limit: Duration,
    ) -> Result<MultiplexedConnection, LockError> {
        match (self, address) {
            (Self::Cluster(cluster), Some(address)) => {
                cluster.connector(address).within(limit).connect(None).await
            }
            (Self::Cluster(_), None) => Err(LockError::new(
                crate::error::ErrorKind::Unavailable,
                "no node of the cluster serves the key's slot",
            )),
            (Self::One(connection), _) => match connection.source() {
                Source::Fixed(connector) => connector.clone().within(limit).connect(None).await,
                Source::Sentinels(sentinels) => sentinels.connect_to_primary(None, limit).await,
            },
        }
    }
}

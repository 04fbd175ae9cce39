//! Connections for requests that must not share one. A server that waits for its replicas answers nothing else on the
//! same connection, and any other request would spoil a transaction that watches a key.

use super::address::Address;
use super::cluster::{Cluster, Place, REDIRECTIONS, in_a_circle};
use super::live::{IDLE, Source};
use super::request::{Asking, CallError, decisive};
use super::slots::slot;
use super::timed::TimedConnection;
use super::topology::Servers;
use crate::backend::redis::failure::met_dead_connection;
use crate::error::LockError;
use crate::keeper::Keeper;
use crate::time::Moment;
use parking_lot::Mutex;
use redis::RedisResult;
use std::future::Future;
use std::sync::Arc;
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
    connection: TimedConnection,
    /// When it was of use last.
    used: Moment,
}

/// How many jobs are done at once. Each takes a connection at the server.
const MOST: usize = 16;

/// Requests that belong together.
pub(crate) trait Job: Send + Sync + 'static {
    type Output: Send;

    /// Does it. Whatever fails, the connection is not used again. Where the key's slot is still on its way to the
    /// server, each command about the key needs an `ASKING`.
    fn run(
        &self,
        connection: &mut TimedConnection,
        asking: Asking,
    ) -> impl Future<Output = RedisResult<Self::Output>> + Send;
}

impl Exclusive {
    pub(crate) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), places: Semaphore::new(MOST), limit })
    }

    /// Has the keeper do a job at the server that keeps `key`, wherever that is by now. So the place is given back, and
    /// the connection can be used again, even if the caller's future is dropped.
    pub(crate) async fn run<J: Job>(
        self: &Arc<Self>,
        servers: &Arc<Servers>,
        key: &[u8],
        job: J,
    ) -> Result<J::Output, LockError> {
        let (this, servers, key) = (Arc::clone(self), Arc::clone(servers), key.to_vec());
        Keeper::here()?.complete(async move { this.run_in_turn(&servers, &key, &job).await }).await?
    }

    async fn run_in_turn<J: Job>(
        &self,
        servers: &Servers,
        key: &[u8],
        job: &J,
    ) -> Result<J::Output, LockError> {
        // Never closed, so never an error.
        let _place = self.places.acquire().await;
        match servers {
            Servers::One(connection) => {
                Ok(self.run_at(|| connect(connection.source(), self.limit), None, job).await?)
            }
            Servers::Cluster(cluster) => self.run_in(cluster, slot(key), job).await,
        }
    }

    async fn run_in<J: Job>(
        &self,
        cluster: &Arc<Cluster>,
        slot: u16,
        job: &J,
    ) -> Result<J::Output, LockError> {
        let mut place = cluster.place(slot).await?;
        for _ in 0..REDIRECTIONS {
            let connector = cluster.connector(&place.address).within(self.limit);
            match self.run_at(|| connector.connect(None), Some(&place), job).await {
                Err(error) => place = cluster.next_place(slot, &place, error).await?,
                Ok(output) => return Ok(output),
            }
        }
        Err(in_a_circle())
    }

    /// Does a job at one server. An idle connection may have died unnoticed; then the job is done again on a new one.
    async fn run_at<J: Job, C>(
        &self,
        connect: impl FnOnce() -> C,
        place: Option<&Place>,
        job: &J,
    ) -> Result<J::Output, CallError>
    where
        C: Future<Output = Result<TimedConnection, LockError>>,
    {
        let address = place.map(|place| &place.address);
        let asking = place.map_or(Asking::No, |place| place.asking);
        while let Some(mut taken) = self.take(address) {
            match job.run(&mut taken.connection, asking).await {
                Err(cause) if met_dead_connection(&cause) => {}
                outcome => return self.finish(taken, outcome),
            }
        }
        let connection = connect().await.map_err(CallError::Failed)?;
        let mut taken = Taken { address: address.cloned(), connection, used: Moment::now() };
        let outcome = job.run(&mut taken.connection, asking).await;
        self.finish(taken, outcome)
    }

    fn take(&self, address: Option<&Address>) -> Option<Taken> {
        let (mut idle, now) = (self.idle.lock(), Moment::now());
        idle.retain(|taken| now.since(taken.used) <= IDLE);
        let at = idle.iter().position(|taken| taken.address.as_ref() == address)?;
        Some(idle.swap_remove(at))
    }

    fn finish<T>(&self, taken: Taken, outcome: RedisResult<T>) -> Result<T, CallError> {
        let output = outcome.map_err(|cause| CallError::Redis(decisive(cause)))?;
        self.idle.lock().push(Taken { used: Moment::now(), ..taken });
        Ok(output)
    }
}

/// A connection that no other request uses.
async fn connect(to: &Source, limit: Duration) -> Result<TimedConnection, LockError> {
    match to {
        Source::Fixed(connector) => connector.clone().within(limit).connect(None).await,
        Source::Sentinels(sentinels) => Ok(sentinels.connect_to_primary(|_| None, limit).await?.0),
    }
}

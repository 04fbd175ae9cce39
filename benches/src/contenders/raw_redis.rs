//! The two commands that every lock over Redis comes down to: no renewal, no queue, no token, no waiting.

use super::Locks;
use anyhow::{Context as _, Result};
use redis::aio::MultiplexedConnection;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) struct Commands {
    connection: MultiplexedConnection,
    /// The script, by its hash.
    release: String,
    lease_ms: u64,
    values: AtomicU64,
}

const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

impl Commands {
    pub(crate) async fn connect(address: &str, lease: Duration) -> Result<Self> {
        let mut connection = redis::Client::open(address)?.get_multiplexed_async_connection().await?;
        let release = redis::cmd("SCRIPT").arg("LOAD").arg(RELEASE).query_async(&mut connection).await?;
        let lease_ms = u64::try_from(lease.as_millis())?;
        Ok(Self { connection, release, lease_ms, values: AtomicU64::new(0) })
    }

    /// As long as what libraries take for it. That it is no random number is in the reference's favour.
    fn value(&self) -> String {
        format!("{:010}{:022}", std::process::id(), self.values.fetch_add(1, Ordering::Relaxed))
    }
}

impl Locks for Commands {
    type Held = (String, String);

    async fn acquire(&self, key: &str) -> Result<Self::Held> {
        let (mut connection, value) = (self.connection.clone(), self.value());
        let mut set = redis::cmd("SET");
        set.arg(key).arg(&value).arg("NX").arg("PX").arg(self.lease_ms);
        let set: Option<String> = set.query_async(&mut connection).await?;
        set.context("somebody else has the lock, where each task has a key of its own")?;
        Ok((key.to_owned(), value))
    }

    async fn release(&self, (key, value): Self::Held) -> Result<()> {
        let mut delete = redis::cmd("EVALSHA");
        delete.arg(&self.release).arg(1).arg(&key).arg(&value);
        let deleted: i64 = delete.query_async(&mut self.connection.clone()).await?;
        anyhow::ensure!(deleted == 1, "the lock was not ours any more");
        Ok(())
    }
}

//! A token in a list, the quickest way of handing something from one client of Redis to the next. Who dies with the
//! token takes it along, so it is a limit and no lock.

use super::Locks;
use anyhow::Result;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};

/// A waiter blocks its connection, so each has one of its own.
pub(crate) struct Baton {
    client: Client,
    idle: Mutex<Vec<MultiplexedConnection>>,
}

impl Baton {
    pub(crate) fn connect(address: &str) -> Result<Self> {
        Ok(Self { client: Client::open(address)?, idle: Mutex::default() })
    }

    async fn connection(&self) -> Result<MultiplexedConnection> {
        let idle = self.idle.lock().pop();
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        match idle {
            Some(connection) => Ok(connection),
            None => Ok(self.client.get_multiplexed_async_connection_with_config(&patient).await?),
        }
    }
}

impl Locks for Baton {
    type Held = (String, MultiplexedConnection);

    /// The first process puts the token there.
    async fn prepare(&self, key: &str) -> Result<()> {
        let mut connection = self.connection().await?;
        let first: Option<String> = redis::cmd("SET")
            .arg(format!("{key}:made"))
            .arg(1)
            .arg("NX")
            .query_async(&mut connection)
            .await?;
        if first.is_some() {
            let _: i64 = redis::cmd("LPUSH").arg(key).arg("token").query_async(&mut connection).await?;
        }
        self.idle.lock().push(connection);
        Ok(())
    }

    async fn acquire(&self, key: &str) -> Result<Self::Held> {
        let mut connection = self.connection().await?;
        let _: (String, String) = redis::cmd("BLPOP").arg(key).arg(0).query_async(&mut connection).await?;
        Ok((key.to_owned(), connection))
    }

    async fn release(&self, (key, mut connection): Self::Held) -> Result<()> {
        let _: i64 = redis::cmd("LPUSH").arg(&key).arg("token").query_async(&mut connection).await?;
        self.idle.lock().push(connection);
        Ok(())
    }
}

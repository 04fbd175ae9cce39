//! Finding the primary by asking sentinels.

use super::address::Address;
use super::connector::Connector;
use super::timed::TimedConnection;
use crate::backend::redis::access::Limits;
use crate::backend::redis::failure::classify;
use crate::backend::redis::notifications::Receiver;
use crate::error::{ErrorKind, LockError};
use parking_lot::Mutex;
use std::time::Duration;

/// The sentinels that watch one primary.
pub(crate) struct Sentinels {
    /// The one that answered last comes first.
    addresses: Mutex<Vec<Address>>,
    /// What the sentinels call the primary.
    service: String,
    to_sentinels: Connector,
    to_servers: Connector,
}

impl Sentinels {
    pub(crate) fn new(
        addresses: Vec<Address>,
        service: String,
        to_sentinels: Connector,
        to_servers: Connector,
    ) -> Self {
        Self { addresses: Mutex::new(addresses), service, to_sentinels, to_servers }
    }

    /// How long the parts of a request to a server may take.
    pub(super) fn limits(&self) -> Limits {
        self.to_servers.limits
    }

    /// How many sentinels there are.
    pub(super) fn count(&self) -> usize {
        self.addresses.lock().len()
    }

    /// A connection to the server that the sentinels call the primary and that thinks so itself: right after
    /// a failover, the old one does too until it is told.
    pub(super) async fn connect_to_primary(
        &self,
        receiver: Option<Receiver>,
        limit: Duration,
    ) -> Result<TimedConnection, LockError> {
        let address = self.primary().await?;
        let mut connection = self.to_servers.at(&address).within(limit).connect(receiver).await?;
        let role: Vec<redis::Value> = connection.query(&redis::cmd("ROLE")).await.map_err(classify)?;
        match role.first() {
            Some(redis::Value::BulkString(role)) if role == b"master" => Ok(connection),
            _ => Err(unavailable(format!("{address} is named as the primary, but is a replica still"))),
        }
    }

    /// The first answer of a sentinel that knows the service.
    async fn primary(&self) -> Result<Address, LockError> {
        let sentinels = self.addresses.lock().clone();
        let mut failure = unavailable("no sentinel is named");
        for sentinel in sentinels {
            match self.ask(&sentinel).await {
                Ok(primary) => {
                    self.prefer(&sentinel);
                    return Ok(primary);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn ask(&self, sentinel: &Address) -> Result<Address, LockError> {
        let mut connection = self.to_sentinels.at(sentinel).connect(None).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let answer: Option<(String, u16)> = connection.query(&question).await.map_err(classify)?;
        let (host, port) = answer.ok_or_else(|| self.unknown(sentinel))?;
        Ok(Address { host, port })
    }

    fn unknown(&self, sentinel: &Address) -> LockError {
        let detail = format!("the sentinel {sentinel} knows no primary called {:?}", self.service);
        LockError::new(ErrorKind::InvalidOption, detail)
    }

    fn prefer(&self, sentinel: &Address) {
        let mut addresses = self.addresses.lock();
        let at = addresses.iter().position(|address| address == sentinel).unwrap_or_default();
        if let Some(before) = addresses.get_mut(..=at) {
            before.rotate_right(1);
        }
    }
}

fn unavailable(detail: impl Into<std::borrow::Cow<'static, str>>) -> LockError {
    LockError::new(ErrorKind::Unavailable, detail)
}

//! Finding the primary by asking sentinels.

use super::address::Address;
use super::address_map::AddressMap;
use super::connector::Connector;
use super::sentinel_answers::{Candidate, SentinelAnswers, tied, with_last};
use super::timed::TimedConnection;
use crate::backend::redis::access::Limits;
use crate::backend::redis::failure::classify;
use crate::backend::redis::notifications::{Broken, Receiver};
use crate::error::{ErrorKind, LockError};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use parking_lot::Mutex;
use redis::{Cmd, Value};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

/// The sentinels that watch one primary.
pub(crate) struct Sentinels {
    /// Those that were wrong come last.
    addresses: Mutex<Vec<Address>>,
    /// What the sentinels call the primary.
    service: String,
    /// Where the servers are reached that they name.
    address_map: AddressMap,
    to_sentinels: Connector,
    to_servers: Connector,
}

impl Sentinels {
    pub(crate) fn new(
        addresses: Vec<Address>,
        service: String,
        address_map: AddressMap,
        to_sentinels: Connector,
        to_servers: Connector,
    ) -> Self {
        Self { addresses: Mutex::new(addresses), service, address_map, to_sentinels, to_servers }
    }

    /// How long the parts of a request to a server may take.
    pub(super) fn limits(&self) -> Limits {
        self.to_servers.limits
    }

    /// What to call the primary, wherever it is.
    pub(super) fn name(&self) -> String {
        format!("sentinels of {}", self.service)
    }

    /// How many sentinels there are.
    pub(super) fn count(&self) -> usize {
        self.addresses.lock().len()
    }

    /// A connection to the server that most sentinels call the primary and that calls itself one. Right after a failover
    /// the old primary does so too, until it is told. What the server sends unasked goes to the receiver that `receiver`
    /// makes. Its flag is set when the connection has failed.
    pub(super) async fn connect_to_primary(
        &self,
        receiver: impl Fn(&Broken) -> Option<Receiver>,
        limit: Duration,
    ) -> Result<(TimedConnection, Broken), LockError> {
        let sentinels = self.addresses.lock().clone();
        let answers = self.ask_all(&sentinels).await;
        let mut failure = None;
        for Candidate { address, .. } in self.candidates(&sentinels, &answers).await {
            let (server, broken) = (self.address_map.reach(&address)?, Broken::default());
            let connector = self.to_servers.at(&server).within(limit);
            let mut connection = connector.connect(receiver(&broken)).await?;
            if is_primary(&mut connection).await? {
                self.move_to_the_end(&sentinels, &answers.wrong(&address));
                return Ok((connection, broken));
            }
            failure.get_or_insert_with(|| replica_still(&server));
        }
        Err(failure.unwrap_or_else(|| answers.failure()))
    }

    /// The answers, until enough have come to decide. All sentinels are asked at once, so one that hangs costs no more
    /// than its own limit, and usually nothing.
    async fn ask_all(&self, sentinels: &[Address]) -> SentinelAnswers {
        let ask = |(place, sentinel)| async move { (place, self.ask_for_primary(sentinel).await) };
        let mut asking: FuturesUnordered<_> = sentinels.iter().enumerate().map(ask).collect();
        let mut answers = SentinelAnswers::of(sentinels.len());
        while let Some((place, answer)) = asking.next().await {
            answers.note(place, answer);
            if answers.are_decisive() {
                break;
            }
        }
        answers
    }

    async fn ask_for_primary(&self, sentinel: &Address) -> Result<Address, LockError> {
        let mut connection = self.to_sentinels.at(sentinel).connect(None).await?;
        let question = self.question("GET-MASTER-ADDR-BY-NAME");
        let answer: Option<(String, u16)> = connection.query(&question).await.map_err(classify)?;
        answer.and_then(|(host, port)| Address::of(&host, port)).ok_or_else(|| self.unknown(sentinel))
    }

    fn question(&self, subcommand: &str) -> Cmd {
        redis::cmd("SENTINEL").arg(subcommand).arg(&self.service).take()
    }

    /// The servers that may be the primary, the likeliest first. If two are named by equally many sentinels, the later
    /// failover counts.
    async fn candidates(&self, sentinels: &[Address], answers: &SentinelAnswers) -> Vec<Candidate> {
        let mut candidates = answers.candidates();
        let tied = tied(&candidates);
        if let (2.., Some(first)) = (tied, candidates.get_mut(..tied)) {
            let epochs = first.iter().map(|candidate| self.latest_epoch(sentinels, candidate));
            let mut told_apart: Vec<_> = join_all(epochs).await.into_iter().zip(first.to_vec()).collect();
            told_apart.sort_by_key(|(epoch, _)| Reverse(*epoch));
            first.iter_mut().zip(told_apart).for_each(|(place, (_, candidate))| *place = candidate);
        }
        candidates
    }

    /// The number of the failover that made it the primary, as far as those that name it tell.
    async fn latest_epoch(&self, sentinels: &[Address], candidate: &Candidate) -> u64 {
        let named_by = candidate.named_by.iter().filter_map(|place| sentinels.get(*place));
        let epochs = join_all(named_by.map(|sentinel| self.ask_for_epoch(sentinel))).await;
        epochs.into_iter().flatten().max().unwrap_or_default()
    }

    async fn ask_for_epoch(&self, sentinel: &Address) -> Option<u64> {
        let mut connection = self.to_sentinels.at(sentinel).connect(None).await.ok()?;
        let fields: HashMap<String, String> = connection.query(&self.question("MASTER")).await.ok()?;
        fields.get("config-epoch")?.parse().ok()
    }

    fn unknown(&self, sentinel: &Address) -> LockError {
        let detail = format!("the sentinel {sentinel} knows no primary called {:?}", self.service);
        LockError::new(ErrorKind::InvalidOption, detail)
    }

    fn move_to_the_end(&self, sentinels: &[Address], wrong: &[usize]) {
        if wrong.is_empty() {
            return;
        }
        let wrong: Vec<_> = wrong.iter().filter_map(|place| sentinels.get(*place)).cloned().collect();
        let named = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        tracing::warn!(
            backend = "redis",
            sentinels = named,
            "these sentinels still name another server than the primary; they are asked last from now on"
        );
        let mut addresses = self.addresses.lock();
        *addresses = with_last(&addresses, &wrong);
    }
}

async fn is_primary(connection: &mut TimedConnection) -> Result<bool, LockError> {
    let role: Vec<Value> = connection.query(&redis::cmd("ROLE")).await.map_err(classify)?;
    Ok(matches!(role.first(), Some(Value::BulkString(role)) if role == b"master"))
}

fn replica_still(server: &Address) -> LockError {
    let detail = format!("{server} is named as the primary, but is still a replica");
    LockError::new(ErrorKind::Unavailable, detail)
}

//! The only code that calls the scripts of the queue: one typed function for each.

use super::batch::{BatchOp, BatchTurn, Batches};
use super::caller::Caller;
use super::inspection::{self, InspectReply};
use super::keys::{Keys, Naming};
use super::number::GrantNumber;
use super::replies::{AcquireReply, answer, number, strange};
use super::script_options::{Gap, ScriptOptions};
use super::scripts::{self, Script};
use super::servers::{Reply, Route, Servers};
use super::wire::millis;
use crate::error::LockError;
use redis::{Cmd, FromRedisValue, Value};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Calls the scripts.
pub(super) struct Calls {
    pub(super) servers: Arc<Servers>,
    pub(super) naming: Naming,
    /// How long a server may say that it cannot for the moment.
    pub(super) limit: Duration,
    pub(super) options: ScriptOptions,
    /// Where the keys of several locks may stand in one call.
    pub(super) batches: Option<Batches>,
}

impl Calls {
    pub(super) async fn acquire(
        &self,
        caller: Caller<'_>,
        wait: bool,
    ) -> Result<Reply<AcquireReply>, LockError> {
        let route = self.servers.route();
        let turn = self.turn(&route, BatchOp::Acquire, caller).await?;
        if let BatchTurn::Done(Reply { value, repeated }) = turn {
            return Ok(Reply { value: AcquireReply::Granted(number(value)?), repeated });
        }
        let prefix = self.servers.channel_prefix(caller.keys.lock());
        let arguments = |command: &mut Cmd| {
            command.arg(caller.owner).arg(caller.ttl_ms);
            if prefix.is_some() || self.options != ScriptOptions::default() {
                let ScriptOptions { barging, quarantine, .. } = self.options;
                command.arg(u8::from(wait)).arg(u8::from(barging));
                command.arg(prefix.as_deref().unwrap_or("")).arg(millis(quarantine));
            } else if !wait {
                command.arg(0);
            }
        };
        let (counter, marker) = self.shared(caller.keys, prefix.is_some());
        let keys = all(caller.keys, &counter, marker.as_deref());
        let reply = self.run::<Value>(&route, &scripts::ACQUIRE, &keys, arguments).await;
        let reply = reply.map_err(|error| turn.failed(error))?;
        Ok(Reply { value: answer(&reply.value)?, repeated: reply.repeated || turn.is_in_doubt() })
    }

    /// Whether the owner had the lock. `late_ms` is for how long a request of the owner may still be under
    /// way.
    pub(super) async fn release(&self, caller: Caller<'_>, late_ms: u64) -> Result<Reply<bool>, LockError> {
        let route = self.servers.route();
        let turn = match late_ms {
            0 => self.turn(&route, BatchOp::Release, caller).await?,
            _ => BatchTurn::ALONE,
        };
        if let BatchTurn::Done(Reply { repeated, .. }) = turn {
            return Ok(Reply { value: true, repeated });
        }
        let prefix = self.servers.channel_prefix(caller.keys.lock());
        let arguments = |command: &mut Cmd| {
            command.arg(caller.owner);
            if prefix.is_some() || self.options != ScriptOptions::default() {
                let ScriptOptions { barging, quarantine, gap } = self.options;
                command.arg(late_ms).arg(u8::from(barging));
                command.arg(prefix.as_deref().unwrap_or("")).arg(millis(quarantine));
                let Gap { between, length } = gap.unwrap_or(NO_GAP);
                command.arg(millis(between)).arg(millis(length));
            } else if late_ms > 0 {
                command.arg(late_ms);
            }
        };
        let (counter, marker) = self.shared(caller.keys, prefix.is_some());
        let keys = all(caller.keys, &counter, marker.as_deref());
        let reply: Reply<bool> = self.run(&route, &scripts::RELEASE, &keys, arguments).await?;
        Ok(Reply { repeated: reply.repeated || turn.is_in_doubt(), ..reply })
    }

    /// Whether the owner has the lock.
    pub(super) async fn renew(&self, caller: Caller<'_>) -> Result<bool, LockError> {
        let route = self.servers.route();
        let turn = self.turn(&route, BatchOp::Renew, caller).await?;
        if let BatchTurn::Done(_) = turn {
            return Ok(true);
        }
        let arguments = |command: &mut Cmd| _ = command.arg(caller.owner).arg(caller.ttl_ms);
        Ok(self.run(&route, &scripts::RENEW, &[caller.keys.lock()], arguments).await?.value)
    }

    /// Who has the lock, the first `many` waiters, and how many are ahead of `owner`.
    pub(super) async fn inspect(
        &self,
        keys: &Keys,
        many: usize,
        owner: Option<&str>,
    ) -> Result<InspectReply, LockError> {
        let [lock, queue, _] = keys.all();
        let arguments = |command: &mut Cmd| _ = command.arg(many).arg(owner);
        let reply = self.run::<Value>(&Route::Keeper, &scripts::INSPECT, &[lock, queue], arguments).await?;
        inspection::answer(&reply.value)
    }

    /// Takes the lock away from the holder with this number. The number that stands in its place, for how many ms at most the
    /// lock is closed, and the owner that it has now. `None` if there is no such holder.
    pub(super) async fn force(
        &self,
        keys: &Keys,
        number: GrantNumber,
    ) -> Result<Option<(u64, u64, String)>, LockError> {
        let prefix = self.servers.channel_prefix(keys.lock());
        let arguments = |command: &mut Cmd| _ = command.arg(number.as_u64()).arg(prefix.as_deref());
        let (counter, _) = self.shared(keys, prefix.is_some());
        let [lock, queue, _] = keys.all();
        let reply =
            self.run::<Value>(&Route::Keeper, &scripts::FORCE, &[lock, queue, &counter], arguments).await?;
        match &reply.value {
            Value::Array(values) if values.is_empty() => Ok(None),
            value => redis::from_redis_value_ref(value).map(Some).map_err(|_| strange()),
        }
    }

    /// To be kept until the request is answered, so that it counts among those under way.
    async fn turn(&self, route: &Route, errand: BatchOp, caller: Caller<'_>) -> Result<BatchTurn, LockError> {
        match &self.batches {
            Some(batches) if !self.naming.is_by_slot() => batches.turn(route, errand, caller).await,
            _ => Ok(BatchTurn::ALONE),
        }
    }

    /// The keys that locks share: the counter, and with a quarantine the marker.
    fn shared(&self, keys: &Keys, in_cluster: bool) -> (Cow<'static, [u8]>, Option<Vec<u8>>) {
        let marker = || self.naming.marker(keys.lock(), in_cluster);
        let has_marker = !self.options.quarantine.is_zero();
        (self.naming.counter(keys.lock(), in_cluster), has_marker.then(marker))
    }

    async fn run<T: FromRedisValue>(
        &self,
        route: &Route,
        script: &Script,
        keys: &[&[u8]],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Reply<T>, LockError> {
        Ok(Box::pin(self.servers.run(route, self.limit, script, keys, arguments)).await?)
    }
}

/// In the order of `keys.lua`.
fn all<'a>(keys: &'a Keys, counter: &'a [u8], marker: Option<&'a [u8]>) -> Vec<&'a [u8]> {
    let [lock, queue, marks] = keys.all();
    [lock, queue, counter, marks].into_iter().chain(marker).collect()
}

const NO_GAP: Gap = Gap { between: Duration::ZERO, length: Duration::ZERO };

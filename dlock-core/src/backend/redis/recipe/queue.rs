//! The recipes with a queue: fair, and barging.

use crate::backend::redis::caller::Caller;
use crate::backend::redis::in_flight::InFlight;
use crate::backend::redis::inspection::inspection;
use crate::backend::redis::keys::Keys;
use crate::backend::redis::listing::ScanPlace;
use crate::backend::redis::notifications::{KeyWatch, Pushes, Stray};
use crate::backend::redis::number::GrantNumber;
use crate::backend::redis::outcome::{AskOutcome, HeldByOther};
use crate::backend::redis::outcome::{grant, not_owner};
use crate::backend::redis::replies::AcquireReply;
use crate::backend::redis::script_calls::Calls;
use crate::backend::redis::servers::{Reply, tag_in_slot};
use crate::backend::redis::wire::{OwnerText, millis};
use crate::backend::{
    Claim, ClientKind, ForcedRelease, Inspection, ListCursor, ListedLock, LockPage, Mode, Reopening, admin,
};
use crate::error::{ErrorKind, LockError};
use crate::key::LockKey;
use crate::lease::{FencingToken, Ttl};
use crate::time::Moment;
use futures_util::future::join_all;
use redis::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Locks whose waiters stand in a queue at the server.
pub(crate) struct Queue {
    calls: Calls,
    pushes: Arc<Pushes>,
    pub(crate) in_flight: InFlight,
    /// Set once the server refused to tell when a key changes.
    cannot_watch: AtomicBool,
}

impl Queue {
    pub(crate) fn new(calls: Calls, pushes: Arc<Pushes>, in_flight: InFlight) -> Self {
        Self { calls, pushes, in_flight, cannot_watch: AtomicBool::new(false) }
    }

    /// Asks once. A waiter enters the queue only if its process can hear of a hand-off. In a new slot of a cluster the
    /// first question comes before that is ensured, since most locks are free.
    pub(crate) async fn ask(&self, claim: &Claim, mode: Mode) -> Result<AskOutcome, LockError> {
        let keys = self.keys(claim)?;
        self.check_ttl(claim)?;
        if mode == Mode::Wait && !self.calls.servers.hears(keys.lock()) {
            return Box::pin(self.ask_in_new_slot(&keys, claim)).await;
        }
        self.ask_once(&keys, claim, mode).await
    }

    fn keys(&self, claim: &Claim) -> Result<Keys, LockError> {
        self.calls.naming.keys(&claim.key)
    }

    async fn ask_in_new_slot(&self, keys: &Keys, claim: &Claim) -> Result<AskOutcome, LockError> {
        match self.ask_once(keys, claim, Mode::Try).await? {
            AskOutcome::Held { .. } => self.calls.servers.listen(keys.lock()).await?,
            settled => return Ok(settled),
        }
        self.ask_once(keys, claim, Mode::Wait).await
    }

    /// A lease longer than the quarantine could still be valid when the quarantine is over.
    fn check_ttl(&self, claim: &Claim) -> Result<(), LockError> {
        let quarantine = self.calls.options.quarantine;
        if quarantine.is_zero() || claim.ttl.as_duration() <= quarantine {
            return Ok(());
        }
        let detail = format!("the ttl is longer than the backend's quarantine of {quarantine:?}");
        Err(LockError::new(ErrorKind::InvalidOption, detail))
    }

    async fn ask_once(&self, keys: &Keys, claim: &Claim, mode: Mode) -> Result<AskOutcome, LockError> {
        let owner = self.pushes.inbox.owner(claim);
        let sent = Moment::now();
        let request = self.in_flight.begin(claim, sent);
        let caller = Caller { keys, owner: &owner, ttl_ms: claim.ttl.as_millis() };
        let asked = self.calls.acquire(caller, mode == Mode::Wait).await;
        let has_left = if leaves_nothing_under_way(&asked) { !request.settle() } else { false };
        let reply = asked?;
        match reply.value {
            _ if has_left => Err(given_up()),
            AcquireReply::Granted(number) => {
                Ok(AskOutcome::Granted(grant(number, claim.ttl.valid_until(sent))))
            }
            AcquireReply::Held(held) => Ok(AskOutcome::Held { held, sent }),
            AcquireReply::Quarantined(left) => Ok(AskOutcome::Quarantined(left)),
            AcquireReply::GivenUp => Err(given_up()),
        }
    }

    /// Makes the server tell when the key of a silent holder changes. Otherwise the waiter has to ask, or the key has
    /// changed already.
    pub(crate) async fn watch<'a>(&'a self, claim: &Claim, held: &HeldByOther) -> Watching<'a> {
        if !held.first || !held.silent || self.cannot_watch.load(Ordering::Relaxed) {
            return Watching::Not;
        }
        let Ok(keys) = self.keys(claim) else { return Watching::Not };
        let watch = self.pushes.watch(keys.lock(), claim.owner);
        match self.read_watched(keys.lock()).await {
            Ok(Value::Nil) => Watching::Changed,
            Ok(_) => Watching::Until(watch),
            Err(error) => {
                if error.kind() == ErrorKind::Auth || error.kind() == ErrorKind::Unsupported {
                    self.cannot_watch.store(true, Ordering::Relaxed);
                    tracing::warn!(
                        backend = "redis",
                        %error,
                        "the account may not use CLIENT TRACKING to hear of other clients' releases; dlock \
                         asks every 100 ms instead"
                    );
                }
                Watching::Not
            }
        }
    }

    /// Reads the key so that the server tells of its next change. The three commands travel together, since the second
    /// is about the next command only.
    async fn read_watched(&self, key: &[u8]) -> Result<Value, LockError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN").ignore();
        pipeline.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
        pipeline.cmd("GET").arg(key);
        let reply = self.calls.servers.call::<(Value,)>(key, &pipeline, self.calls.limit).await?;
        Ok(reply.value.0)
    }

    /// The holder and the waiters of a lock. With an asker only the holder, and the asker's place.
    pub(crate) async fn inspect(
        &self,
        key: &LockKey,
        asker: Option<&Claim>,
    ) -> Result<Inspection, LockError> {
        let keys = self.calls.naming.keys(key)?;
        let owner = asker.map(|claim| self.pushes.inbox.owner(claim));
        let many = if asker.is_some() { 0 } else { MOST_NAMED };
        let reply = self.calls.inspect(&keys, many, owner.as_deref()).await?;
        Ok(inspection(&reply))
    }

    /// Some of the locks that are held, told by what they hold.
    pub(crate) async fn list(&self, prefix: &[u8], from: Option<&ListCursor>) -> Result<LockPage, LockError> {
        let place = match from {
            Some(cursor) => ScanPlace::parse(cursor).ok_or_else(strange_cursor)?,
            None => ScanPlace { slot: self.calls.servers.first_primary().await?, cursor: 0 },
        };
        let scan = place.scan(&self.calls.naming.locks_from(prefix));
        let near = tag_in_slot(place.slot).to_string();
        let reply =
            self.calls.servers.call::<(u64, Vec<Vec<u8>>)>(near.as_bytes(), &scan, self.calls.limit).await?;
        let (cursor, names) = reply.value;
        let listed = join_all(names.iter().map(|name| self.listed(name))).await;
        let locks = listed.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        let next = match cursor {
            0 => self.calls.servers.next_primary(place.slot).map(|slot| ScanPlace { slot, cursor: 0 }),
            cursor => Some(ScanPlace { cursor, ..place }),
        };
        Ok(LockPage::new(locks, next.map(ScanPlace::to_cursor)))
    }

    /// The lock with this name at the server, if dlock has it. What the account may not read is none.
    async fn listed(&self, name: &[u8]) -> Result<Option<ListedLock>, LockError> {
        let Some(key) = self.calls.naming.key_of(name) else { return Ok(None) };
        let get = redis::cmd("GET").arg(name).take();
        let value = self.calls.servers.call::<Vec<u8>>(name, &get, self.calls.limit).await;
        let is_ours = match value.map_err(LockError::from) {
            Ok(reply) => OwnerText::of_holder(&reply.value).is_some(),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(_) => false,
        };
        if !is_ours {
            return Ok(None);
        }
        let seen = self.calls.inspect(&self.calls.naming.keys_at(name), 0, None).await?;
        let holder = inspection(&seen).holders.pop();
        Ok(holder.map(|holder| ListedLock::new(key, holder)))
    }

    /// Takes the lock away from the holder with this token. For the one that is to be opened now it leaves in the holder's place.
    pub(crate) async fn force_release(
        &self,
        key: &LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> Result<ForcedRelease, LockError> {
        let keys = self.calls.naming.keys(key)?;
        let number = GrantNumber::of_token(token);
        let Some((fence, left_ms, owner)) = self.calls.force(&keys, number).await? else {
            return Err(self.not_forced(key).await);
        };
        let fence = GrantNumber::new(fence).token();
        if reopening == Reopening::Confirmed {
            return Ok(ForcedRelease::new(fence, Duration::from_millis(left_ms)));
        }
        let caller = Caller { keys: &keys, owner: &owner, ttl_ms: 0 };
        self.calls.release(caller, 0).await?;
        Ok(ForcedRelease::new(fence, Duration::ZERO))
    }

    /// Why there was nothing to take away.
    async fn not_forced(&self, key: &LockKey) -> LockError {
        let seen = self.inspect(key, None).await.unwrap_or_default();
        match seen.holders.first().map(|holder| holder.client) {
            Some(ClientKind::Foreign) => LockError::new(
                ErrorKind::Unsupported,
                "a client of another library holds the lock; end that client, or delete the key by hand",
            ),
            _ => admin::not_held_under_it(),
        }
    }

    /// Makes an owner leave that was granted a lock, though it is not known here.
    pub(crate) async fn give_back(&self, stray: Stray) -> Result<(), LockError> {
        let keys = self.calls.naming.keys_at(&stray.key);
        let caller = Caller { keys: &keys, owner: &stray.owner, ttl_ms: 0 };
        self.calls.release(caller, 0).await.map(drop)
    }

    /// Whether a request of this owner may still be under way.
    pub(crate) fn is_in_doubt(&self, claim: &Claim) -> bool {
        self.in_flight.is_in_doubt(claim.owner, Moment::now())
    }

    /// How many owners may still have a request under way.
    pub(crate) fn in_doubt(&self) -> usize {
        self.in_flight.len(Moment::now())
    }

    pub(crate) async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let (keys, owner, sent) = (self.keys(claim)?, self.pushes.inbox.owner(claim), Moment::now());
        let caller = Caller { keys: &keys, owner: &owner, ttl_ms: claim.ttl.as_millis() };
        let renewed = self.calls.renew(caller).await?;
        renewed.then(|| claim.ttl.valid_until(sent)).ok_or_else(not_owner)
    }

    /// Makes the owner leave. While a request of it is open, or may still be under way, it leaves a mark, so that what
    /// comes late is refused.
    pub(crate) async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let (keys, owner) = (self.keys(claim)?, self.pushes.inbox.owner(claim));
        let leaving = self.in_flight.leave(claim, Moment::now());
        let late_ms = if leaving.is_in_doubt() { millis(mark(claim.ttl, self.calls.limit)) } else { 0 };
        let caller = Caller { keys: &keys, owner: &owner, ttl_ms: claim.ttl.as_millis() };
        let reply = self.calls.release(caller, late_ms).await?;
        leaving.confirmed();
        // Sent twice, the second copy finds what the first one left.
        (reply.value || reply.repeated).then_some(()).ok_or_else(not_owner)
    }
}

/// How many waiters are listed at most.
const MOST_NAMED: usize = 1_000;

fn strange_cursor() -> LockError {
    LockError::new(ErrorKind::InvalidOption, "the cursor is none of this backend; begin the list anew")
}

fn given_up() -> LockError {
    LockError::new(ErrorKind::Lost, "the acquisition was already given up")
}

/// How long a mark lasts. A request that comes after the mark costs one lease, so the mark lasts at least that long. It
/// lasts longer if the limit of a request is long. For one limit the request's connection counts as sound, and its
/// bytes may be on their way. For another limit the same holds for the connection of the second copy.
fn mark(ttl: Ttl, limit: Duration) -> Duration {
    ttl.as_duration().max(limit.saturating_mul(2))
}

/// Whether the request was answered in its only copy, or was never sent.
fn leaves_nothing_under_way<T>(asked: &Result<Reply<T>, LockError>) -> bool {
    match asked {
        Ok(reply) => !reply.repeated,
        Err(error) => error.leaves_nothing(),
    }
}

/// Whether the server will tell of a change.
pub(crate) enum Watching<'a> {
    Not,
    Until(#[expect(dead_code, reason = "it is watched for as long as this lives")] KeyWatch<'a>),
    /// The change has come already.
    Changed,
}

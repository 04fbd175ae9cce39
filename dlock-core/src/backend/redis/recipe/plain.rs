//! The recipe for servers that forbid scripts or publishing.

use crate::backend::expiring_map::{ExpiringMap, memory};
use crate::backend::redis::keys::Naming;
use crate::backend::redis::number::GrantNumber;
use crate::backend::redis::outcome::not_owner;
use crate::backend::redis::outcome::{AskOutcome, HeldByOther};
use crate::backend::redis::replies::{number, strange};
use crate::backend::redis::scripts;
use crate::backend::redis::servers::{Asking, CallError, Exclusive, Job, Servers};
use crate::backend::redis::servers::{TimedConnection, Transaction};
use crate::backend::redis::wire::Inbox;
use crate::backend::{Claim, Grant};
use crate::error::LockError;
use crate::lease::FencingToken;
use crate::time::Moment;
use parking_lot::Mutex;
use redis::{Cmd, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Locks that are a string key and nothing else.
pub(crate) struct PlainRecipe {
    servers: Arc<Servers>,
    inbox: Inbox,
    naming: Naming,
    limit: Duration,
    exclusive: Arc<Exclusive>,
    /// The tokens of the locks that this process holds.
    tokens: Mutex<ExpiringMap<FencingToken>>,
    /// Which of [`REMOVALS`] and [`RENEWALS`] the server is known to refuse: those before these.
    removal: AtomicUsize,
    renewal: AtomicUsize,
}

/// A way to change the key if the owner has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `DELEX key IFEQ value`, Redis 8.4 and Valkey 9.2.
    Delex,
    /// `DELIFEQ key value`, Valkey 9.0.
    DelIfEq,
    /// `SET key value IFEQ value PX ttl`, Redis 8.4 and Valkey 8.1.
    SetIfEq,
    Script,
    /// A transaction on a connection of its own.
    Watch,
}

/// The best way first. The last one works on every server.
const REMOVALS: &[Way] = &[Way::Delex, Way::DelIfEq, Way::Script, Way::Watch];
const RENEWALS: &[Way] = &[Way::SetIfEq, Way::Script, Way::Watch];

impl PlainRecipe {
    pub(crate) fn new(servers: Arc<Servers>, inbox: Inbox, naming: Naming, limit: Duration) -> Self {
        let (removal, renewal) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (exclusive, tokens) = (Exclusive::new(limit), Mutex::default());
        Self { servers, inbox, naming, limit, exclusive, tokens, removal, renewal }
    }

    /// Asks once. The transaction makes the token younger than every token handed out before it, and older
    /// than every one after. An owner that has the lock already keeps its token, and is renewed.
    pub(crate) async fn ask(&self, claim: &Claim) -> Result<AskOutcome, LockError> {
        let known = self.tokens.lock().get(claim.owner).copied();
        if let Some(token) = known {
            let valid_until = self.renew(claim).await.map_err(LockError::after_a_request)?;
            return Ok(AskOutcome::Granted(Grant::new(token, valid_until)));
        }
        let (keys, owner, sent) = (self.naming.keys(&claim.key)?, self.inbox.owner(claim), Moment::now());
        let ttl_ms = claim.ttl.as_millis();
        let transaction = Transaction::default()
            .with(cmd("SET").arg(keys.lock()).arg(&owner).arg("NX").arg("PX").arg(ttl_ms).take())
            .with(cmd("GET").arg(keys.lock()).take())
            .with(cmd("PTTL").arg(keys.lock()).take())
            .with(cmd("TIME"));
        let reply = self.servers.call(keys.lock(), &transaction, self.limit).await?;
        let (_, holder, left_ms, (seconds, micros)): (Value, Vec<u8>, i64, (i64, i64)) = reply.value;
        if holder == owner.as_bytes() {
            let micros = seconds.checked_mul(1_000_000).and_then(|whole| whole.checked_add(micros));
            let (token, valid_until) =
                (number(micros.ok_or_else(strange)?)?.token(), claim.ttl.valid_until(sent));
            self.tokens.lock().set(claim.owner, token, remembered_until(claim, sent), sent);
            return Ok(AskOutcome::Granted(Grant::new(token, valid_until)));
        }
        let expires_in = u64::try_from(left_ms).ok().map(Duration::from_millis);
        let held = HeldByOther { expires_in, first: true, silent: true, last: GrantNumber::NONE };
        Ok(AskOutcome::Held { held, sent })
    }

    /// How many owners hold a lock, as far as is known.
    pub(crate) fn remembered(&self) -> usize {
        self.tokens.lock().len(Moment::now())
    }

    pub(crate) async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        let sent = Moment::now();
        if !self.change(RENEWALS, &self.renewal, claim).await? {
            return Err(not_owner());
        }
        let mut tokens = self.tokens.lock();
        if let Some(token) = tokens.get(claim.owner).copied() {
            tokens.set(claim.owner, token, remembered_until(claim, sent), sent);
        }
        Ok(claim.ttl.valid_until(sent))
    }

    pub(crate) async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let released = self.change(REMOVALS, &self.removal, claim).await?;
        self.tokens.lock().remove(claim.owner);
        released.then_some(()).ok_or_else(not_owner)
    }

    /// Changes the key, if the owner has it, in the best way that the server allows.
    async fn change(&self, ways: &[Way], refused: &AtomicUsize, claim: &Claim) -> Result<bool, LockError> {
        let keys = self.naming.keys(&claim.key)?;
        let change = Change { key: keys.lock(), owner: &self.inbox.owner(claim), claim };
        loop {
            let at = refused.load(Ordering::Relaxed);
            let way = ways.get(at).copied().unwrap_or(Way::Watch);
            match self.change_by(way, &change, ways == REMOVALS).await {
                Err(CallError::Redis(cause)) if way != Way::Watch && is_refused(&cause) => {
                    refused.store(at + 1, Ordering::Relaxed);
                }
                outcome => return Ok(outcome?),
            }
        }
    }

    async fn change_by(&self, way: Way, change: &Change<'_>, remove: bool) -> Result<bool, CallError> {
        let command = match way {
            Way::Delex => cmd("DELEX").arg(change.key).arg("IFEQ").arg(change.owner).take(),
            Way::DelIfEq => cmd("DELIFEQ").arg(change.key).arg(change.owner).take(),
            Way::SetIfEq => {
                let (owner, ttl_ms) = (change.owner, change.claim.ttl.as_millis());
                let mut set = cmd("SET");
                set.arg(change.key).arg(owner).arg("IFEQ").arg(owner).arg("PX").arg(ttl_ms).take()
            }
            Way::Script if remove => scripts::REMOVE.by_text(&[change.key]).arg(change.owner).take(),
            Way::Script => {
                let mut script = scripts::RENEW.by_text(&[change.key]);
                script.arg(change.owner).arg(change.claim.ttl.as_millis()).take()
            }
            Way::Watch => {
                let transaction = WatchAndChange::new(change, remove);
                let outcome = self.exclusive.run(&self.servers, change.key, transaction).await;
                return outcome.map_err(CallError::Failed);
            }
        };
        self.servers.call(change.key, &command, self.limit).await.map(|reply| reply.value)
    }
}

/// At least for as long as the key can be there, which is longer than the lease is believed in.
fn remembered_until(claim: &Claim, sent: Moment) -> Moment {
    sent.after(memory(claim.ttl))
}

struct Change<'a> {
    key: &'a [u8],
    owner: &'a str,
    claim: &'a Claim,
}

/// Whether the server does not know the command, or forbids it.
fn is_refused(cause: &RedisError) -> bool {
    let kind = cause.kind();
    kind == ServerErrorKind::NoPerm.into() || kind == ServerErrorKind::ResponseError.into()
}

/// Compares and changes in two requests. If any client changes the key in between, the second does nothing.
struct WatchAndChange {
    key: Vec<u8>,
    owner: String,
    /// What is done if the owner has the key.
    command: Cmd,
}

impl Job for WatchAndChange {
    type Output = bool;

    async fn run(&self, connection: &mut TimedConnection, asking: Asking) -> RedisResult<bool> {
        if self.watch(connection, asking).await?.as_deref() != Some(self.owner.as_bytes()) {
            cmd("UNWATCH").exec_async(connection).await?;
            return Ok(false);
        }
        // Nothing, if the key changed: then it is another owner's, or free.
        let done: Option<(bool,)> =
            Transaction::default().with(self.command.clone()).send(connection, asking).await?;
        Ok(done.is_some_and(|(done,)| done))
    }
}

impl WatchAndChange {
    fn new(change: &Change<'_>, remove: bool) -> Self {
        let command = match remove {
            true => cmd("DEL").arg(change.key).take(),
            false => cmd("PEXPIRE").arg(change.key).arg(change.claim.ttl.as_millis()).take(),
        };
        Self { key: change.key.to_vec(), owner: change.owner.to_owned(), command }
    }

    /// Watches the key, and reads it after that.
    async fn watch(&self, connection: &mut TimedConnection, asking: Asking) -> RedisResult<Option<Vec<u8>>> {
        let mut look = asking.pipeline();
        look.cmd("WATCH").arg(&self.key).ignore();
        asking.precede(&mut look);
        look.cmd("GET").arg(&self.key);
        let (holder,) = look.query_async(connection).await?;
        Ok(holder)
    }
}

//! Acquiring, renewing and releasing. A recipe asks once; the waiting is done here.

use super::notifications::Pushes;
use super::number::GrantNumber;
use super::outcome::{AskOutcome, HeldByOther, grant};
use super::recipe::plain::PlainRecipe;
use super::recipe::queue::{Queue, Watching};
use super::recipe::timestamp::Timestamp;
use super::replicas::Replicas;
use crate::backend::answers::busy;
use crate::backend::start::Start;
use crate::backend::wakeups::Waiter;
use crate::backend::{AcquireRequest, Admin, Backend, BackendFuture, Claim, Grant, Mode, without_shares};
use crate::error::{ErrorKind, LockError, Operation};
use crate::guarantees::Guarantees;
use crate::key::Namespace;
use crate::lease::Ttl;
use crate::time::{Backoff, Moment, jittered, sleep};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Keeps the locks in Redis: one server, the primary that sentinels name, or a cluster.
///
/// The lock is the plain string key of the same name, so it excludes every client that locks with `SET key value NX
/// PX`. One script acquires and hands out the fencing token. Another releases, and grants the lock to the next waiter.
/// A push tells that waiter's process, on the connection that also carries the commands, so the waiter need not ask. In
/// case a push is lost, waiters also ask once a second. A free lock costs one command, its release another, and a
/// hand-off none for the waiter. Other ways to keep the lock are [recipes](super::Recipe).
///
/// The pattern is that of the [Redis documentation][pattern], with the queue, the token and the checks that it leaves
/// to the reader.
///
/// # Assumptions
/// Exclusion of valid guards holds while the server keeps its memory, its clock does not jump forward, and clocks
/// run at rates that differ by less than 1 %. A restart without `appendfsync always`, an eviction or a failover may
/// forget a lock. Replication is asynchronous, so even an acknowledged lock can be lost with the primary.
///
/// - With [`quarantine`](super::RedisBackendBuilder::quarantine), such a server grants nothing until every forgotten
///   lease is over. Then exclusion holds across restarts, and across failovers if the old primary stops accepting
///   writes (Redis 7.0 or newer, `min-replicas-to-write 1` and `min-replicas-max-lag`).
/// - [`require_replicas`](super::RedisBackendBuilder::require_replicas) makes the window smaller in which a failover
///   forgets a lock. It does not close it.
///
/// Fencing tokens rise across all of that, unless a server's clock had run ahead *and* its data was lost. In a
/// failover, the clocks of the two servers must differ by less than the time between the last grant of the one and the
/// first of the other. A quarantine makes that time long.
///
/// A dead holder's lock is free after its lease. A dead waiter is passed over if the server knows that its connection
/// is closed. If the network hid that, it costs one lease.
///
/// # In a cluster
/// The keys of one lock lie in one slot, whatever its bytes are. Hand-offs are told on shard channels: a process
/// subscribes to one for each slot it waits in. While a slot moves, leases in it are renewed, but no lock is granted.
/// With TLS the nodes must announce the names that their certificates carry (`cluster-preferred-endpoint-type
/// hostname`).
///
/// # Other clients
/// dlock waits for a lock that another library's client holds, even if it never expires. The server tells the first
/// waiter when the key changes. If the account has no right to that, the waiter asks every 100 ms. In the other
/// direction, a lock with waiters of dlock is never free, see [`foreign_gap`](super::RedisBackendBuilder::foreign_gap).
/// Keys that begin with `dlock:` are dlock's own, and so are those that hold a name such as `dlock:w:`. In a
/// [namespace](super::RedisBackendBuilder::namespace), other clients must lock the whole name: `shop:order:42`.
///
/// # Rights
/// An account needs the keys it locks and the keys `dlock:*`, the channels `dlock:i:*`, and no more commands
/// than these. With `namespace("shop:")` all keys and channels begin with it, and `~shop:* &shop:*` is enough:
///
/// ```text
/// ACL SETUSER dlock on >… resetkeys ~order:* ~dlock:* resetchannels &dlock:i:* -@all
///   +hello +auth +select +ping +script|load +evalsha +eval +get +mget +set +del +exists +pttl +pexpire
///   +zadd +zrem +zrange +zrank +zscore +zremrangebyscore +time +publish +subscribe +pubsub|numpat
///   +pubsub|numsub
/// ```
///
/// The locks work without the two rights to `pubsub`. Then a client that subscribes by pattern, such as a monitor
/// (`PSUBSCRIBE *`), hides that a waiter died, and the waiter costs one lease.
///
/// | also | for |
/// |---|---|
/// | `+info` | warnings and refusals when the backend is built, see [`trust_url`](super::RedisBackendBuilder::trust_url); needed for `quarantine` |
/// | `+client\|setname +client\|setinfo` | names in `CLIENT LIST` |
/// | `+client\|tracking +client\|caching` | being told of other clients' releases |
/// | `+role` | sentinels |
/// | `+cluster\|slots +asking +ssubscribe +spublish` | a cluster (without `+publish +subscribe` and `pubsub`) |
/// | `+wait` | `require_replicas` |
/// | `+scan` | [`LockManager::list`](crate::LockManager::list) |
///
/// [`Recipe::Plain`](super::Recipe::Plain) needs none of the scripts and channels, but `+set +get +pttl +time +multi +exec`, and
/// `+delex`, or `+eval`, or `+watch +unwatch +del +pexpire`.
///
/// # Connections
/// Connections are named `dlock:host:pid` in `CLIENT LIST`, and their library is `dlock`, where the server allows it.
///
/// Clones share the connections. A thread of the library makes and drives one, so callers need no runtime. A Tokio
/// runtime that sends many requests gets a second one of its own, see
/// [`caller_connections`](super::RedisBackendBuilder::caller_connections).
///
/// dlock notices a connection whose other end is gone without a word. The system probes all connections (TCP
/// keepalive). Of those that hear hand-offs, dlock pings its own thread's every 5 seconds. The first request after a minute without an
/// answer is special: if it is not answered within half of
/// [`request_timeout`](super::RedisBackendBuilder::request_timeout), it is sent again over a new connection.
///
/// The queue needs the protocol RESP3. Where a proxy refuses it, [`Recipe::Plain`](super::Recipe::Plain) works.
///
/// Needs Redis 6.2 or newer, in a cluster 7.0.
///
/// [pattern]: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
#[derive(Clone)]
pub struct RedisBackend(Arc<RedisLocks>);

/// What the clones of one backend value share.
pub(super) struct RedisLocks {
    pub(super) address: String,
    pub(super) start: Start,
    pub(super) pushes: Arc<Pushes>,
    pub(super) kept: Kept,
    pub(super) replicas: Option<Replicas>,
    pub(super) guarantees: Guarantees,
    pub(super) in_namespace: InNamespace,
}

/// Makes the same backend for a namespace within its own.
pub(super) type InNamespace = Box<dyn Fn(&Namespace) -> Result<RedisBackend, LockError> + Send + Sync>;

/// The way the locks are kept.
///
/// A future is as large as the largest thing it may ever wait for, and is moved about before it is first polled. So
/// here and below what is rarely waited for is boxed where it is.
pub(super) enum Kept {
    Queue(Queue),
    Plain(PlainRecipe),
    Timestamp(Timestamp),
}

impl Kept {
    /// How many owners this process remembers: those in doubt, or those that hold.
    fn remembered(&self) -> usize {
        match self {
            Self::Queue(queue) => queue.in_doubt(),
            Self::Plain(plain) => plain.remembered(),
            Self::Timestamp(timestamp) => timestamp.remembered(),
        }
    }
}

impl RedisBackend {
    pub(super) fn of(locks: Arc<RedisLocks>) -> Self {
        Self(locks)
    }

    async fn ask(&self, claim: &Claim, mode: Mode) -> Result<AskOutcome, LockError> {
        let asked = match &self.0.kept {
            Kept::Queue(queue) => queue.ask(claim, mode).await,
            Kept::Plain(plain) => Box::pin(plain.ask(claim)).await,
            Kept::Timestamp(timestamp) => Box::pin(timestamp.ask(claim)).await,
        };
        asked.map_err(|error| self.at_server(error))
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.0.kept
    }

    /// Names the server in an error that does not name one yet.
    pub(super) fn at_server(&self, error: LockError) -> LockError {
        error.with_server(&self.0.address)
    }

    /// Asks until granted. A push says that it is; the pauses are for the pushes that get lost, and each
    /// question is a sign of life.
    async fn wait(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let claim = &request.claim;
        let waiter = self.0.pushes.enter(claim.owner, request.loss());
        let mut pauses = failure_pauses();
        loop {
            let outcome = match self.ask(claim, Mode::Wait).await {
                Ok(AskOutcome::Granted(grant)) => self.confirm(claim, grant).await,
                Ok(AskOutcome::Held { held, sent }) => {
                    request.progress.queued();
                    pauses.reset();
                    match Box::pin(self.woken(&waiter, claim, &held, sent)).await {
                        Some(grant) => self.confirm(claim, grant).await,
                        None => continue,
                    }
                }
                Ok(AskOutcome::Quarantined(left)) => {
                    request.progress.failing(quarantined(left));
                    Box::pin(woken_or_after(&waiter, jittered(left.min(SIGN_OF_LIFE)))).await;
                    continue;
                }
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) => {
                    let pause = request.progress.ask_again(error, &mut pauses)?;
                    Box::pin(woken_or_after(&waiter, pause)).await;
                }
                granted => return granted,
            }
        }
    }

    /// Waits until it is worth while to ask again. The grant, if a push told of it.
    async fn woken(
        &self,
        waiter: &Waiter<'_, GrantNumber>,
        claim: &Claim,
        held: &HeldByOther,
        sent: Moment,
    ) -> Option<Grant> {
        let watching = match &self.0.kept {
            Kept::Queue(queue) => queue.watch(claim, held).await,
            Kept::Plain(_) | Kept::Timestamp(_) => Watching::Not,
        };
        let silent = held.silent && matches!(watching, Watching::Not);
        let pause = match watching {
            Watching::Changed => return None,
            Watching::Not | Watching::Until(_) => pause_before_next_question(held, silent),
        };
        let push = woken_or_after(waiter, pause).await;
        push.and_then(|number| believe(number, held.last, claim.ttl, sent, Moment::now()))
    }

    /// The grant, if it is still one, and acknowledged by as many replicas as are required; else it is undone.
    async fn confirm(&self, claim: &Claim, grant: Grant) -> Result<Grant, LockError> {
        if grant.valid_until <= Moment::now() {
            // Asked again, the owner is renewed, or told that it has lost the lock.
            return Err(too_late());
        }
        match &self.0.replicas {
            Some(replicas) => Box::pin(self.replicate(replicas, claim, grant)).await,
            None => Ok(grant),
        }
    }

    async fn replicate(&self, replicas: &Replicas, claim: &Claim, grant: Grant) -> Result<Grant, LockError> {
        match replicas.renew(claim).await {
            Ok(valid_until) => Ok(Grant { valid_until, ..grant }),
            Err(error) => {
                self.undo(claim).await.or_else(|error| match error.kind() {
                    ErrorKind::Lost => Ok(()),
                    _ => Err(error),
                })?;
                Err(error)
            }
        }
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        self.0.start.before(request).await?;
        if request.mode == Mode::Wait {
            return self.wait(request).await;
        }
        let outcome = self.ask(&request.claim, Mode::Try).await?;
        // What fails from here on fails after a request was sent.
        let granted = self.settle(&request.claim, outcome).await.map_err(LockError::after_a_request)?;
        self.0.pushes.know(request.claim.owner, request.loss());
        Ok(granted)
    }

    async fn settle(&self, claim: &Claim, outcome: AskOutcome) -> Result<Grant, LockError> {
        match outcome {
            AskOutcome::Granted(grant) => self.confirm(claim, grant).await,
            AskOutcome::Held { .. } => Err(Box::pin(self.refuse(claim)).await),
            AskOutcome::Quarantined(left) => Err(quarantined(left)),
        }
    }

    /// The error of a try that was refused. It leaves nothing, not even a copy under way (I4).
    async fn refuse(&self, claim: &Claim) -> LockError {
        let in_doubt = matches!(&self.0.kept, Kept::Queue(queue) if queue.is_in_doubt(claim));
        let undone = if in_doubt { self.undo(claim).await } else { Ok(()) };
        match undone {
            Err(error) if error.kind() != ErrorKind::Lost => error,
            _ => busy(),
        }
    }

    async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        if let Some(replicas) = &self.0.replicas {
            return Box::pin(replicas.renew(claim)).await;
        }
        match &self.0.kept {
            Kept::Queue(queue) => queue.renew(claim).await,
            Kept::Plain(plain) => Box::pin(plain.renew(claim)).await,
            Kept::Timestamp(timestamp) => Box::pin(timestamp.renew(claim)).await,
        }
    }

    /// The owner leaves for good: what it is granted from here on is a stray.
    async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        self.0.pushes.forget(claim.owner);
        self.undo(claim).await
    }

    /// Gives back what the owner has, or may have. A waiter that asks again is known still, and hears its hand-off.
    async fn undo(&self, claim: &Claim) -> Result<(), LockError> {
        match &self.0.kept {
            Kept::Queue(queue) => queue.release(claim).await,
            Kept::Plain(plain) => Box::pin(plain.release(claim)).await,
            Kept::Timestamp(timestamp) => Box::pin(timestamp.release(claim)).await,
        }
    }
}

/// The grant that a push with `number` tells of, if the push can be believed by itself.
///
/// It cannot say how long it was on its way. But the last request, sent at `sent`, was answered with "held",
/// so the grant came after that was carried out: its lease lasts until at least a ttl after `sent` (I3). And a
/// number that is no greater than the last one in that answer belongs to a grant from before it, long over
/// (I2). The last one in the answer is no less than the server's time then, so this holds for a lost counter too. A grant
/// with less than half of its lease left is asked about instead, which also renews it.
fn believe(number: GrantNumber, last: GrantNumber, ttl: Ttl, sent: Moment, now: Moment) -> Option<Grant> {
    let valid_until = ttl.valid_until(sent);
    let fresh = number > last && valid_until.since(now) >= ttl.as_duration() / 2;
    fresh.then(|| grant(number, valid_until))
}

fn quarantined(left: Duration) -> LockError {
    let detail = format!(
        "the server was started or promoted and may have forgotten locks; it grants none for {left:?}"
    );
    LockError::new(ErrorKind::Unavailable, detail)
}

fn too_late() -> LockError {
    LockError::new(ErrorKind::Unavailable, "the answer took longer than the lease lasts; use a longer ttl")
}

/// How often a waiter asks when nothing tells it to.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// The same while the holder is a client that tells no waiter of its release.
const SILENT_HOLDER: Duration = Duration::from_millis(100);

/// How long to wait for a push. The first waiter also asks when the holder's lease ends: a dead holder
/// tells no waiter.
fn pause_before_next_question(held: &HeldByOther, silent: bool) -> Duration {
    let regular = jittered(if silent { SILENT_HOLDER } else { SIGN_OF_LIFE });
    match held.expires_in {
        // Nothing is left if the lock has no holder: there were too many dead waiters for one answer.
        Some(left) if held.first || left.is_zero() => regular.min(left + Duration::from_millis(1)),
        _ => regular,
    }
}

fn failure_pauses() -> Backoff {
    Backoff::new(Duration::from_millis(20), SIGN_OF_LIFE)
}

/// Waits for a push, or this long. The push's number, if it was one.
async fn woken_or_after(waiter: &Waiter<'_, GrantNumber>, pause: Duration) -> Option<GrantNumber> {
    tokio::select! {
        push = waiter.woken() => push,
        () = sleep(pause) => None,
    }
}

impl Backend for RedisBackend {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn guarantees(&self) -> Guarantees {
        self.0.guarantees
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.acquire(request))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            let renewed = self.renew(claim).await.map_err(|error| self.at_server(error));
            renewed.map_err(claim.named(Operation::Renew))
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            let released = self.release(claim).await.map_err(|error| self.at_server(error));
            released.map_err(claim.named(Operation::Release))
        })
    }

    fn exchange<'a>(&'a self, _: &'a Claim, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        without_shares(self.name())
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn namespace(&self) -> Option<&Namespace> {
        self.0.pushes.naming.namespace()
    }

    /// With connections of its own, as it listens to channels of its own.
    fn namespaced(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        Ok(Some(Arc::new((self.0.in_namespace)(namespace)?)))
    }
}

/// With the sizes of the tables, for questions about memory.
impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let locks = &self.0;
        f.debug_struct("RedisBackend")
            .field("address", &locks.address)
            .field("namespace", &self.namespace())
            .field("known_owners", &locks.pushes.known())
            .field("waiters", &locks.pushes.waiters())
            .field("watched_keys", &locks.pushes.watched())
            .field("remembered_owners", &locks.kept.remembered())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_waiter_asks_at_the_end_of_the_lease() {
        let soon = Duration::from_millis(10);
        let pause = |first, silent, expires_in| {
            let held = HeldByOther { expires_in, first, silent, last: GrantNumber::new(7) };
            pause_before_next_question(&held, silent)
        };
        assert_eq!(pause(true, false, Some(soon)), Duration::from_millis(11));
        assert!(pause(false, false, Some(soon)) > SILENT_HOLDER);
        assert!(pause(true, true, None) <= SILENT_HOLDER);
    }

    #[test]
    fn a_push_is_believed_only_if_it_is_newer_than_the_last_answer_and_its_lease_is_long() {
        let at = |millis| Moment::START.after(Duration::from_millis(millis));
        let (number, ttl) = (GrantNumber::new, Ttl::new(Duration::from_secs(10)).unwrap());
        let believed = |push, now| believe(number(push), number(7), ttl, at(1_000), at(now));
        let grant = believed(8, 1_500).unwrap();
        assert_eq!((grant.token, grant.valid_until), (number(8).token(), ttl.valid_until(at(1_000))));
        assert!(believed(7, 1_500).is_none(), "a grant from before the answer");
        assert!(believed(8, 5_800).is_some());
        assert!(believed(8, 6_000).is_none(), "less than half is left");
        assert!(believed(8, 20_000).is_none(), "it is over");
    }
}

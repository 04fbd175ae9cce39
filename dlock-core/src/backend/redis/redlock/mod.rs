//! Locks at a majority of independent Redis servers.

mod builder;
mod node;
mod pauses;
mod round;
mod seat;
mod tenures;
mod votes;

use super::not_owner;
use super::owner::Inbox;
use crate::backend::{AcquireRequest, Backend, BackendFuture, Claim, Grant, Mode};
use crate::error::{ErrorKind, LockError, Operation};
use crate::lease::FencingToken;
use crate::time::{Moment, backoff, sleep, unix_time};
use node::Node;
use pauses::Pauses;
use round::Round;
use seat::{Leaving, Seat};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tenures::{Tenure, Tenures};
use votes::{Ballot, Outcome, Poll, Verdict, Vote, majority, proposal};

pub use builder::RedlockBackendBuilder;

/// Keeps each lock at a majority of several independent Redis servers: no replicas of each other, no cluster.
///
/// The lock is the plain string key of the user's name at every server, so it excludes every client that locks
/// with `SET key value NX PX` at a majority of the same servers. All servers are asked at once. An acquire
/// holds when more than half of *all* servers gave the lock and agreed to the same fencing token, and there is
/// time left of the lease, which is counted from before the first of them was asked. A server that is slow or
/// away is not waited for once the others have decided; whatever it got is undone there.
///
/// The pattern is the [Redlock of the Redis documentation][pattern], with the token, the renewal and the
/// undoing that it leaves to the reader.
///
/// ```no_run
/// use dlock_core::{LockManager, RedlockBackend};
///
/// # async fn example() -> Result<(), dlock_core::LockError> {
/// let servers = ["redis://redis1/", "redis://redis2/", "redis://redis3/"];
/// let locks = LockManager::builder(RedlockBackend::builder().servers(servers).build().await?).build()?;
/// // The same: LockManager::connect("redlock://redis1,redis2,redis3").await?
/// let guard = locks.lock("order:42").await?;
/// guard.release().await?;
/// # Ok(()) }
/// ```
///
/// **Assumptions.** Exclusion of valid guards holds if of every majority the servers keep their memory, or come
/// back no sooner than the longest lease after they forgot it (a restart without `appendfsync always`, or an
/// eviction, may forget a lock: delay restarts by the longest ttl); if no server's clock jumps forward; and if
/// clocks run at rates that differ by less than 1 %. Nothing here depends on what the clocks show.
///
/// Fencing tokens rise if the servers keep their fences, whatever the clocks show; and if servers forgot them,
/// as long as the clients' clocks differ by less than the time between the two grants. A holder that was
/// stopped for longer than its lease, and writes after it, is stopped by no lock, with one server or with many:
/// pass the token to the store, and let it refuse smaller ones.
///
/// **No order.** The queues of several servers would soon differ, so there are none: who waits asks again after
/// a random pause (10 to 250 ms, more over slow networks), and may be passed by any number of times. For a fair
/// lock use [`RedisBackend`](super::RedisBackend) or ZooKeeper.
///
/// **Failures.** Up to half of the servers, less one if their number is even, may be away. Three tolerate one,
/// five two; four tolerate one as well. If a majority is away, nothing is granted or renewed, and holders lose
/// their locks at the deadlines of their leases.
///
/// **Rights.** At every server those listed at [`RedisBackend`](super::RedisBackend). Keys that begin with
/// `dlock:` are dlock's own.
///
/// Clones share the connections, one to each server. Needs Redis 6.2 or newer and a Tokio runtime.
///
/// [pattern]: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
#[derive(Clone)]
pub struct RedlockBackend(Arc<Shared>);

struct Shared {
    nodes: Vec<Arc<Node>>,
    inbox: Inbox,
    tenures: Tenures,
}

/// What asking for a lock once came to.
enum Attempt {
    Granted(Grant),
    /// Others have it, or parts of it. When it may be free, if that is known.
    Refused(Option<Duration>),
    Failed(LockError),
}

/// How often a token is raised in one attempt before rivals are given way.
const RAISES: usize = 4;

impl RedlockBackend {
    /// Settings, to be built.
    pub fn builder() -> RedlockBackendBuilder {
        RedlockBackendBuilder::default()
    }

    fn new(nodes: Vec<Arc<Node>>, inbox: Inbox) -> Self {
        Self(Arc::new(Shared { nodes, inbox, tenures: Tenures::default() }))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let tenure = self.enter(&request.claim)?;
        let (mut pauses, mut failure_pauses) = (Pauses::default(), failure_pauses());
        loop {
            let sent = Moment::now();
            let pause = match (self.attempt(&tenure).await, request.mode) {
                (Attempt::Granted(grant), _) => return Ok(grant),
                (Attempt::Refused(_), Mode::Try) => {
                    self.leave_nothing(&request.claim, &tenure).await;
                    return Err(busy());
                }
                (Attempt::Refused(free_in), Mode::Wait) => {
                    request.progress.queued();
                    pauses.next(Moment::now().since(sent), free_in, fastrand::f64())
                }
                (Attempt::Failed(error), Mode::Wait) if error.kind().is_retryable() => {
                    request.progress.failing(error);
                    failure_pauses.next().unwrap_or_default()
                }
                (Attempt::Failed(error), _) => {
                    give_back(&tenure).await;
                    return Err(error);
                }
            };
            // Rivals that each got a part of the servers must both let go, or neither ever gets a majority.
            give_back(&tenure).await;
            sleep(pause).await;
        }
    }

    /// The tenure of an owner that acquires.
    fn enter(&self, claim: &Claim) -> Result<Tenure, LockError> {
        if let Some(tenure) = self.0.tenures.find(claim.owner) {
            return Ok(tenure);
        }
        let tenure = self.tenure(claim)?;
        self.0.tenures.enter(claim.owner, &tenure);
        Ok(tenure)
    }

    fn tenure(&self, claim: &Claim) -> Result<Tenure, LockError> {
        Tenure::new(&self.0.nodes, self.0.inbox, claim)
    }

    /// Asks once. An owner that has the lock already is granted it again, by a renewal.
    async fn attempt(&self, tenure: &Tenure) -> Attempt {
        let Some(token) = tenure.token() else { return propose_until_settled(tenure).await };
        match renew(tenure).await {
            Ok(valid_until) => Attempt::Granted(Grant::new(token, valid_until)),
            Err(error) if error.kind() == ErrorKind::Lost => {
                tenure.set_token(None);
                propose_until_settled(tenure).await
            }
            Err(error) => Attempt::Failed(error),
        }
    }

    /// After a refused try, which nobody releases.
    async fn leave_nothing(&self, claim: &Claim, tenure: &Tenure) {
        let _ = leave(tenure, Leaving::WhereItMayHold).await;
        self.0.tenures.forget(claim.owner);
    }

    async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        match self.0.tenures.find(claim.owner) {
            Some(tenure) => renew(&tenure).await,
            None => renew(&self.tenure(claim)?).await,
        }
    }

    async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let tenure = match self.0.tenures.find(claim.owner) {
            Some(tenure) => tenure,
            None => self.tenure(claim)?,
        };
        let outcome = leave(&tenure, Leaving::All).await;
        match &outcome {
            Err(error) if error.kind() != ErrorKind::Lost => self.0.tenures.sweep(Moment::now()),
            _ => self.0.tenures.forget(claim.owner),
        }
        outcome
    }
}

/// Proposes tokens, each greater than all that are known by then.
async fn propose_until_settled(tenure: &Tenure) -> Attempt {
    let mut seen = FencingToken::new(0);
    for _ in 0..=RAISES {
        let (sent, token) = (Moment::now(), proposal(seen, unix_time()));
        let (ballot, failures) = propose(tenure, token).await;
        match ballot.outcome() {
            Some(Outcome::Won) => return believe(tenure, token, sent),
            Some(Outcome::Outbid(greatest)) => seen = greatest,
            Some(Outcome::Refused) => return Attempt::Refused(ballot.free_in()),
            Some(Outcome::Unreachable) | None => {
                return Attempt::Failed(out_of_reach(failures, tenure.seats.len()));
            }
        }
    }
    Attempt::Refused(None)
}

/// Asks all servers for the lock under `token`, until they have decided.
async fn propose(tenure: &Tenure, token: FencingToken) -> (Ballot, Vec<LockError>) {
    let mut round = Round::ask(&tenure.seats, |seat| {
        let turn = seat.turn();
        async move { seat.propose(turn, token).await }
    });
    let (mut ballot, mut failures) = (Ballot::of(tenure.seats.len()), Vec::new());
    while ballot.outcome().is_none() {
        match round.next().await {
            Some((_, Ok(vote))) => ballot.add(vote),
            Some((_, Err(error))) => {
                failures.push(error);
                ballot.add(Vote::Failed);
            }
            None => break,
        }
    }
    (ballot, failures)
}

/// The grant, unless the majority took longer than the lease (I3).
fn believe(tenure: &Tenure, token: FencingToken, sent: Moment) -> Attempt {
    let valid_until = tenure.terms.ttl.valid_until(sent);
    if valid_until <= Moment::now() {
        return Attempt::Failed(LockError::new(
            ErrorKind::Unavailable,
            "a majority took longer to answer than the lease lasts; use a longer ttl",
        ));
    }
    tenure.set_token(Some(token));
    Attempt::Granted(Grant::new(token, valid_until))
}

/// Frees what a failed attempt got, at every server; waits for those that answer.
async fn give_back(tenure: &Tenure) {
    let mut round = Round::ask(&tenure.seats, |seat| {
        let turn = seat.turn();
        async move { seat.withdraw(turn).await.is_ok() }
    });
    let (all, mut answered) = (tenure.seats.len(), 0);
    let started = Moment::now();
    while answered < majority(all) {
        match round.next().await {
            Some(_) => answered += 1,
            None => return,
        }
    }
    drain(&mut round, Moment::now().since(started)).await;
}

/// Makes the owner leave at every server. Those that do not answer are asked again in the background.
async fn leave(tenure: &Tenure, which: Leaving) -> Result<(), LockError> {
    tenure.begin_leaving();
    let mut round = Round::ask_and(&tenure.seats, |seat, answer| {
        let turn = seat.turn();
        async move {
            let left = seat.leave(turn, which).await;
            let again = left.as_ref().is_err_and(|error| error.kind().is_retryable());
            answer.send(left);
            if again {
                seat.keep_leaving().await;
            }
        }
    });
    let (mut poll, mut failures) = (Poll::of(tenure.seats.len()), Vec::new());
    let started = Moment::now();
    while poll.verdict().is_none() {
        match round.next().await {
            Some((_, Ok(had_it))) => poll.add(Some(had_it)),
            Some((_, Err(error))) => {
                failures.push(error);
                poll.add(None);
            }
            None => break,
        }
    }
    drain(&mut round, Moment::now().since(started)).await;
    match poll.verdict() {
        Some(Verdict::Yes) => Ok(()),
        Some(Verdict::No) => Err(not_owner()),
        Some(Verdict::Unsure) | None => Err(out_of_reach(failures, tenure.seats.len())),
    }
}

/// Waits for the other answers as long again as the decision took: most come at once, and who ends its process
/// after a release wants no server left out. A server that is away is not worth more.
async fn drain<T: Send + 'static>(round: &mut Round<T>, took: Duration) {
    let rest = async { while round.next().await.is_some() {} };
    tokio::select! {
        () = rest => {}
        () = sleep(took) => {}
    }
}

/// Renews at every server. It counts if a majority of all confirms it, and only then those that lost the lock
/// are given it again: where no majority has it, it is gone (I8).
async fn renew(tenure: &Tenure) -> Result<Moment, LockError> {
    let valid_until = tenure.terms.ttl.valid_until(Moment::now());
    let mut round = Round::ask(&tenure.seats, |seat| async move { seat.renew().await });
    let (mut poll, mut failures, mut missing) = (Poll::of(tenure.seats.len()), Vec::new(), Vec::new());
    while poll.verdict().is_none() {
        match round.next().await {
            Some((at, Ok(has_it))) => {
                missing.extend((!has_it).then_some(at));
                poll.add(Some(has_it));
            }
            Some((_, Err(error))) => {
                failures.push(error);
                poll.add(None);
            }
            None => break,
        }
    }
    match poll.verdict() {
        Some(Verdict::Yes) => {
            heal(tenure, missing, round, valid_until);
            Ok(valid_until)
        }
        Some(Verdict::No) => Err(not_owner()),
        Some(Verdict::Unsure) | None => Err(out_of_reach(failures, tenure.seats.len())),
    }
}

/// Takes the lock again, in the background, where a renewal did not find it: so that the next server that
/// forgets it does no harm.
fn heal(tenure: &Tenure, missing: Vec<usize>, mut round: Round<Result<bool, LockError>>, until: Moment) {
    let Some(token) = tenure.token() else { return };
    let seats = Arc::clone(&tenure.seats);
    tokio::spawn(async move {
        for at in missing {
            heal_at(&seats, at, token, until).await;
        }
        while let Some((at, answer)) = round.next().await {
            if matches!(answer, Ok(false)) {
                heal_at(&seats, at, token, until).await;
            }
        }
    });
}

async fn heal_at(seats: &[Arc<Seat>], at: usize, token: FencingToken, until: Moment) {
    if let Some(seat) = seats.get(at)
        && Moment::now() < until
    {
        // What it comes to is known by the next renewal.
        let _ = seat.propose(seat.turn(), token).await;
    }
}

fn busy() -> LockError {
    LockError::new(ErrorKind::Busy, "other owners have it at too many servers; try again later or wait")
}

/// The error if too many servers failed: that of the servers if none of it can pass by itself.
fn out_of_reach(mut failures: Vec<LockError>, servers: usize) -> LockError {
    let lasting = failures.iter().filter(|error| !error.kind().is_retryable()).count();
    if servers.saturating_sub(lasting) < majority(servers)
        && let Some(at) = failures.iter().position(|error| !error.kind().is_retryable())
    {
        return failures.swap_remove(at);
    }
    let failed = failures.len();
    let detail = format!("{failed} of {servers} servers failed, a majority is needed; check the servers");
    let error = LockError::new(ErrorKind::Unavailable, detail);
    match failures.pop() {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

fn failure_pauses() -> impl Iterator<Item = Duration> + Send {
    backoff(Duration::from_millis(20), Duration::from_secs(1))
}

impl Backend for RedlockBackend {
    fn name(&self) -> &'static str {
        "redlock"
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.acquire(request))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            self.renew(claim)
                .await
                .map_err(|error| error.with_operation(Operation::Renew).with_key(&claim.key))
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            self.release(claim)
                .await
                .map_err(|error| error.with_operation(Operation::Release).with_key(&claim.key))
        })
    }
}

impl fmt::Debug for RedlockBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.0.nodes.iter().map(|node| &node.address).collect();
        f.debug_struct("RedlockBackend").field("servers", &addresses).finish_non_exhaustive()
    }
}

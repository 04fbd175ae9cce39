//! Acquiring, renewing and releasing at a majority.

use super::acquisitions::{Acquisitions, RedlockAcquisition};
use super::node::RedlockServer;
use super::participant::LeaveFrom;
use super::quorum;
use super::quorum::RoundOutcome;
use super::retry::RetryPauses;
use crate::backend::answers::busy;
use crate::backend::redis::keys::Naming;
use crate::backend::redis::wire::Inbox;
use crate::backend::start::Start;
use crate::backend::{AcquireRequest, Admin, Backend, BackendFuture, Claim, Grant, Mode, without_shares};
use crate::error::{ErrorKind, LockError, Operation};
use crate::guarantees::Guarantees;
use crate::key::Namespace;
use crate::time::{Backoff, Moment, sleep};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Keeps each lock at a majority of several independent Redis servers, which are neither replicas of each other nor a
/// cluster.
///
/// The lock is the plain string key of the same name at every server. So it excludes every client that locks with `SET
/// key value NX PX` at a majority of the same servers. All servers are asked at once. A lock is acquired when more than
/// half of *all* servers gave it and agreed to the same fencing token. Some of the lease must be left, counted from
/// before the first server was asked. Once the others have decided, a slow server is not waited for, and whatever it
/// granted is undone there.
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
/// **Assumptions.** Exclusion of valid guards holds under three conditions. Every server keeps its memory, or after
/// losing it stays away for the longest lease. (A restart without `appendfsync always`, or an eviction, may forget a
/// lock: delay restarts by the longest ttl.) No server's clock jumps forward. And clocks run at rates that differ by
/// less than 1 %. What time the clocks show does not matter.
///
/// Fencing tokens rise if the servers keep their fences, whatever the clocks show. If servers forgot them, tokens still
/// rise as long as the clients' clocks differ by less than the time between the two grants. No lock, with one server or
/// with many, can stop a holder that was stopped for longer than its lease and then writes. Pass the token to the
/// store, and let it refuse smaller ones.
///
/// **No order.** The queues of several servers would soon differ, so there are none. A waiter asks again after a random
/// pause (10 to 250 ms, more over slow networks), and may be passed any number of times. For a fair lock use
/// [`RedisBackend`](crate::RedisBackend) or ZooKeeper.
///
/// **Failures.** A majority must be up. Three or four servers tolerate the loss of one, five that of two. Without a
/// majority nothing is granted or renewed, and holders lose their locks at the deadlines of their leases.
///
/// **Rights.** At every server those listed at [`RedisBackend`](crate::RedisBackend). With a
/// [namespace](super::RedlockBackendBuilder::namespace), only the keys and channels in it. Keys that begin with
/// `dlock:`, and those that hold a name such as `dlock:w:`, are dlock's own.
///
/// Clones share the connections, one to each server, which a thread of the library makes and drives. Needs Redis 6.2 or
/// newer.
///
/// [pattern]: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
#[derive(Clone)]
pub struct RedlockBackend(Arc<RedlockState>);

struct RedlockState {
    start: Start,
    nodes: Vec<Arc<RedlockServer>>,
    inbox: Inbox,
    naming: Naming,
    acquisitions: Acquisitions,
    in_namespace: InNamespace,
}

/// Makes the same backend for a namespace within its own.
pub(super) type InNamespace = Box<dyn Fn(&Namespace) -> Result<RedlockBackend, LockError> + Send + Sync>;

impl RedlockBackend {
    pub(super) fn new(
        start: Start,
        nodes: Vec<Arc<RedlockServer>>,
        inbox: Inbox,
        naming: Naming,
        in_namespace: InNamespace,
    ) -> Self {
        let acquisitions = Acquisitions::default();
        Self(Arc::new(RedlockState { start, nodes, inbox, naming, acquisitions, in_namespace }))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        self.0.start.before(request).await?;
        let acquisition = self.enter(&request.claim)?;
        let (mut pauses, mut failure_pauses) = (RetryPauses::default(), failure_pauses());
        loop {
            let sent = Moment::now();
            let pause = match (quorum::ask(&acquisition).await, request.mode) {
                (RoundOutcome::Granted(grant), _) => return Ok(grant),
                (RoundOutcome::Refused(_), Mode::Try) => {
                    self.leave_nothing(&request.claim, &acquisition).await;
                    return Err(busy());
                }
                (RoundOutcome::Refused(free_in), Mode::Wait) => {
                    request.progress.queued();
                    pauses.next(Moment::now().since(sent), free_in, fastrand::f64())
                }
                (RoundOutcome::Failed(error), Mode::Wait) if error.kind().is_retryable() => {
                    request.progress.ask_again(error, &mut failure_pauses)?
                }
                (RoundOutcome::Failed(error), _) => {
                    quorum::give_back(&acquisition).await;
                    return Err(error);
                }
            };
            // Rivals that each got a part of the servers must both let go, or neither ever gets a majority.
            quorum::give_back(&acquisition).await;
            sleep(pause).await;
        }
    }

    /// The acquisition of an owner that acquires.
    fn enter(&self, claim: &Claim) -> Result<RedlockAcquisition, LockError> {
        if let Some(acquisition) = self.0.acquisitions.find(claim.owner) {
            return Ok(acquisition);
        }
        let acquisition = self.acquisition(claim)?;
        self.0.acquisitions.enter(claim.owner, &acquisition);
        Ok(acquisition)
    }

    fn acquisition(&self, claim: &Claim) -> Result<RedlockAcquisition, LockError> {
        let RedlockState { nodes, inbox, naming, .. } = &*self.0;
        RedlockAcquisition::new(nodes, *inbox, naming, claim)
    }

    /// After a refused try, which has no release.
    async fn leave_nothing(&self, claim: &Claim, acquisition: &RedlockAcquisition) {
        let _ = quorum::leave(acquisition, LeaveFrom::WhereItMayHold).await;
        self.0.acquisitions.forget(claim.owner);
    }

    async fn renew(&self, claim: &Claim) -> Result<Moment, LockError> {
        match self.0.acquisitions.find(claim.owner) {
            Some(acquisition) => quorum::renew(&acquisition).await,
            None => quorum::renew(&self.acquisition(claim)?).await,
        }
    }

    async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let acquisition = match self.0.acquisitions.find(claim.owner) {
            Some(acquisition) => acquisition,
            None => self.acquisition(claim)?,
        };
        let outcome = quorum::leave(&acquisition, LeaveFrom::All).await;
        match &outcome {
            Err(error) if error.kind() != ErrorKind::Lost => self.0.acquisitions.sweep(Moment::now()),
            _ => self.0.acquisitions.forget(claim.owner),
        }
        outcome
    }
}

fn failure_pauses() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_secs(1))
}

impl Backend for RedlockBackend {
    fn name(&self) -> &'static str {
        "redlock"
    }

    /// A server that has lost its memory agrees too early unless an operator keeps it away, so restarts are left out.
    fn guarantees(&self) -> Guarantees {
        Guarantees::ACROSS_PROCESSES | Guarantees::RISING_TOKENS | Guarantees::TOKEN_BLOCKS
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.acquire(request))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move { self.renew(claim).await.map_err(claim.named(Operation::Renew)) })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move { self.release(claim).await.map_err(claim.named(Operation::Release)) })
    }

    fn exchange<'a>(&'a self, _: &'a Claim, _: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        without_shares(self.name())
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn namespace(&self) -> Option<&Namespace> {
        self.0.naming.namespace()
    }

    /// With connections of its own, as they are checked and replaced on their own.
    fn namespaced(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        Ok(Some(Arc::new((self.0.in_namespace)(namespace)?)))
    }
}

impl fmt::Debug for RedlockBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.0.nodes.iter().map(|node| &node.address).collect();
        f.debug_struct("RedlockBackend")
            .field("servers", &addresses)
            .field("namespace", &self.namespace())
            .finish_non_exhaustive()
    }
}

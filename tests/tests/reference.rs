//! Random steps, taken on a server's backend and on the embedded one, which is the reference of what the answers
//! mean: the same steps give the same answers, the same holders, and tokens in the same order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step must fail"
)]

use dlock_core::backend::{AcquireRequest, Backend, Claim, Grant, Mode};
use dlock_core::{
    EmbeddedBackend, ErrorKind, FencingToken, LockError, LockKey, RedisBackend, Ttl, ZooKeeperBackend,
};
use dlock_tests::{fresh_key, printed_seed, shared_redis, shared_zookeeper, wait_until_async};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How many take part.
const OWNERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Ask once; as the holder, ask again.
    Try,
    /// Ask and wait; as the holder, ask again.
    Wait,
    Renew,
    /// Leave, as holder, as waiter, or with nothing.
    Leave,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Granted,
    Again,
    Busy,
    Queued,
    Renewed,
    Left,
    Lost,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        2 => Just(Step::Try),
        4 => Just(Step::Wait),
        1 => Just(Step::Renew),
        4 => Just(Step::Leave),
    ];
    prop::collection::vec((0..OWNERS, step), 1..40)
}

/// One backend, and what each owner has of it.
struct Player {
    backend: Arc<dyn Backend>,
    owners: [Option<Part>; OWNERS],
    tokens: Vec<FencingToken>,
}

/// An acquisition that is not over.
struct Part {
    claim: Claim,
    state: State,
}

enum State {
    Holding(FencingToken),
    Waiting(JoinHandle<Result<Grant, LockError>>),
}

impl Player {
    fn new(backend: impl Backend) -> Self {
        Self { backend: Arc::new(backend), owners: [const { None }; OWNERS], tokens: Vec::new() }
    }

    /// Takes a step. `claim` is what the owner claims if it has nothing.
    async fn step(&mut self, owner: usize, step: Step, claim: Claim) -> Answer {
        match (step, self.owners[owner].take()) {
            (Step::Try | Step::Wait, None) => self.ask(owner, step, claim).await,
            (Step::Try | Step::Wait, Some(part)) => self.ask_again(owner, part).await,
            (Step::Renew, part) => {
                let claimed = part.as_ref().map_or(&claim, |part| &part.claim).clone();
                self.owners[owner] = part;
                answer(self.backend.renew(&claimed).await, Answer::Renewed)
            }
            (Step::Leave, part) => {
                if let Some(Part { state: State::Waiting(task), .. }) = &part {
                    task.abort();
                }
                let claimed = part.map_or(claim, |part| part.claim);
                answer(self.backend.release(&claimed).await, Answer::Left)
            }
        }
    }

    async fn ask(&mut self, owner: usize, step: Step, claim: Claim) -> Answer {
        if matches!(step, Step::Try) {
            let request = AcquireRequest::new(claim.clone(), Mode::Try);
            let outcome = self.backend.acquire(&request).await;
            return match outcome {
                Ok(grant) => {
                    self.hold(owner, claim, grant.token);
                    Answer::Granted
                }
                outcome => answer(outcome, Answer::Granted),
            };
        }
        let request = Arc::new(AcquireRequest::new(claim.clone(), Mode::Wait));
        let (backend, asked) = (Arc::clone(&self.backend), Arc::clone(&request));
        let task = tokio::spawn(async move { backend.acquire(&asked).await });
        let answered = async || task.is_finished() || request.progress.is_queued();
        wait_until_async("the acquire is answered", PATIENCE, answered).await;
        if !task.is_finished() {
            self.owners[owner] = Some(Part { claim, state: State::Waiting(task) });
            return Answer::Queued;
        }
        let grant = task.await.unwrap().unwrap();
        self.hold(owner, claim, grant.token);
        Answer::Granted
    }

    /// A holder's repeated request gives the same token; a waiter waits on.
    async fn ask_again(&mut self, owner: usize, part: Part) -> Answer {
        let (token, claim) = match &part.state {
            State::Holding(token) => (*token, part.claim.clone()),
            State::Waiting(_) => {
                self.owners[owner] = Some(part);
                return Answer::Queued;
            }
        };
        self.owners[owner] = Some(part);
        let again = self.backend.acquire(&AcquireRequest::new(claim, Mode::Try)).await.unwrap();
        assert_eq!(again.token, token, "asked again");
        Answer::Again
    }

    fn hold(&mut self, owner: usize, claim: Claim, token: FencingToken) {
        self.tokens.push(token);
        self.owners[owner] = Some(Part { claim, state: State::Holding(token) });
    }

    /// Takes in what was granted to waiters meanwhile, and says who holds.
    async fn holder(&mut self) -> Option<usize> {
        for owner in 0..OWNERS {
            match self.owners[owner].take() {
                Some(Part { claim, state: State::Waiting(task) }) if task.is_finished() => {
                    let grant = task.await.unwrap().unwrap();
                    self.hold(owner, claim, grant.token);
                }
                part => self.owners[owner] = part,
            }
        }
        let holds =
            |owner: &usize| matches!(self.owners[*owner], Some(Part { state: State::Holding(_), .. }));
        let holders: Vec<_> = (0..OWNERS).filter(holds).collect();
        assert!(holders.len() <= 1, "two holders: {holders:?}");
        holders.first().copied()
    }
}

fn answer<T>(outcome: Result<T, LockError>, good: Answer) -> Answer {
    match outcome.map_err(|error| error.kind()) {
        Ok(_) => good,
        Err(ErrorKind::Busy) => Answer::Busy,
        Err(ErrorKind::Lost) => Answer::Lost,
        Err(other) => unreachable!("{other:?}"),
    }
}

/// Takes the steps on both, and compares after each.
async fn compare(subject: impl Backend, steps: &[(usize, Step)]) -> Result<(), TestCaseError> {
    let (mut reference, mut subject) = (Player::new(EmbeddedBackend::new()), Player::new(subject));
    let key = LockKey::new(fresh_key("reference")).unwrap();
    for (number, (owner, step)) in steps.iter().copied().enumerate() {
        let claim = Claim::new(key.clone(), Ttl::new(Duration::from_secs(600)).unwrap()).unwrap();
        let expected = reference.step(owner, step, claim.clone()).await;
        let found = subject.step(owner, step, claim).await;
        prop_assert_eq!(found, expected, "step {}: {:?} of {}", number, step, owner);
        settle(&mut reference, &mut subject).await;
    }
    prop_assert_eq!(subject.tokens.len(), reference.tokens.len());
    prop_assert!(subject.tokens.is_sorted_by(|one, next| one < next), "{:?}", subject.tokens);
    leave(&mut subject).await;
    Ok(())
}

/// A hand-off is under way for a moment. Both must come to the same holder. A first waiter of a lock without a holder
/// must not remain.
async fn settle(reference: &mut Player, subject: &mut Player) {
    wait_until_async("both have the same holder", PATIENCE, async || {
        let waits = |player: &Player| player.owners.iter().flatten().count() > 0;
        let (expected, found) = (reference.holder().await, subject.holder().await);
        expected == found && (expected.is_some() || !waits(reference))
    })
    .await;
}

async fn leave(player: &mut Player) {
    for part in player.owners.iter_mut().filter_map(Option::take) {
        if let State::Waiting(task) = &part.state {
            task.abort();
        }
        let _ = player.backend.release(&part.claim).await;
    }
}

fn run<F: Future<Output = Result<(), TestCaseError>>>(cases: u32, case: impl Fn(Vec<(usize, Step)>) -> F) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rng_seed = RngSeed::Fixed(printed_seed());
    let config =
        Config { cases, failure_persistence: None, max_shrink_time: 60_000, rng_seed, ..Config::default() };
    TestRunner::new(config).run(&steps(), |steps| runtime.block_on(case(steps))).unwrap();
}

#[test]
fn redis_answers_as_the_reference() {
    let url = shared_redis().url();
    run(60, |steps| {
        let builder = RedisBackend::builder().url(&url);
        async move { compare(builder.build().await.unwrap(), &steps).await }
    });
}

#[test]
fn zookeeper_answers_as_the_reference() {
    let hosts = shared_zookeeper().hosts();
    run(30, |steps| {
        let builder = ZooKeeperBackend::builder().hosts(&hosts);
        async move { compare(builder.build().await.unwrap(), &steps).await }
    });
}

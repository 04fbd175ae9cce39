//! Random steps, taken on a server's backend and on the embedded one, which is the reference of what the answers
//! mean: the same steps give the same answers, the same holders, and tokens in the same order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step must fail"
)]

use dlock_core::backend::{AcquireRequest, Backend, Claim, Grant, Mode};
use dlock_core::testing::flawed::{Flaw, FlawedBackend};
use dlock_core::{
    EmbeddedBackend, ErrorKind, FencingToken, Guarantees, LockError, LockKey, RedisBackend, Share, Ttl,
    ZooKeeperBackend,
};
use dlock_tests::{fresh_key, printed_seed, shared_redis, shared_zookeeper, wait_until_async};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How many take part.
const OWNERS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Ask once; as the holder, ask again.
    Try,
    /// Ask and wait; as the holder, ask again.
    Wait,
    /// Ask for another share than it has.
    Exchange,
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
    Exchanged,
    Renewed,
    Left,
    Lost,
}

/// Of owners that want all of a key, or any share.
#[derive(Debug, Clone, Copy)]
enum Wants {
    All,
    Shares,
}

/// A step of an owner, and what it wants if it has nothing.
type OwnerStep = (usize, Step, Share);

fn steps(wants: Wants) -> BoxedStrategy<Vec<OwnerStep>> {
    let step = prop_oneof![
        2 => Just(Step::Try),
        4 => Just(Step::Wait),
        1 => Just(Step::Renew),
        4 => Just(Step::Leave),
    ];
    let step_of_shares = prop_oneof![
        2 => Just(Step::Try),
        5 => Just(Step::Wait),
        2 => Just(Step::Exchange),
        1 => Just(Step::Renew),
        4 => Just(Step::Leave),
    ];
    match wants {
        Wants::All => prop::collection::vec((0..OWNERS, step, Just(Share::All)), 1..40).boxed(),
        Wants::Shares => prop::collection::vec((0..OWNERS, step_of_shares, share()), 1..40).boxed(),
    }
}

fn share() -> impl Strategy<Value = Share> {
    let number = |number| NonZeroU32::new(number).unwrap();
    prop_oneof![
        3 => Just(Share::All),
        4 => Just(Share::READER),
        3 => (1..4_u32).prop_map(move |weight| Share::Part { weight: number(weight), of: number(3) }),
        1 => Just(Share::Part { weight: number(1), of: number(2) }),
    ]
}

/// One backend, and what each owner has of it.
struct Player {
    backend: Arc<dyn Backend>,
    owners: [Option<Acquisition>; OWNERS],
    /// The owners that wait, in the order in which they came.
    waiting: Vec<usize>,
    tokens: Vec<FencingToken>,
}

/// An acquisition that is not over.
struct Acquisition {
    claim: Claim,
    state: State,
}

enum State {
    Holding(FencingToken),
    Waiting(JoinHandle<Result<Grant, LockError>>),
}

impl Player {
    fn new(backend: impl Backend) -> Self {
        let (owners, waiting, tokens) = ([const { None }; OWNERS], Vec::new(), Vec::new());
        Self { backend: Arc::new(backend), owners, waiting, tokens }
    }

    /// Takes a step. `claim` is what the owner claims if it has nothing.
    async fn step(&mut self, owner: usize, step: Step, claim: Claim) -> Answer {
        match (step, self.owners[owner].take()) {
            (Step::Try | Step::Wait, None) => self.ask(owner, step, claim).await,
            (Step::Try | Step::Wait, Some(part)) => self.ask_again(owner, part).await,
            (Step::Exchange, Some(part)) if matches!(part.state, State::Holding(_)) => {
                self.exchange(owner, part, claim).await
            }
            (Step::Exchange, part) => {
                self.owners[owner] = part;
                let never = Claim::new(claim.key.clone(), claim.ttl).unwrap();
                let wanted = AcquireRequest::new(claim, Mode::Try);
                answer(self.backend.exchange(&never, &wanted).await, Answer::Exchanged)
            }
            (Step::Renew, part) => {
                let claimed = part.as_ref().map_or(&claim, |part| &part.claim).clone();
                self.owners[owner] = part;
                answer(self.backend.renew(&claimed).await, Answer::Renewed)
            }
            (Step::Leave, part) => {
                if let Some(Acquisition { state: State::Waiting(task), .. }) = &part {
                    task.abort();
                }
                self.waiting.retain(|waiting| *waiting != owner);
                let claimed = part.map_or(claim, |part| part.claim);
                answer(self.backend.release(&claimed).await, Answer::Left)
            }
        }
    }

    /// All of the key for a part of it, or a part for all of it.
    async fn exchange(&mut self, owner: usize, part: Acquisition, wanted: Claim) -> Answer {
        let share = match (part.claim.share, wanted.share) {
            (Share::All, Share::All) => Share::READER,
            (Share::All, share) => share,
            _ => Share::All,
        };
        let wanted = wanted.with_share(share);
        let request = AcquireRequest::new(wanted.clone(), Mode::Try);
        match self.backend.exchange(&part.claim, &request).await {
            Ok(grant) => {
                self.hold(owner, wanted, grant.token);
                Answer::Exchanged
            }
            outcome => {
                self.owners[owner] = Some(part);
                answer(outcome, Answer::Exchanged)
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
            self.owners[owner] = Some(Acquisition { claim, state: State::Waiting(task) });
            self.waiting.push(owner);
            return Answer::Queued;
        }
        let grant = task.await.unwrap().unwrap();
        self.hold(owner, claim, grant.token);
        Answer::Granted
    }

    /// A holder's repeated request gives the same token; a waiter waits on.
    async fn ask_again(&mut self, owner: usize, part: Acquisition) -> Answer {
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
        self.owners[owner] = Some(Acquisition { claim, state: State::Holding(token) });
    }

    /// Takes in what was granted to waiters meanwhile, and says who holds. Those that were granted it together were so in any
    /// order.
    async fn holders(&mut self) -> Vec<usize> {
        let before = self.tokens.len();
        for owner in 0..OWNERS {
            match self.owners[owner].take() {
                Some(Acquisition { claim, state: State::Waiting(task) }) if task.is_finished() => {
                    let grant = task.await.unwrap().unwrap();
                    self.waiting.retain(|waiting| *waiting != owner);
                    self.hold(owner, claim, grant.token);
                }
                part => self.owners[owner] = part,
            }
        }
        self.tokens[before..].sort();
        let holds =
            |owner: &usize| matches!(self.owners[*owner], Some(Acquisition { state: State::Holding(_), .. }));
        let holders: Vec<_> = (0..OWNERS).filter(holds).collect();
        let together = |number: usize| {
            self.share(holders[number]).fits(holders[..number].iter().map(|it| self.share(*it)))
        };
        assert!((0..holders.len()).all(together), "{holders:?} hold at once");
        holders
    }

    fn share(&self, owner: usize) -> Share {
        self.owners[owner].as_ref().map(|part| part.claim.share).unwrap()
    }

    /// Whether the first waiter is to be granted its share.
    fn has_more(&self, holders: &[usize]) -> bool {
        let first = self.waiting.first();
        first.is_some_and(|first| self.share(*first).fits(holders.iter().map(|holder| self.share(*holder))))
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
async fn compare(subject: impl Backend, steps: &[OwnerStep]) -> Result<(), TestCaseError> {
    let (mut reference, mut subject) = (Player::new(EmbeddedBackend::new()), Player::new(subject));
    let key = LockKey::new(fresh_key("reference")).unwrap();
    for (number, (owner, step, share)) in steps.iter().copied().enumerate() {
        let claim = Claim::new(key.clone(), Ttl::new(Duration::from_secs(600)).unwrap()).unwrap();
        let claim = claim.with_share(share);
        let expected = reference.step(owner, step, claim.clone()).await;
        let found = subject.step(owner, step, claim).await;
        prop_assert_eq!(found, expected, "step {}: {:?} of {} for {:?}", number, step, owner, share);
        settle(&mut reference, &mut subject).await;
    }
    prop_assert_eq!(subject.tokens.len(), reference.tokens.len());
    prop_assert!(subject.tokens.is_sorted_by(|one, next| one < next), "{:?}", subject.tokens);
    leave(&mut subject).await;
    Ok(())
}

/// A hand-off is under way for a moment. Both must come to the same holders. A first waiter that fits beside them must not remain.
async fn settle(reference: &mut Player, subject: &mut Player) {
    wait_until_async("both have the same holders", PATIENCE, async || {
        let (expected, found) = (reference.holders().await, subject.holders().await);
        expected == found && !reference.has_more(&expected)
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

/// Of a test whose failure is shown by the fewest steps.
fn shrunk(cases: u32) -> Config {
    Config { max_shrink_time: 60_000, max_shrink_iters: u32::MAX, ..unshrunk(cases) }
}

fn unshrunk(cases: u32) -> Config {
    let rng_seed = RngSeed::Fixed(printed_seed());
    Config { cases, failure_persistence: None, max_shrink_iters: 0, rng_seed, ..Config::default() }
}

fn run(config: Config, wants: Wants, case: impl AsyncFn(Vec<OwnerStep>) -> Result<(), TestCaseError>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    TestRunner::new(config).run(&steps(wants), |steps| runtime.block_on(case(steps))).unwrap();
}

/// The same steps, if the backend keeps shares; if not, that is said.
async fn compare_shares(subject: impl Backend, steps: &[OwnerStep]) -> Result<(), TestCaseError> {
    if !subject.guarantees().contains(Guarantees::SHARES) {
        println!("{} promises no shares: left out", subject.name());
        return Ok(());
    }
    compare(subject, steps).await
}

async fn redis() -> RedisBackend {
    RedisBackend::builder().url(shared_redis().url()).build().await.unwrap()
}

async fn zookeeper() -> ZooKeeperBackend {
    ZooKeeperBackend::builder().hosts(shared_zookeeper().hosts()).build().await.unwrap()
}

#[test]
fn redis_answers_as_the_reference() {
    run(shrunk(60), Wants::All, async |steps| compare(redis().await, &steps).await);
}

#[test]
fn redis_answers_as_the_reference_for_shares() {
    run(shrunk(60), Wants::Shares, async |steps| compare_shares(redis().await, &steps).await);
}

#[test]
fn zookeeper_answers_as_the_reference() {
    run(shrunk(30), Wants::All, async |steps| compare(zookeeper().await, &steps).await);
}

#[test]
fn zookeeper_answers_as_the_reference_for_shares() {
    run(shrunk(30), Wants::Shares, async |steps| compare_shares(zookeeper().await, &steps).await);
}

/// The way itself: the reference answers as itself, and a store that lacks a rule does not.
#[test]
fn the_reference_answers_as_itself() {
    run(shrunk(60), Wants::Shares, async |steps| compare_shares(EmbeddedBackend::new(), &steps).await);
}

#[test]
fn a_flawed_store_does_not_answer_as_the_reference() {
    for flaw in [Flaw::PartsAreAll, Flaw::ForgetsWeights, Flaw::MixesNumbers, Flaw::UpgradesAnybody] {
        let noticed = std::panic::catch_unwind(|| {
            run(unshrunk(60), Wants::Shares, async |steps| {
                compare_shares(FlawedBackend::new(flaw), &steps).await
            });
        });
        assert!(noticed.is_err(), "{flaw:?} was not noticed");
    }
}

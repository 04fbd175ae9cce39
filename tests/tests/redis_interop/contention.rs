//! Many of each kind count together, reading and then writing: exact under one lock, and only then.

use crate::{LONG, PATIENCE, manager};
use dlock_core::backend::redis::Recipe;
use dlock_core::{LockError, LockManager};
use dlock_tests::{Counting, ForeignClient, fresh_key, shared_redis, wait_until, wait_until_async};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

const EACH: usize = 2;
const TIMES: usize = 100;

/// Which lock the clients count under.
#[derive(Clone, Copy)]
enum Locking {
    /// All under one.
    Together,
    /// Each under one of its own, which protects nothing.
    Apart,
}

/// What the clients of one test count, and under which locks.
#[derive(Clone)]
struct Plan {
    locking: Locking,
    name: String,
}

impl Plan {
    fn new(locking: Locking) -> Self {
        Self { locking, name: fresh_key("counting") }
    }

    fn of_client(&self, client: usize) -> Counting {
        let lock = match self.locking {
            Locking::Together => self.name.clone(),
            Locking::Apart => format!("{}:{client}", self.name),
        };
        Counting { lock, ttl: LONG, counter: self.counter(), journal: self.journal(), times: TIMES }
    }

    fn counter(&self) -> String {
        format!("{}:counter", self.name)
    }

    fn journal(&self) -> String {
        format!("{}:journal", self.name)
    }
}

/// Clients of each kind, all ready to count.
struct Crowd {
    foreign: Vec<ForeignClient>,
    ours: Vec<LockManager>,
}

impl Crowd {
    async fn start() -> Self {
        let (mut foreign, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..EACH {
            foreign.push(ForeignClient::redis_py(shared_redis()).await);
            foreign.push(ForeignClient::redlock(shared_redis()).await);
            ours.push(manager(shared_redis().url(), Recipe::Fair).await);
        }
        Self { foreign, ours }
    }

    /// Lets all count at once, and returns when the last has done its part.
    async fn count(self, plan: Plan) -> Outcome {
        let mut counting = JoinSet::new();
        let mut parts = (0..).map(|client| plan.of_client(client));
        for (mut foreign, part) in self.foreign.into_iter().zip(&mut parts) {
            counting.spawn(async move { foreign.count(&part).await });
        }
        for (locks, part) in self.ours.into_iter().zip(&mut parts) {
            let counts = count(locks, part, plan.clone());
            counting.spawn_blocking(move || Handle::current().block_on(counts));
        }
        counting.join_all().await;
        Outcome::of(&plan)
    }
}

/// Counts as the foreign clients do it, and blocks its thread. Ours would hand the lock to each other as long
/// as one of them waits; so that kinds take turns, each gives way to a foreign client after its own.
async fn count(locks: LockManager, part: Counting, plan: Plan) {
    for _ in 0..part.times {
        let guard = locks.lock(&*part.lock).await.unwrap();
        let count: usize = shared_redis().command(&["GET", &part.counter]).parse().unwrap_or(0);
        shared_redis().command(&["RPUSH", &part.journal, "dlock"]);
        shared_redis().command(&["SET", &part.counter, &(count + 1).to_string()]);
        guard.release().await.unwrap_or_else(|error| lost_in_use(&error, &part));
        wait_until("a foreign client has had its turn", PATIENCE, || {
            Outcome::of(&plan).is_foreign_turn_over()
        });
    }
}

/// Fails, and says what stands in place of the lock.
#[expect(clippy::panic, reason = "a test that cannot go on must fail")]
fn lost_in_use(error: &LockError, part: &Counting) {
    let there = shared_redis().command(&["GET", &part.lock]);
    let journal = shared_redis().command(&["LRANGE", &part.journal, "-5", "-1"]);
    let clients = shared_redis().command(&["CLIENT", "LIST"]);
    panic!("{error:?}: the key holds {there:?} after {journal:?}, by {clients}");
}

/// What came of the counting, so far.
struct Outcome {
    counter: usize,
    journal: Vec<String>,
}

impl Outcome {
    fn of(plan: &Plan) -> Self {
        let counter = shared_redis().command(&["GET", &plan.counter()]).parse().unwrap();
        let journal = shared_redis().command(&["LRANGE", &plan.journal(), "0", "-1"]);
        Self { counter, journal: journal.lines().map(str::to_owned).collect() }
    }

    /// How often clients of this kind counted.
    fn times(&self, kind: &str) -> usize {
        self.journal.iter().filter(|counted| *counted == kind).count()
    }

    /// Whether the last to count was a foreign client, or all of them are done.
    fn is_foreign_turn_over(&self) -> bool {
        let done = self.times("redis-py") + self.times("redlock") == 2 * EACH * TIMES;
        done || self.journal.last().is_some_and(|last| last != "dlock")
    }
}

#[tokio::test]
async fn under_one_lock_no_count_is_lost() {
    let outcome = Crowd::start().await.count(Plan::new(Locking::Together)).await;
    for kind in ["dlock", "redis-py", "redlock"] {
        assert_eq!(outcome.times(kind), EACH * TIMES, "{kind}");
    }
    assert_eq!(outcome.counter, outcome.journal.len());
}

/// The same without a common lock, so that the test above is known to be able to fail.
#[tokio::test]
async fn under_locks_apart_counts_are_lost() {
    wait_until_async("a count is lost", PATIENCE, async || {
        let outcome = Crowd::start().await.count(Plan::new(Locking::Apart)).await;
        outcome.counter < outcome.journal.len()
    })
    .await;
}

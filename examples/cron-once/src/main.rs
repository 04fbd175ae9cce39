//! A job that every instance of a service starts by its own timer, and one of them runs.
//!
//! `cargo run -p cron-once` lets three instances of this process do so for a few ticks and ends.
//! `-- --backend redis://127.0.0.1:6379` (or `zookeeper://…`) puts the lock where separate processes would share it.
//!
//! The lock keeps two from running at once. That each tick's job is done once is for the ledger to say: an instance
//! whose clock is late comes when the lock is free again. If the one that runs dies, the tick stays undone in the
//! ledger, and the next instance that starts the job finds it undone.

use anyhow::ensure;
use clap::Parser;
use dlock_core::{EmbeddedBackend, FencingToken, LockError, LockManager, distributed_lock};
use futures_util::future::{join_all, try_join_all};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Parser)]
struct Arguments {
    /// Where the lock is, if not in this process: redis://HOST:PORT or zookeeper://HOST:PORT/ROOT.
    #[arg(long, value_name = "URL")]
    backend: Option<String>,
}

const INSTANCES: usize = 3;
const TICKS: u32 = 3;
const EVERY: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let instances = instances(Arguments::parse().backend.as_deref()).await?;
    let mut timer = tokio::time::interval(EVERY);
    for tick in 1..=TICKS {
        timer.tick().await;
        let outcomes = join_all(instances.iter().map(|instance| instance.report(tick))).await;
        let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
        let runs = outcomes.iter().filter(|outcome| **outcome == Outcome::Ran).count();
        println!("tick {tick}: {outcomes:?}; the job ran {runs} time");
        ensure!(runs == 1, "the job of tick {tick} ran {runs} times");
        late(&instances, tick).await?;
    }
    try_join_all(instances.iter().map(|instance| instance.locks.shutdown())).await?;
    Ok(())
}

/// An instance whose clock is late starts the job when it is done and the lock is free.
async fn late(instances: &[Instance], tick: u32) -> anyhow::Result<()> {
    let Some(last) = instances.last() else { return Ok(()) };
    let outcome = last.report(tick).await?;
    println!("tick {tick}: {outcome:?} for one that comes late");
    ensure!(outcome == Outcome::DoneBefore, "the job of tick {tick} ran again");
    Ok(())
}

/// What became of a start of the job.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It ran here.
    Ran,
    /// It is running elsewhere.
    Skipped,
    /// It ran before.
    DoneBefore,
}

/// One instance of the service, with connections of its own.
struct Instance {
    locks: LockManager,
    ledger: Ledger,
}

impl Instance {
    /// The body runs under the lock or not at all. An instance that finds the lock taken does not wait, and that is no
    /// error. A backend that is away still is one.
    #[distributed_lock(
        "job:report",
        wait = "0s",
        locks = self.locks,
        guard = lock,
        on_busy = Ok(Outcome::Skipped)
    )]
    async fn report(&self, tick: u32) -> anyhow::Result<Outcome> {
        if self.ledger.is_done(tick) {
            return Ok(Outcome::DoneBefore);
        }
        write_report().await;
        ensure!(
            self.ledger.note(tick, lock.token()),
            "another instance was faster: the lock was lost meanwhile"
        );
        Ok(Outcome::Ran)
    }
}

async fn write_report() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn instances(backend: Option<&str>) -> Result<Vec<Instance>, LockError> {
    let (shared, ledger) = (EmbeddedBackend::new(), Ledger::default());
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        let locks = match backend {
            Some(url) => LockManager::connect(url).await?,
            None => LockManager::builder(shared.clone()).build()?,
        };
        instances.push(Instance { locks, ledger: ledger.clone() });
    }
    Ok(instances)
}

/// Which tick was done last, and under which token. Separate processes would have it in their database.
#[derive(Debug, Clone, Default)]
struct Ledger(Arc<Mutex<(u32, u64)>>);

impl Ledger {
    fn is_done(&self, tick: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 >= tick
    }

    /// Notes that a tick is done, unless one with a greater token has noted something already.
    fn note(&self, tick: u32, token: FencingToken) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_newest = last.1 <= token.as_u64();
        if is_newest {
            *last = (tick, token.as_u64());
        }
        is_newest
    }
}

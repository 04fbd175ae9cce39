//! Tasks acquire and release as fast as they can (W1 to W4).

use super::{key, report};
use crate::contenders::Locks;
use crate::intervals::{self, Stamp};
use crate::order::Tally;
use crate::{clock, gate, machine, statistics};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) struct Plan<'a> {
    pub(super) tasks: usize,
    pub(super) keys: usize,
    pub(super) span: Duration,
    pub(super) stamps: Option<&'a Path>,
}

/// Caches, queues and branch predictors fill, and the locks are held across an await: if two tasks ever have one at
/// once, it is here that they meet.
const WARM_UP: Duration = Duration::from_millis(400);

/// How many cycles of each task are kept for the percentiles.
const KEPT: usize = 50_000;

pub(super) async fn work<L: Locks>(locks: &Arc<L>, prefix: &str, plan: Plan<'_>) -> Result<()> {
    let places: Vec<_> = (0..plan.keys).map(|number| Arc::new(Place::new(key(prefix, number)))).collect();
    for place in &places {
        locks.prepare(&place.key).await?;
    }
    let run = async |span, style| run(locks, &places, plan.tasks, span, style).await;
    gate::pass()?;
    let warm_up = run(WARM_UP, Style { pauses: true, stamps: plan.stamps.is_some() }).await?;
    gate::pass()?;
    let cpu = machine::cpu_micros();
    let logs = run(plan.span, Style { pauses: false, stamps: plan.stamps.is_some() }).await?;
    let cpu_micros = machine::cpu_micros() - cpu;
    if let Some(path) = plan.stamps {
        intervals::write(path, warm_up.iter().chain(&logs).flat_map(|log| log.stamps.iter().copied()))?;
    }
    report(Tally { cpu_micros, ..tally(logs, plan.span) })
}

fn tally(logs: Vec<Log>, span: Duration) -> Tally {
    let per_task: Vec<u64> = logs.iter().map(|log| log.count).collect();
    let wake_ups: u64 = logs.iter().map(|log| log.wake_ups).sum();
    let longest = logs.iter().map(|log| log.longest_wait).max().unwrap_or_default();
    let mut cycles: Vec<u64> = logs.into_iter().flat_map(|log| log.cycles).collect();
    let grants: u64 = per_task.iter().sum();
    let mut further = BTreeMap::from([("wake-ups".to_owned(), wake_ups as f64 / grants.max(1) as f64)]);
    for (name, share) in [("cycle p50 µs", 0.5), ("cycle p99 µs", 0.99)] {
        let nanos = statistics::percentile(&mut cycles, share);
        further.extend(nanos.map(|nanos| (name.to_owned(), nanos as f64 / 1e3)));
    }
    let longest_wait_ms = longest as f64 / 1e6;
    Tally { per_task, seconds: span.as_secs_f64(), longest_wait_ms, further, ..Tally::default() }
}

/// A key, and whether one of us is inside.
struct Place {
    key: String,
    inside: AtomicBool,
}

impl Place {
    fn new(key: String) -> Self {
        Self { key, inside: AtomicBool::new(false) }
    }
}

#[derive(Clone, Copy)]
struct Style {
    /// Lets other tasks run while it has the lock.
    pauses: bool,
    stamps: bool,
}

/// What happened to one task.
#[derive(Default)]
struct Log {
    count: u64,
    /// How often it was woken while it waited for locks.
    wake_ups: u64,
    longest_wait: u64,
    /// How long cycles took.
    cycles: Vec<u64>,
    stamps: Vec<Stamp>,
}

async fn run<L: Locks>(
    locks: &Arc<L>,
    places: &[Arc<Place>],
    tasks: usize,
    span: Duration,
    style: Style,
) -> Result<Vec<Log>> {
    let (mut running, end) = (JoinSet::new(), clock::after(clock::now(), span));
    for place in places.iter().cycle().take(tasks) {
        running.spawn(task(Arc::clone(locks), Arc::clone(place), end, style));
    }
    let mut logs = Vec::with_capacity(tasks);
    while let Some(log) = running.join_next().await {
        logs.push(log??);
    }
    Ok(logs)
}

async fn task<L: Locks>(locks: Arc<L>, place: Arc<Place>, end: u64, style: Style) -> Result<Log> {
    let mut log = Log::default();
    let mut wanted = clock::now();
    while wanted < end {
        let (held, wake_ups) = acquire(&*locks, &place.key).await;
        let held = held?;
        log.wake_ups += wake_ups;
        let had = clock::now();
        ensure!(
            !place.inside.swap(true, Ordering::SeqCst),
            "two tasks had the lock on {} at once",
            place.key
        );
        if style.pauses {
            tokio::task::yield_now().await;
        }
        place.inside.store(false, Ordering::SeqCst);
        let gave = if style.stamps { clock::now() } else { had };
        locks.release(held).await?;
        let free = clock::now();
        log.add(Stamp { wanted, had, gave }, free, end, style);
        wanted = free;
    }
    Ok(log)
}

/// Waits for the lock, and counts how often that wakes the task.
async fn acquire<L: Locks>(locks: &L, key: &str) -> (Result<L::Held>, u64) {
    let (mut asked, mut polls) = (pin!(locks.acquire(key)), 0);
    let outcome = poll_fn(|context| {
        polls += 1;
        asked.as_mut().poll(context)
    });
    (outcome.await, polls - 1)
}

impl Log {
    /// Who waits when time is up has waited until then, and got nothing.
    fn add(&mut self, stamp: Stamp, free: u64, end: u64, style: Style) {
        self.longest_wait = self.longest_wait.max(stamp.had.min(end).saturating_sub(stamp.wanted));
        if stamp.had <= end {
            self.count += 1;
        }
        if self.cycles.len() < KEPT {
            self.cycles.push(free - stamp.wanted);
        }
        if style.stamps {
            self.stamps.push(stamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has others run so often before it grants.
    struct Yields(usize);

    impl Locks for Yields {
        type Held = ();

        async fn acquire(&self, _: &str) -> Result<()> {
            for _ in 0..self.0 {
                tokio::task::yield_now().await;
            }
            Ok(())
        }

        async fn release(&self, (): ()) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_granted_at_once_wakes_no_task() {
        assert_eq!(acquire(&Yields(0), "k").await.1, 0);
        assert_eq!(acquire(&Yields(3), "k").await.1, 3);
    }

    #[test]
    fn wake_ups_are_told_per_grant() {
        let logs = [(3, 4), (1, 2)].map(|(count, wake_ups)| Log { count, wake_ups, ..Log::default() });
        assert_eq!(tally(logs.into(), Duration::from_secs(1)).further["wake-ups"], 1.5);
    }
}

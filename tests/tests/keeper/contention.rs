//! Many tasks take turns on a few keys while their runtimes are started, left idle and ended at random.

use super::*;
use dlock_core::{AcquireFuture, LockGuard, LockManager, Moment};
use dlock_tests::{History, Section, fresh_key, printed_seed};
use parking_lot::Mutex;
use std::future::IntoFuture as _;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

on_each!(locks_outlive_runtimes_that_come_and_go);

/// What is held longer than this is held through a renewal.
const LEASE: Duration = Duration::from_secs(4);
/// After so long everything is ended, looked at, and begun again.
const ROUND: Duration = Duration::from_secs(20);
/// Of each runtime.
const TASKS: usize = 4;
const KEYS: usize = 3;

/// I1, I2, I4, I11: nothing fails, no lock is lost, none is left, and no two are held at once.
fn locks_outlive_runtimes_that_come_and_go(place: Place) {
    let mut seeds = fastrand::Rng::with_seed(printed_seed());
    let end = Moment::now().after(soak());
    while Moment::now() < end {
        let until = end.min(Moment::now().after(ROUND));
        let run = Arc::new(Run::new(place, until));
        let runtimes = [kept, kept, || threaded(2)].map(|start: fn() -> Runtime| {
            let (run, random) = (Arc::clone(&run), fastrand::Rng::with_seed(seeds.u64(..)));
            thread::spawn(move || come_and_go(start, &run, random))
        });
        runtimes.into_iter().for_each(|runtime| runtime.join().unwrap());
        run.judge(place);
    }
}

/// How long it goes on, for each backend; `DLOCK_SOAK_SECONDS` says how long for all.
fn soak() -> Duration {
    let told =
        std::env::var("DLOCK_SOAK_SECONDS").map(|seconds| seconds.parse().expect("a number of seconds"));
    Duration::from_secs(told.unwrap_or(60)) / 3
}

/// What all runtimes of a round share.
struct Run {
    clients: [LockManager; 2],
    keys: [String; KEYS],
    until: Moment,
    history: Mutex<History>,
    wrong: Mutex<Vec<String>>,
    /// Guards that outlive the runtime that they were granted in.
    kept: Mutex<Vec<Hold>>,
}

impl Run {
    fn new(place: Place, until: Moment) -> Self {
        Self {
            clients: [(); 2].map(|()| place.client(LEASE)),
            keys: [(); KEYS].map(|()| fresh_key("turns")),
            until,
            history: Mutex::default(),
            wrong: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    fn is_over(&self) -> bool {
        Moment::now() >= self.until
    }

    fn complain(&self, wrong: String) {
        self.wrong.lock().push(wrong);
    }

    fn judge(&self, place: Place) {
        assert_eq!(*self.wrong.lock(), [""; 0]);
        self.keys.iter().for_each(|key| assert_free(place, key));
        let history = self.history.lock();
        for key in &self.keys {
            assert!(history.0.iter().any(|section| section.key == *key), "{key} was never held");
        }
        println!("{place:?}: {} turns", history.0.len());
        history.check().unwrap();
    }
}

/// Starts one runtime after the other, lets its tasks take turns, and ends it under them.
fn come_and_go(start: fn() -> Runtime, run: &Arc<Run>, mut random: fastrand::Rng) {
    while !run.is_over() {
        let runtime = start();
        for _ in 0..TASKS {
            runtime.spawn(take_turns(Arc::clone(run), random.fork()));
        }
        let life = Duration::from_millis(random.u64(20..1_500));
        runtime.block_on(async { sleep(life).await });
        idle(&mut random);
        drop(runtime);
        // Outside of any runtime, and not under the lock of the list.
        let kept = std::mem::take(&mut *run.kept.lock());
        drop(kept);
    }
}

/// Does not drive the runtime for a moment, or for longer than a lease.
#[allow(clippy::disallowed_methods, reason = "a thread that drives nothing")]
fn idle(random: &mut fastrand::Rng) {
    match random.u8(..) {
        0..8 => thread::sleep(LEASE * 5 / 4),
        8..64 => thread::sleep(Duration::from_millis(random.u64(..300))),
        _ => {}
    }
}

async fn take_turns(run: Arc<Run>, mut random: fastrand::Rng) {
    while !run.is_over() {
        let (client, key) = (random.usize(..2), random.usize(..KEYS));
        let request = run.clients[client].lock(&run.keys[key]).wait(LONG);
        let mut acquire = Box::pin(request.into_future());
        let outcome = match random.u8(..10) {
            0 => give_up(&mut acquire, &mut random).await,
            1 => look_away(&mut acquire, &mut random).await,
            _ => Some(acquire.await),
        };
        match outcome {
            Some(Ok(guard)) => Hold::new(&run, guard).work(&mut random).await,
            Some(Err(error)) => run.complain(error.to_string()),
            None => {}
        }
    }
}

type Outcome = Result<LockGuard, dlock_core::LockError>;

/// Loses its patience at any stage; the future is dropped.
async fn give_up(acquire: &mut Pin<Box<AcquireFuture>>, random: &mut fastrand::Rng) -> Option<Outcome> {
    timeout(Duration::from_micros(random.u64(..20_000)), acquire).await.ok()
}

/// Does not poll for a while.
async fn look_away(acquire: &mut Pin<Box<AcquireFuture>>, random: &mut fastrand::Rng) -> Option<Outcome> {
    if let Ok(outcome) = timeout(Duration::from_micros(random.u64(..20_000)), &mut *acquire).await {
        return Some(outcome);
    }
    sleep(Duration::from_millis(random.u64(..400))).await;
    Some(acquire.await)
}

/// A guard, and what it says while it lasts. It is written down however the guard ends.
struct Hold {
    run: Arc<Run>,
    guard: Option<LockGuard>,
    section: Section,
}

impl Hold {
    fn new(run: &Arc<Run>, guard: LockGuard) -> Self {
        let section = Section::of(guard.key().to_string(), guard.token().as_u64());
        let mut hold = Self { run: Arc::clone(run), guard: Some(guard), section };
        hold.look();
        hold
    }

    /// What the guard says is about the moment before it was asked.
    fn look(&mut self) {
        let (Some(guard), now) = (&self.guard, Moment::now()) else { return };
        if guard.is_valid() {
            self.section.valid = Some((self.section.valid.map_or(now, |(from, _)| from), now));
        } else {
            self.run.complain(format!("{guard:?} is {:?}", guard.state()));
        }
    }

    async fn work(mut self, random: &mut fastrand::Rng) {
        match random.u16(..1_000) {
            // Through a renewal.
            0 => sleep(LEASE * 5 / 4).await,
            1..20 => block(Duration::from_millis(50)),
            _ => sleep(Duration::from_micros(random.u64(..3_000))).await,
        }
        self.look();
        match random.u8(..8) {
            0 => drop(self),
            1 => self.keep(),
            _ => self.release().await,
        }
    }

    fn keep(self) {
        let run = Arc::clone(&self.run);
        run.kept.lock().push(self);
    }

    async fn release(mut self) {
        self.look();
        let Some(guard) = self.guard.take() else { return };
        if let Err(error) = guard.release().await {
            self.run.complain(error.to_string());
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.look();
        drop(self.guard.take());
        self.run.history.lock().0.push(self.section.clone());
    }
}

#[allow(clippy::disallowed_methods, reason = "a task that blocks its worker")]
fn block(span: Duration) {
    thread::sleep(span);
}

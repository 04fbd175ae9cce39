//! Tasks of several clients that take turns on a few keys, while something goes wrong.

mod history;
mod shares;

pub use history::{History, Section, Violation};

use crate::error::fail;
use crate::wait::wait_until_async;
use dlock_core::{ErrorKind, LockError, LockGuard, LockManager, Moment, Share};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Tasks that take turns, until told to end.
///
/// Whatever they are answered must be a grant or an error that a caller may pass over by asking again; who is not
/// answered at all fails the test. Every few turns each drops its request instead, at any stage.
#[derive(Debug, Default)]
pub struct Contention {
    tasks: JoinSet<()>,
    run: Arc<Run>,
}

#[derive(Debug, Default)]
struct Run {
    history: Mutex<History>,
    failures: Mutex<Vec<ErrorKind>>,
    is_ending: AtomicBool,
}

impl Run {
    /// A failure that a caller may pass over by asking again.
    fn note(&self, error: &LockError) {
        match error.kind() {
            kind if kind.is_retryable() => self.failures.lock().push(kind),
            _ => fail(error),
        }
    }
}

impl Contention {
    /// Two tasks for each manager and key, so that a grant goes round inside a process as well as between them. What
    /// fails in between is asked for again.
    #[must_use]
    pub fn start(managers: &[LockManager], keys: &[&str]) -> Self {
        let mut contention = Self::default();
        for locks in managers {
            for key in keys {
                contention.add(locks, key);
                contention.add(locks, key);
            }
        }
        contention
    }

    /// Two tasks for each manager, which take locks, readers, permits, downgrades and upgrades of `key` in turns.
    #[must_use]
    pub fn start_shares(managers: &[LockManager], key: &str) -> Self {
        let mut contention = Self::default();
        for (number, locks) in managers.iter().enumerate() {
            for task in [2 * number, 2 * number + 1] {
                let run = Arc::clone(&contention.run);
                contention.tasks.spawn(shares::take_turns(locks.clone(), key.to_owned(), task, run));
            }
        }
        contention
    }

    /// One more task.
    pub fn add(&mut self, locks: &LockManager, key: &str) {
        self.tasks.spawn(take_turns(locks.clone(), key.to_owned(), Arc::clone(&self.run)));
    }

    /// Records the whole validity of one guard: until it is lost, or all others have ended.
    pub fn keep(&mut self, key: &str, guard: LockGuard) {
        let (key, run) = (key.to_owned(), Arc::clone(&self.run));
        self.tasks.spawn(async move {
            let wanted = |_| !run.is_ending.load(Ordering::SeqCst);
            let section = hold(key, guard, wanted).await;
            run.history.lock().0.push(section);
        });
    }

    /// How many turns there were.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.run.history.lock().0.len()
    }

    /// How many turns there were on `key`.
    #[must_use]
    pub fn turns_on(&self, key: &str) -> usize {
        self.run.history.lock().0.iter().filter(|section| section.key == key).count()
    }

    /// What was answered instead of a grant.
    #[must_use]
    pub fn failures(&self) -> Vec<ErrorKind> {
        self.run.failures.lock().clone()
    }

    /// Waits for this many more turns: the locks are not lost for good.
    #[track_caller]
    pub fn more_turns(&self, turns: usize) -> impl Future<Output = ()> {
        let wanted = self.turns() + turns;
        wait_until_async("they take turns", LIMIT, async move || self.turns() >= wanted)
    }

    /// Ends all, and checks that the guards that were valid at once fit together, and that tokens rose (I1, I2).
    pub async fn end(self) {
        if let Err(violation) = self.stop().await.check() {
            fail(&violation);
        }
    }

    /// The same where locks may be forgotten: two guards may be valid at once then, but a hold that began after
    /// another had ended has the greater token, and no token is given twice (I2).
    pub async fn end_with_tokens_in_order(self) {
        if let Err(violation) = self.stop().await.check_order() {
            fail(&violation);
        }
    }

    /// Ends all, and tells what happened.
    pub async fn stop(mut self) -> History {
        self.run.is_ending.store(true, Ordering::SeqCst);
        while let Some(task) = within("every task has its last turn", self.tasks.join_next()).await {
            if let Err(error) = task {
                fail(&error);
            }
        }
        std::mem::take(&mut *self.run.history.lock())
    }
}

async fn take_turns(locks: LockManager, key: String, run: Arc<Run>) {
    for turn in 0_usize.. {
        if run.is_ending.load(Ordering::SeqCst) {
            return;
        }
        let acquire = locks.lock(&key).acquire();
        // Every few turns it loses patience, wherever its request is by then.
        let patience = if turn % 5 == 4 { Duration::from_millis(turn as u64 % 40) } else { LIMIT };
        match tokio::time::timeout(patience, acquire).await {
            Ok(Ok(guard)) => {
                let section = hold(key.clone(), guard, |looks| looks < turn % 4).await;
                run.history.lock().0.push(section);
            }
            Ok(Err(error)) => run.note(&error),
            Err(_) if patience < LIMIT => {}
            Err(_) => fail(&format_args!("an acquire was not answered within {LIMIT:?}")),
        }
    }
}

/// Holds while it is `wanted` and the guard is valid, and then releases.
async fn hold<S>(key: String, guard: LockGuard<S>, wanted: impl Fn(usize) -> bool) -> Section {
    let section = watch(key, Share::All, &guard, wanted).await;
    // One that was lost, or is not confirmed, is repeated in the background.
    let _ = within("a release is answered", guard.release()).await;
    section
}

/// Watches the guard while it is `wanted` and the guard is valid. What the guard says is about the moment
/// before it was asked: afterwards the task may have stood still for longer than the lease.
async fn watch<S>(
    key: String,
    share: Share,
    guard: &LockGuard<S>,
    wanted: impl Fn(usize) -> bool,
) -> Section {
    let mut section = Section { share, ..Section::of(key, guard.token().as_u64()) };
    let mut looks = 0;
    loop {
        let now = Moment::now();
        if !guard.is_valid() {
            break;
        }
        section.valid = Some((section.valid.map_or(now, |(from, _)| from), now));
        if !wanted(looks) {
            break;
        }
        looks += 1;
        // What is done under the lock.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    section
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(output) => output,
        Err(_) => fail(&format_args!("waited {LIMIT:?} in vain until {what}")),
    }
}

const LIMIT: Duration = Duration::from_secs(60);

//! What happened under contention, and whether it may have.

use super::*;
use tokio::task::JoinSet;

/// One hold: from when the grant was known until its guard ended or was over.
#[derive(Debug, Clone, Copy)]
struct Hold {
    token: u64,
    from: Moment,
    until: Moment,
}

/// Tasks that take turns on one key, until told to end.
pub(crate) struct Contention {
    tasks: JoinSet<()>,
    holds: Arc<parking_lot::Mutex<Vec<Hold>>>,
    ending: Arc<std::sync::atomic::AtomicBool>,
}

impl Contention {
    /// One task for each manager. What fails in between is asked for again.
    pub(crate) fn start(managers: Vec<LockManager>, key: &str) -> Self {
        let mut contention = Self { tasks: JoinSet::new(), holds: Arc::default(), ending: Arc::default() };
        for locks in managers {
            let (holds, ending, key) =
                (Arc::clone(&contention.holds), Arc::clone(&contention.ending), key.to_owned());
            contention.tasks.spawn(async move {
                while !ending.load(Ordering::SeqCst) {
                    match locks.lock(&key).wait(PATIENCE).await {
                        Ok(guard) => {
                            let hold = take_a_turn(guard).await;
                            holds.lock().push(hold);
                        }
                        Err(error) => assert!(error.kind().is_retryable(), "{error}"),
                    }
                }
            });
        }
        contention
    }

    pub(crate) fn turns(&self) -> usize {
        self.holds.lock().len()
    }

    /// Waits for so many more turns: the lock is not lost for good.
    pub(crate) async fn more_turns(&self, turns: usize) {
        let wanted = self.turns() + turns;
        wait_until_async("they take turns", PATIENCE, async || self.turns() >= wanted).await;
    }

    /// Ends all, and checks that no guard was valid while another one was, and that tokens rose (I1, I2).
    pub(crate) async fn end(self) {
        let holds = self.join().await;
        for (hold, next) in holds.iter().zip(holds.iter().skip(1)) {
            assert!(hold.until <= next.from, "two at once: {hold:?}, {next:?}");
        }
        assert!(holds.is_sorted_by(|hold, next| hold.token < next.token), "tokens in grant order");
    }

    /// The same where locks may be forgotten: two guards may be valid at once then, but a hold that began after
    /// another had ended has the greater token, and no token is given twice (I2).
    pub(crate) async fn end_with_tokens_in_order(self) {
        let holds = self.join().await;
        for (at, hold) in holds.iter().enumerate() {
            for next in holds.iter().skip(at + 1) {
                assert_ne!(hold.token, next.token, "the same token twice");
                assert!(hold.until > next.from || hold.token < next.token, "{hold:?}, {next:?}");
            }
        }
    }

    /// The holds in the order of their beginning.
    async fn join(mut self) -> Vec<Hold> {
        self.ending.store(true, Ordering::SeqCst);
        while let Some(task) = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await.expect("they end")
        {
            task.unwrap();
        }
        let mut holds = self.holds.lock().clone();
        holds.sort_by_key(|hold| hold.from);
        holds
    }
}

/// Holds for a moment. A hold ends, at the latest, when its guard says that it is over, and that is looked at
/// before anybody else can be granted the lock.
async fn take_a_turn(guard: LockGuard) -> Hold {
    let (token, from) = (guard.token().as_u64(), Moment::now());
    tokio::task::yield_now().await;
    let until = if guard.is_valid() { Moment::now() } else { from };
    let _ = guard.release().await;
    Hold { token, from, until }
}

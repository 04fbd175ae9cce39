//! What an owner knows of its lock, and whether all of them together are right.

use crate::lease::{FencingToken, LeaseObserver, LossReason};
use crate::time::Moment;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A lock that was asked for, valid from its grant to its deadline or its loss. Between two steps of the schedule, as
/// all here.
#[derive(Debug, Default)]
pub struct Guard {
    standing: Mutex<Standing>,
    lost: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct Standing {
    valid_until: Option<Moment>,
    is_over: bool,
    is_doubted: bool,
}

impl Guard {
    /// Whether the owner may believe that it has the lock.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.with(|standing| {
            !standing.is_over && standing.valid_until.is_some_and(|until| Moment::now() < until)
        })
    }

    /// It is granted or renewed until then. What is over stays so.
    pub fn extend(&self, valid_until: Moment) {
        self.with(|standing| standing.valid_until = standing.valid_until.max(Some(valid_until)));
    }

    /// It is released or lost.
    pub fn end(&self) {
        self.with(|standing| standing.is_over = true);
        self.lost.notify_one();
    }

    /// Waits until it is released or lost.
    pub async fn ended(&self) {
        self.lost.notified().await;
    }

    /// Whether the backend cannot vouch for it.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        self.with(|standing| standing.is_doubted)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Standing) -> T) -> T {
        look(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LeaseObserver for Guard {
    fn lose(&self, _reason: LossReason) {
        self.end();
    }

    fn doubt(&self) {
        self.with(|standing| standing.is_doubted = true);
    }

    fn trust(&self) {
        self.with(|standing| standing.is_doubted = false);
    }
}

/// Every guard of one lock in the order of their grants.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<(FencingToken, Arc<Guard>)>>);

impl Ledger {
    /// Enters a granted guard. A guard that was lost on its way is not entered.
    ///
    /// # Panics
    /// If another guard is valid (I1), or if this token or a greater one has been seen (I2).
    pub fn enter(&self, token: FencingToken, guard: &Arc<Guard>) {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.is_valid() {
            assert!(!grants.iter().any(|(_, other)| other.is_valid()), "two holders");
            let last = grants.last().map(|(last, _)| *last);
            assert!(last < Some(token), "{token} after {last:?}");
            grants.push((token, Arc::clone(guard)));
        }
    }
}

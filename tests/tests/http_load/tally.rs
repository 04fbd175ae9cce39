//! What became of the requests of a crowd.

use crate::request::Answer;
use std::collections::BTreeMap;

/// How often each answer was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(BTreeMap<Answer, usize>);

impl Tally {
    pub(crate) fn add(&mut self, answer: Answer) {
        *self.0.entry(answer).or_default() += 1;
    }

    pub(crate) fn of(&self, answer: &Answer) -> usize {
        self.0.get(answer).copied().unwrap_or_default()
    }

    /// Each request was served, refused in a way that the layer promises, cut off because its lock was lost, or given
    /// up by its client; and there were some of each kind that does not depend on luck.
    pub(crate) fn assert_answered_as_promised(&self) {
        println!("{self:?}");
        for answer in self.0.keys() {
            if let Answer::Refused { status, code, retry_after } = answer {
                assert!(PROMISED.contains(&(*status, code)), "{answer:?} of {self:?}");
                assert_eq!(*retry_after, *status != 500, "{answer:?} of {self:?}");
            }
        }
        let full = Answer::Refused { status: 429, code: "lock_queue_full".to_owned(), retry_after: true };
        for seen in [full, Answer::GivenUpBefore, Answer::GivenUpMidway] {
            assert!(self.of(&seen) > 0, "no {seen:?} in {self:?}");
        }
    }
}

/// The statuses and codes of `LockRejection`; 500 is the one of a lock that is lost while the handler runs.
const PROMISED: [(u16, &str); 4] =
    [(409, "lock_busy"), (429, "lock_queue_full"), (503, "lock_unavailable"), (500, "lock_lost")];

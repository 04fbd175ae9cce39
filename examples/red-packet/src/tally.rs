//! What the clients were told, and how long it took.

use crate::protocol::Answer;
use crate::store::Cents;
use std::time::Duration;

/// One grab as its client saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// The answer; none if every try failed.
    pub(crate) answer: Option<Answer>,
    /// From the first request to the answer.
    pub(crate) waited: Duration,
    /// How often the grab was refused.
    pub(crate) refused: u32,
    /// How often the connection broke.
    pub(crate) broken: u32,
}

/// All grabs of one run.
#[derive(Debug)]
pub(crate) struct Tally {
    outcomes: Vec<Outcome>,
    took: Duration,
}

impl Tally {
    /// Sums up `outcomes` of a run that took `took`.
    pub(crate) fn new(mut outcomes: Vec<Outcome>, took: Duration) -> Self {
        outcomes.sort_unstable_by_key(|outcome| outcome.waited);
        Self { outcomes, took }
    }

    /// The money that was paid out, by what the clients were told.
    pub(crate) fn paid_cents(&self) -> Cents {
        self.outcomes.iter().filter_map(|outcome| paid(outcome.answer)).sum()
    }

    /// How many grabs got money.
    pub(crate) fn paid(&self) -> usize {
        self.outcomes.iter().filter(|outcome| paid(outcome.answer).is_some()).count()
    }

    /// How many grabs found the packet empty.
    pub(crate) fn empty(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.answer == Some(Answer::Empty)).count()
    }

    /// How many grabs were never answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.answer.is_none()).count()
    }

    /// How many requests were refused and repeated.
    pub(crate) fn refused(&self) -> u32 {
        self.outcomes.iter().map(|outcome| outcome.refused).sum()
    }

    /// How many requests were repeated because the connection broke.
    pub(crate) fn broken(&self) -> u32 {
        self.outcomes.iter().map(|outcome| outcome.broken).sum()
    }

    /// How many grabs were answered in a second.
    pub(crate) fn grabs_per_second(&self) -> f64 {
        (self.outcomes.len() - self.unanswered()) as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// The time that `percent` of the grabs needed at most, from the first request to the answer.
    pub(crate) fn waited(&self, percent: usize) -> Duration {
        let rank = (self.outcomes.len() * percent).div_ceil(100).max(1);
        self.outcomes.get(rank - 1).map_or(Duration::ZERO, |outcome| outcome.waited)
    }
}

fn paid(answer: Option<Answer>) -> Option<Cents> {
    match answer {
        Some(Answer::Paid { cents }) => Some(cents),
        Some(Answer::Empty) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(millis: u64, answer: Option<Answer>) -> Outcome {
        Outcome { answer, waited: Duration::from_millis(millis), refused: 1, broken: 2 }
    }

    #[test]
    fn a_percentile_is_the_time_that_so_many_needed_at_most() {
        let hundred = (1..=100).rev().map(|millis| outcome(millis, Some(Answer::Empty))).collect();
        let tally = Tally::new(hundred, Duration::from_secs(1));
        assert_eq!([1, 50, 99, 100].map(|percent| tally.waited(percent).as_millis()), [1, 50, 99, 100]);
        assert_eq!(Tally::new(Vec::new(), Duration::ZERO).waited(50), Duration::ZERO);
    }

    #[test]
    fn answers_are_counted_by_what_they_are() {
        let answers =
            [Some(Answer::Paid { cents: 70 }), Some(Answer::Paid { cents: 30 }), Some(Answer::Empty), None];
        let tally = Tally::new(answers.map(|answer| outcome(1, answer)).to_vec(), Duration::from_secs(2));
        assert_eq!((tally.paid_cents(), tally.paid(), tally.empty(), tally.unanswered()), (100, 2, 1, 1));
        assert_eq!((tally.refused(), tally.broken()), (4, 8));
        assert!((tally.grabs_per_second() - 1.5).abs() < 1e-9);
    }
}

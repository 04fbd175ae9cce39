//! What the clients were told, and how long it took.

use crate::protocol::{Answer, Answered};
use crate::store::Cents;
use std::time::Duration;

/// One grab as its client saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// The answer; none if every try failed.
    pub(crate) answered: Option<Answered>,
    /// From the first request to the answer.
    pub(crate) waited: Duration,
    /// How often the grab was refused.
    pub(crate) refused: u32,
    /// How often the connection broke.
    pub(crate) broken: u32,
}

impl Outcome {
    /// The money that the grab got.
    fn paid(&self) -> Option<Cents> {
        match self.answered?.answer {
            Answer::Paid { cents } => Some(cents),
            Answer::Empty => None,
        }
    }
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
        self.outcomes.iter().filter_map(Outcome::paid).sum()
    }

    /// How many grabs got money.
    pub(crate) fn paid(&self) -> usize {
        self.outcomes.iter().filter_map(Outcome::paid).count()
    }

    /// How many grabs found the packet empty.
    pub(crate) fn empty(&self) -> usize {
        self.outcomes.len() - self.unanswered() - self.paid()
    }

    /// How many grabs were never answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.answered.is_none()).count()
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

    /// How long reading, thinking and writing took, on average of the grabs that came to it.
    pub(crate) fn mean_work(&self) -> Duration {
        let answered = self.outcomes.iter().filter_map(|outcome| outcome.answered);
        let work: Vec<_> = answered.map(|answered| answered.work).filter(|work| !work.is_zero()).collect();
        work.iter().sum::<Duration>().div_f64(work.len().max(1) as f64)
    }

    /// The time that `percent` of the grabs needed at most, from the first request to the answer.
    pub(crate) fn waited(&self, percent: usize) -> Duration {
        let rank = (self.outcomes.len() * percent).div_ceil(100).max(1);
        self.outcomes.get(rank - 1).map_or(Duration::ZERO, |outcome| outcome.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(millis: u64, answer: Option<Answer>) -> Outcome {
        let answered = answer.map(|answer| Answered { answer, work: Duration::from_millis(6) });
        Outcome { answered, waited: Duration::from_millis(millis), refused: 1, broken: 2 }
    }

    #[test]
    fn a_percentile_is_the_longest_time_of_that_share() {
        let hundred = (1..=100).rev().map(|millis| outcome(millis, Some(Answer::Empty))).collect();
        let tally = Tally::new(hundred, Duration::from_secs(1));
        assert_eq!([1, 50, 99, 100].map(|percent| tally.waited(percent).as_millis()), [1, 50, 99, 100]);
        assert_eq!(Tally::new(Vec::new(), Duration::ZERO).waited(50), Duration::ZERO);
    }

    #[test]
    fn the_mean_work_is_that_of_the_grabs_that_did_some() {
        let looked = Answered { answer: Answer::Empty, work: Duration::ZERO };
        let idle = Outcome { answered: Some(looked), ..outcome(1, None) };
        let outcomes = vec![outcome(1, Some(Answer::Empty)), outcome(1, None), idle];
        let mean = Tally::new(outcomes, Duration::from_secs(1)).mean_work();
        assert_eq!(mean, Duration::from_millis(6));
        assert_eq!(Tally::new(vec![idle], Duration::ZERO).mean_work(), Duration::ZERO);
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

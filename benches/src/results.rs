//! What was measured, number by number.

use crate::contenders::Contender;
use serde::Serialize;
use std::collections::BTreeMap;

/// Quantities of one contender in one round, by their names.
pub(crate) type Sample = BTreeMap<String, f64>;

/// One contender's turn.
#[derive(Debug, Serialize)]
struct Turn {
    workload: String,
    round: usize,
    contender: &'static str,
    #[serde(skip)]
    who: Contender,
    quantities: Sample,
}

/// All turns of a run, in the order they had.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    /// Where and with what it was measured.
    about: String,
    turns: Vec<Turn>,
}

impl Results {
    pub(crate) fn add(&mut self, workload: &str, round: usize, who: Contender, quantities: Sample) {
        let (workload, contender) = (workload.to_owned(), who.name());
        self.turns.push(Turn { workload, round, contender, who, quantities });
    }

    pub(crate) fn set_about(&mut self, about: String) {
        self.about = about;
    }

    pub(crate) fn about(&self) -> &str {
        &self.about
    }

    /// One quantity of one contender, of each round.
    pub(crate) fn rounds(&self, workload: &str, who: Contender, quantity: &str) -> Vec<f64> {
        let mut turns: Vec<&Turn> =
            self.turns.iter().filter(|turn| turn.workload == workload && turn.who == who).collect();
        turns.sort_by_key(|turn| turn.round);
        turns.iter().filter_map(|turn| turn.quantities.get(quantity).copied()).collect()
    }
}

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
#[serde(transparent)]
pub(crate) struct Results(Vec<Turn>);

impl Results {
    pub(crate) fn add(&mut self, workload: &str, round: usize, who: Contender, quantities: Sample) {
        self.0.push(Turn { workload: workload.to_owned(), round, contender: who.name(), who, quantities });
    }

    /// One quantity of one contender, of each round.
    pub(crate) fn rounds(&self, workload: &str, who: Contender, quantity: &str) -> Vec<f64> {
        let mut turns: Vec<&Turn> =
            self.0.iter().filter(|turn| turn.workload == workload && turn.who == who).collect();
        turns.sort_by_key(|turn| turn.round);
        turns.iter().filter_map(|turn| turn.quantities.get(quantity).copied()).collect()
    }
}

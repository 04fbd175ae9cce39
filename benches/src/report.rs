//! The table: what was measured, beside what was set out to be reached.

use crate::contenders::Contender;
use crate::results::Results;
use crate::statistics::{self, Spread};
use crate::workloads::{Bound, Goal, Judged, Workload};

const HEAD: [&str; 10] = [
    "workload",
    "quantity",
    "ours",
    "best peer",
    "against",
    "ratio (min..max)",
    "must",
    "aim",
    "prototype",
    "met?",
];

const NOTE: &str = "Medians over rounds; a ratio is the median of the ratios of each round, with its smallest and \
largest. Only the ratios mean something: other work on the machine moves all else. The prototype did \
nothing but this: no renewal, no fencing, no recovery.";

pub(crate) fn text(workloads: &[Workload], results: &Results) -> String {
    let rows: Vec<_> = workloads
        .iter()
        .flat_map(|workload| workload.goals.iter().filter_map(|goal| Row::of(workload, goal, results)))
        .collect();
    let missed: Vec<_> = rows.iter().filter(|row| row.missed).map(|row| row.cells.first_two()).collect();
    let verdict = match missed.as_slice() {
        [] => "Every goal that must be met is met.".to_owned(),
        missed => format!("NOT MET: {}.", missed.join("; ")),
    };
    format!("{}\n{NOTE}\n{verdict}", table(&rows))
}

struct Row {
    cells: Cells,
    missed: bool,
}

struct Cells([String; HEAD.len()]);

impl Cells {
    fn first_two(&self) -> String {
        self.0.iter().take(2).cloned().collect::<Vec<_>>().join(" ")
    }
}

impl Row {
    /// None if nothing was measured.
    fn of(workload: &Workload, goal: &Goal, results: &Results) -> Option<Self> {
        let of = |who: Contender| results.rounds(&workload.name, who, goal.quantity);
        let ours = of(goal.ours);
        let against = goal.against.map(|other| (other, of(other)));
        let judged = match (&against, goal.judged) {
            (Some((_, theirs)), Judged::Ratio) => statistics::ratios(&ours, theirs),
            (Some((_, theirs)), Judged::Difference) => statistics::differences(&ours, theirs),
            _ => ours.clone(),
        };
        let (spread, median) = (Spread::of(&ours)?, Spread::of(&judged)?.median);
        let is_met = |bound: Option<Bound>| bound.is_none_or(|bound| bound.is_met_by(median));
        let missed = !is_met(goal.must);
        let other = against.as_ref().and_then(|(who, theirs)| Some(named(*who, Spread::of(theirs)?)));
        let cells = [
            workload.name.clone(),
            format!("{}{}", goal.quantity, note(workload, goal)),
            range(spread),
            best_peer(workload, goal, results).unwrap_or_default(),
            other.unwrap_or_default(),
            comparison(goal.judged, &ours, against.as_ref().map(|(_, theirs)| theirs.as_slice())),
            bound(goal.must, goal.judged),
            bound(goal.aim, goal.judged),
            goal.prototype.map(|ratio| format!("{}×", number(ratio))).unwrap_or_default(),
            verdict(goal, missed, is_met(goal.aim)).to_owned(),
        ];
        Some(Self { cells: Cells(cells), missed })
    }
}

/// Which of ours it is, if there are several.
fn note(workload: &Workload, goal: &Goal) -> String {
    let ours = workload.contenders.iter().filter(|who| who.is_ours()).count();
    if ours > 1 { format!(", {}", goal.ours.name()) } else { String::new() }
}

fn verdict(goal: &Goal, missed: bool, aim: bool) -> &'static str {
    match (goal.must, goal.aim) {
        (None, None) => "",
        _ if missed => "NO",
        (_, Some(_)) if aim => "aim",
        _ => "yes",
    }
}

fn bound(bound: Option<Bound>, judged: Judged) -> String {
    let unit = if judged == Judged::Ratio { "×" } else { "" };
    match bound {
        None => String::new(),
        Some(Bound::AtLeast(value)) => format!("≥ {}{unit}", number(value)),
        Some(Bound::AtMost(value)) => format!("≤ {}{unit}", number(value)),
        Some(Bound::Exactly(value)) => format!("{}{unit}", number(value)),
    }
}

fn comparison(judged: Judged, ours: &[f64], theirs: Option<&[f64]>) -> String {
    let Some(theirs) = theirs else { return String::new() };
    match judged {
        Judged::Difference => Spread::of(&statistics::differences(ours, theirs)).map(range),
        _ => Spread::of(&statistics::ratios(ours, theirs)).map(|spread| {
            format!("{}× ({}..{})", number(spread.median), number(spread.least), number(spread.most))
        }),
    }
    .unwrap_or_default()
}

fn best_peer(workload: &Workload, goal: &Goal, results: &Results) -> Option<String> {
    let peers = workload.contenders.iter().filter(|who| !who.is_ours() && !who.is_reference());
    let measured = peers
        .filter_map(|&who| Some((who, Spread::of(&results.rounds(&workload.name, who, goal.quantity))?)));
    let better = if more_is_better(goal.quantity) { 1.0 } else { -1.0 };
    let best =
        measured.max_by(|(_, one), (_, other)| (better * one.median).total_cmp(&(better * other.median)));
    best.map(|(who, spread)| named(who, spread))
}

pub(crate) fn more_is_better(quantity: &str) -> bool {
    matches!(quantity, "operations/s" | "Jain")
}

fn named(who: Contender, spread: Spread) -> String {
    format!("{} {}", who.name(), number(spread.median))
}

fn range(spread: Spread) -> String {
    match spread.least == spread.most {
        true => number(spread.median),
        false => {
            format!("{} ({}..{})", number(spread.median), number(spread.least), number(spread.most))
        }
    }
}

/// With as many digits as are worth reading.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2}M", value / 1e6),
        size if size >= 1e4 => format!("{:.0}k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.3}")),
    }
}

fn trimmed(digits: String) -> String {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits,
    }
}

/// In columns, to be read as it is and as Markdown.
fn table(rows: &[Row]) -> String {
    let head = HEAD.map(str::to_owned);
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            let cells = rows.iter().map(|row| &row.cells.0).chain([&head]);
            cells.filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String; HEAD.len()]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} "));
        format!("|{}|\n", padded.collect::<Vec<_>>().join("|"))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let body: String = rows.iter().map(|row| line(&row.cells.0)).collect();
    format!("{}|{}|\n{body}", line(&head), rule.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_worth_reading() {
        let texts = [0.0, 0.0312, 0.95, 2.0, 17.04, 812.4, 43_210.0, 2_500_000.0].map(number);
        assert_eq!(texts, ["0", "0.031", "0.95", "2", "17.0", "812", "43k", "2.50M"]);
    }
}

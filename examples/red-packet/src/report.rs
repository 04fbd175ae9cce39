//! What came of it: a table to read, a line of JSON to process, and whether it was exact.

use crate::store::{Audit, Cents};
use crate::tally::Tally;
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;

/// What one run came to.
#[derive(Debug)]
pub(crate) struct Run {
    /// What the clients were told.
    pub(crate) tally: Tally,
    /// What the books say.
    pub(crate) audit: Audit,
}

/// Both runs.
#[derive(Debug)]
pub(crate) struct Report {
    /// The backend's name.
    pub(crate) backend: String,
    /// How many servers there were.
    pub(crate) servers: u16,
    /// How many grabs there were in each run.
    pub(crate) grabs: u32,
    /// What was in each packet.
    pub(crate) total: Cents,
    /// The run without the lock.
    pub(crate) unlocked: Run,
    /// The run with the lock.
    pub(crate) locked: Run,
}

/// The line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    backend: &'a str,
    servers: u16,
    grabs: u32,
    total_cents: Cents,
    paid_cents_unlocked: Cents,
    paid_cents_locked: Cents,
    stale_writes_refused: u64,
    grabs_per_s: f64,
}

impl Report {
    /// Whether the locked run gave away the packet to the cent: every grab was answered, and what the clients
    /// were told, what the payments add up to, and what is left agree.
    pub(crate) fn is_exact(&self) -> bool {
        let Run { tally, audit } = &self.locked;
        tally.unanswered() == 0
            && tally.paid_cents() == audit.paid
            && audit.paid + audit.left.cents == self.total
            && audit.left.cents == 0
    }

    /// Prints the line of JSON, or the table.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        match json {
            true => println!("{}", serde_json::to_string(&self.line())?),
            false => print!("{}", self.table()),
        }
        Ok(())
    }

    fn line(&self) -> Line<'_> {
        Line {
            backend: &self.backend,
            servers: self.servers,
            grabs: self.grabs,
            total_cents: self.total,
            paid_cents_unlocked: self.unlocked.tally.paid_cents(),
            paid_cents_locked: self.locked.tally.paid_cents(),
            stale_writes_refused: self.locked.audit.stale,
            grabs_per_s: (self.locked.tally.grabs_per_second() * 10.0).round() / 10.0,
        }
    }

    fn table(&self) -> String {
        let row =
            |name: &str, cell: &dyn Fn(&Run) -> String| row(name, &cell(&self.unlocked), &cell(&self.locked));
        [
            row_of_titles(),
            row("paid out", &|run| money(run.tally.paid_cents())),
            row("more than there was", &|run| money((run.tally.paid_cents() - self.total).max(0))),
            row("grabs paid", &|run| grouped(run.tally.paid())),
            row("grabs that found it empty", &|run| grouped(run.tally.empty())),
            row("grabs never answered", &|run| grouped(run.tally.unanswered())),
            row("grabs per second", &|run| format!("{:.0}", run.tally.grabs_per_second())),
            row("request to answer, p50", &|run| millis(run.tally.waited(50))),
            row("request to answer, p99", &|run| millis(run.tally.waited(99))),
            row("request to answer, longest", &|run| millis(run.tally.waited(100))),
            row("refused, asked again", &|run| grouped(run.tally.refused())),
            row("cut off, asked again", &|run| grouped(run.tally.broken())),
            row("stale tokens refused", &|run| grouped(run.audit.stale)),
            self.verdict(),
        ]
        .concat()
    }

    fn verdict(&self) -> String {
        match self.is_exact() {
            true => "\nWith the lock: exact to the cent, and every grab was answered.\n".to_owned(),
            false => {
                let Run { tally, audit } = &self.locked;
                let (told, paid, left) = (tally.paid_cents(), audit.paid, audit.left.cents);
                format!(
                    "\nWith the lock: NOT exact. Told {}, paid {}, left {} of {}; {} unanswered.\n",
                    money(told),
                    money(paid),
                    money(left),
                    money(self.total),
                    tally.unanswered()
                )
            }
        }
    }
}

fn row_of_titles() -> String {
    row("", "without the lock", "with the lock")
}

fn row(name: &str, unlocked: &str, locked: &str) -> String {
    format!("{name:28}{unlocked:>18}{locked:>18}\n")
}

/// Cents as an amount: `10,000.00`.
pub(crate) fn money(cents: Cents) -> String {
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}

/// A number that is not negative, in groups of three digits: `10,000`.
pub(crate) fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Answer;
    use crate::store::Balance;
    use crate::tally::Outcome;

    fn run(answers: &[Option<Answer>], left: Cents, paid: Cents) -> Run {
        let outcome = |answer: &Option<Answer>| Outcome {
            answer: *answer,
            waited: Duration::from_millis(3),
            refused: 0,
            broken: 0,
        };
        let tally = Tally::new(answers.iter().map(outcome).collect(), Duration::from_secs(1));
        Run { tally, audit: Audit { left: Balance { cents: left, shares: 0 }, paid, stale: 0 } }
    }

    fn report(locked: Run) -> Report {
        let unlocked = run(&[], 0, 0);
        Report { backend: "memory".to_owned(), servers: 1, grabs: 2, total: 100, unlocked, locked }
    }

    #[test]
    fn exact_means_that_told_paid_and_left_agree_and_all_are_answered() {
        let (all, half, empty) = (Answer::Paid { cents: 100 }, Answer::Paid { cents: 50 }, Answer::Empty);
        assert!(report(run(&[Some(all), Some(empty)], 0, 100)).is_exact());
        for (answers, left, paid) in [
            ([Some(all), None], 0, 100),
            ([Some(all), Some(half)], 0, 150),
            ([Some(half), Some(empty)], 0, 100),
            ([Some(half), Some(empty)], 50, 50),
            ([Some(all), Some(empty)], -50, 150),
        ] {
            assert!(!report(run(&answers, left, paid)).is_exact(), "{answers:?}");
        }
    }

    #[test]
    fn amounts_are_grouped() {
        assert_eq!(money(1_000_000), "10,000.00");
        assert_eq!(money(5), "0.05");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

//! What came of it: a table to read, a line of JSON to process, and whether it was exact.

use crate::store::{Audit, Balance, Cents};
use crate::tally::Tally;
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;

/// What one run came to.
#[derive(Debug)]
pub(crate) struct Run {
    /// How the run is called.
    pub(crate) title: String,
    /// How many grabs could be at work at the same time.
    pub(crate) at_once: u16,
    /// What the clients were told.
    pub(crate) tally: Tally,
    /// What the books say.
    pub(crate) audit: Audit,
}

impl Run {
    /// Whether a `full` packet was given away as promised. Every grab was answered; the clients were told what the
    /// books say; the payments are the packet, to the cent; and there are as many as shares, each of a cent at least.
    fn is_exact(&self, full: Balance) -> bool {
        let Self { tally, audit, .. } = self;
        let told =
            Balance { cents: tally.paid_cents(), shares: i64::try_from(tally.paid()).unwrap_or(i64::MAX) };
        let paid = Balance { cents: audit.paid, shares: audit.payments };
        let nothing = Balance { cents: 0, shares: 0 };
        tally.unanswered() == 0
            && told == paid
            && paid == full
            && audit.left == nothing
            && audit.smallest >= 1
    }

    fn verdict(&self, full: Balance) -> String {
        let Self { title, tally, audit, .. } = self;
        if self.is_exact(full) {
            return format!(
                "With {title}: exact to the cent. Every grab was answered, every share was paid once.\n"
            );
        }
        format!(
            "With {title}: NOT exact. The packet had {}; {} were paid, the clients were told of {}, {} are left; \
             {} of {} shares; {} grabs unanswered.\n",
            money(full.cents),
            money(audit.paid),
            money(tally.paid_cents()),
            money(audit.left.cents),
            grouped(audit.payments),
            grouped(full.shares),
            grouped(tally.unanswered()),
        )
    }
}

/// All runs.
#[derive(Debug)]
pub(crate) struct Report {
    /// The backend's name.
    pub(crate) backend: String,
    /// How many servers there were.
    pub(crate) servers: u16,
    /// How many grabs there were in each run.
    pub(crate) grabs: u32,
    /// How many stripes the striped packet had.
    pub(crate) stripes: u16,
    /// What was in each packet.
    pub(crate) full: Balance,
    /// The run without a lock.
    pub(crate) unlocked: Run,
    /// The run with one lock.
    pub(crate) locked: Run,
    /// The run with a lock for each stripe.
    pub(crate) striped: Run,
}

/// The line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    backend: &'a str,
    servers: u16,
    grabs: u32,
    stripes: u16,
    shares: i64,
    total_cents: Cents,
    paid_cents_unlocked: Cents,
    paid_cents_locked: Cents,
    paid_cents_striped: Cents,
    exact_unlocked: bool,
    exact_locked: bool,
    exact_striped: bool,
    stale_writes_refused: u64,
    grabs_per_s_unlocked: f64,
    grabs_per_s: f64,
    grabs_per_s_striped: f64,
}

impl Report {
    /// Whether both runs with locks gave away their packet as promised.
    pub(crate) fn is_exact(&self) -> bool {
        self.locked.is_exact(self.full) && self.striped.is_exact(self.full)
    }

    /// Prints the line of JSON, or the table.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        match json {
            true => println!("{}", serde_json::to_string(&self.line())?),
            false => print!("{}", self.text()),
        }
        Ok(())
    }

    fn line(&self) -> Line<'_> {
        let rounded = |run: &Run| (run.tally.grabs_per_second() * 10.0).round() / 10.0;
        Line {
            backend: &self.backend,
            servers: self.servers,
            grabs: self.grabs,
            stripes: self.stripes,
            shares: self.full.shares,
            total_cents: self.full.cents,
            paid_cents_unlocked: self.unlocked.tally.paid_cents(),
            paid_cents_locked: self.locked.tally.paid_cents(),
            paid_cents_striped: self.striped.tally.paid_cents(),
            exact_unlocked: self.unlocked.is_exact(self.full),
            exact_locked: self.locked.is_exact(self.full),
            exact_striped: self.striped.is_exact(self.full),
            stale_writes_refused: self.locked.audit.stale + self.striped.audit.stale,
            grabs_per_s_unlocked: rounded(&self.unlocked),
            grabs_per_s: rounded(&self.locked),
            grabs_per_s_striped: rounded(&self.striped),
        }
    }

    fn text(&self) -> String {
        let verdicts = [&self.locked, &self.striped].map(|run| run.verdict(self.full));
        [self.table(), self.bound(), verdicts.concat()].join("\n")
    }

    fn table(&self) -> String {
        let runs = [&self.unlocked, &self.locked, &self.striped];
        let row = |name: &str, cell: &dyn Fn(&Run) -> String| row(name, &runs.map(cell));
        let full = self.full;
        [
            row("", &|run| run.title.clone()),
            row("paid out", &|run| money(run.tally.paid_cents())),
            row("more than there was", &|run| money((run.tally.paid_cents() - full.cents).max(0))),
            row("exact to the cent", &|run| if run.is_exact(full) { "yes" } else { "NO" }.to_owned()),
            row("grabs paid", &|run| grouped(run.tally.paid())),
            row("grabs that found it empty", &|run| grouped(run.tally.empty())),
            row("grabs never answered", &|run| grouped(run.tally.unanswered())),
            row("grabs per second", &|run| grouped(format!("{:.0}", run.tally.grabs_per_second()))),
            row("grabs at work at once", &|run| grouped(run.at_once)),
            row("read, think, write: mean", &|run| millis(run.tally.mean_work())),
            row("request to answer, p50", &|run| millis(run.tally.waited(50))),
            row("request to answer, p99", &|run| millis(run.tally.waited(99))),
            row("request to answer, longest", &|run| millis(run.tally.waited(100))),
            row("refused, asked again", &|run| grouped(run.tally.refused())),
            row("cut off, asked again", &|run| grouped(run.tally.broken())),
            row("stale tokens refused", &|run| grouped(run.audit.stale)),
        ]
        .concat()
    }

    /// What bounds the runs with locks, so that the rate of the one lock is not read as the cost of a lock.
    fn bound(&self) -> String {
        let work = self.locked.tally.mean_work();
        format!(
            "One lock lets one grab at a time read, think for at least a millisecond and write. That took {} on\n\
             average, so one lock lets {} grabs a second through at most, however fast the lock is.\n\
             Striping cuts the packet into parts with a lock each. A grab takes its share from one part, or from\n\
             the next part if that is empty. To find every part empty it needs no lock, since an empty part stays\n\
             empty. Striping suits what can be given out in parts that need not know of each other: money, stock,\n\
             seats.\n",
            millis(work),
            grouped(format!("{:.0}", 1.0 / work.as_secs_f64().max(1e-9))),
        )
    }
}

fn row(name: &str, cells: &[String; 3]) -> String {
    let [unlocked, locked, striped] = cells;
    format!("{name:28}{unlocked:>14}{locked:>14}{striped:>14}\n")
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
    use crate::protocol::{Answer, Answered};
    use crate::tally::Outcome;

    fn run(answers: &[Option<Answer>], audit: Audit) -> Run {
        let outcome = |answer: &Option<Answer>| Outcome {
            answered: answer.map(|answer| Answered { answer, work: Duration::from_millis(2) }),
            waited: Duration::from_millis(3),
            refused: 0,
            broken: 0,
        };
        let tally = Tally::new(answers.iter().map(outcome).collect(), Duration::from_secs(1));
        Run { title: "one lock".to_owned(), at_once: 1, tally, audit }
    }

    const FULL: Balance = Balance { cents: 100, shares: 2 };
    const LESS: Option<Answer> = Some(Answer::Paid { cents: 40 });
    const MORE: Option<Answer> = Some(Answer::Paid { cents: 60 });
    const EMPTY: Option<Answer> = Some(Answer::Empty);

    /// The books of a packet that was given away in two shares.
    fn exact() -> Audit {
        let left = Balance { cents: 0, shares: 0 };
        Audit { left, paid: 100, payments: 2, smallest: 40, stale: 0 }
    }

    #[test]
    fn exact_means_that_all_are_answered_and_told_paid_and_left_agree() {
        assert!(run(&[LESS, MORE, EMPTY], exact()).is_exact(FULL));
        let left = |cents, shares| Audit { left: Balance { cents, shares }, ..exact() };
        for (answers, audit) in [
            (&[LESS, MORE, None][..], exact()),
            (&[LESS, EMPTY, EMPTY], exact()),
            (&[LESS, LESS, EMPTY], exact()),
            (&[LESS, MORE, EMPTY], left(50, 0)),
            (&[LESS, MORE, EMPTY], left(0, 1)),
            (&[LESS, MORE, EMPTY], Audit { paid: 150, ..exact() }),
            (&[LESS, MORE, EMPTY], Audit { payments: 3, ..exact() }),
            (&[LESS, MORE, EMPTY], Audit { smallest: 0, ..exact() }),
            (&[LESS, MORE, LESS], Audit { paid: 140, payments: 3, ..exact() }),
        ] {
            assert!(!run(answers, audit).is_exact(FULL), "{answers:?}");
        }
    }

    #[test]
    fn both_runs_with_locks_have_to_be_exact() {
        let report = |locked: &[Option<Answer>], striped: &[Option<Answer>]| Report {
            backend: "memory".to_owned(),
            servers: 1,
            grabs: 3,
            stripes: 2,
            full: FULL,
            unlocked: run(&[LESS, MORE, LESS], exact()),
            locked: run(locked, exact()),
            striped: run(striped, exact()),
        };
        let (right, wrong) = ([LESS, MORE, EMPTY], [LESS, MORE, LESS]);
        assert!(report(&right, &right).is_exact());
        assert!(!report(&wrong, &right).is_exact());
        assert!(!report(&right, &wrong).is_exact());
        assert!(report(&right, &wrong).text().contains("NOT exact"));
    }

    #[test]
    fn amounts_are_grouped() {
        assert_eq!(money(1_000_000), "10,000.00");
        assert_eq!(money(5), "0.05");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

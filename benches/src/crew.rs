//! The workers of one measurement: starts them, opens their gates, and collects what they say.

use crate::gate::Word;
use crate::machine;
use crate::order::{Order, Tally};
use crate::servers::{Counters, Server};
use anyhow::{Context as _, Result, bail, ensure};
use dlock_tests::wait_until;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// What came of a measurement.
pub(crate) struct Report {
    /// The server's counters at each gate, and at the end.
    pub(crate) counters: Vec<Counters>,
    /// One of each worker.
    pub(crate) tallies: Vec<Tally>,
}

/// Has a worker carry out each of the orders, all at once. A gate stays closed until the counters that were read so
/// far and the server's present ones are `ready`.
pub(crate) fn measure(
    orders: &[Order],
    server: Server<'_>,
    pinned: bool,
    ready: impl Fn(&[Counters], &Counters) -> bool,
) -> Result<Report> {
    let start = || orders.iter().map(Worker::start).collect::<Result<Vec<_>>>();
    let mut workers = if pinned { machine::pinned(start).0? } else { start()? };
    let mut counters = Vec::new();
    loop {
        let words = workers.iter_mut().map(Worker::listen).collect::<Result<Vec<_>>>()?;
        counters.push(settled(server, |now| ready(&counters, now))?);
        for worker in &mut workers {
            worker.go_on()?;
        }
        if let Some(tallies) = tallies(words)? {
            workers.into_iter().try_for_each(Worker::end)?;
            return Ok(Report { counters, tallies });
        }
    }
}

fn settled(server: Server<'_>, ready: impl Fn(&Counters) -> bool) -> Result<Counters> {
    let mut counters = server.counters();
    wait_until("the workers are where they should be", PATIENCE, || {
        let is_over = counters.as_ref().map_or(true, &ready);
        if !is_over {
            counters = server.counters();
        }
        is_over
    });
    counters
}

const PATIENCE: Duration = Duration::from_secs(120);

/// What all have done, if they are done.
fn tallies(words: Vec<Word>) -> Result<Option<Vec<Tally>>> {
    let workers = words.len();
    let done = words.into_iter().filter_map(|word| match word {
        Word::Done(tally) => Some(*tally),
        Word::AtGate => None,
    });
    match done.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(None),
        all if all.len() == workers => Ok(Some(all)),
        _ => bail!("some workers are done, and others at a gate"),
    }
}

struct Worker {
    process: Child,
    orders: ChildStdin,
    words: BufReader<ChildStdout>,
}

impl Worker {
    /// This program, started with an order. It ends when we do, as its input does.
    fn start(order: &Order) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--worker")
            .arg(serde_json::to_string(order)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().context("a worker without input")?;
        let words = BufReader::new(process.stdout.take().context("a worker without output")?);
        Ok(Self { process, orders, words })
    }

    fn listen(&mut self) -> Result<Word> {
        let mut line = String::new();
        self.words.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a worker ended early; what it says is above");
        Ok(serde_json::from_str(&line)?)
    }

    fn go_on(&mut self) -> Result<()> {
        Ok(self.orders.write_all(b"\n")?)
    }

    fn end(mut self) -> Result<()> {
        drop(self.orders);
        let status = self.process.wait()?;
        ensure!(status.success(), "a worker ended with {status}");
        Ok(())
    }
}

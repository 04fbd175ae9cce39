//! Measures dlock beside raw commands and other lock libraries, in one run on one machine, and compares the ratios
//! with what was set out to be reached. CONTRIBUTING.md says how it is run.
//!
//! Every measurement is made by a worker, a process of its own that this program starts itself as. It connects, goes
//! through gates that the parent opens for all workers of a measurement at once, works for the given time, and
//! reports on one line.

mod arguments;
mod bench;
mod clock;
mod contenders;
mod crew;
mod gate;
mod intervals;
mod loads;
mod machine;
mod order;
mod quantities;
mod report;
mod results;
mod servers;
mod statistics;
mod svg;
mod workloads;

use arguments::{Arguments, Command};
use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command { worker: Some(order), .. } => loads::work(&serde_json::from_str(&order)?),
        Command { arguments, .. } => run(&arguments),
    }
}

/// Measures, and prints what was measured. A goal that is missed is no error: this is a report.
fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let chosen = workloads::choose(arguments)?;
    let results = bench::run(&chosen, arguments)?;
    // With one side alone there is nothing to compare.
    if arguments.only.is_none() {
        println!("\n{}", report::text(&chosen, &results));
    }
    if let Some(path) = &arguments.json {
        serde_json::to_writer_pretty(std::fs::File::create(path)?, &results)?;
    }
    if let Some(path) = &arguments.svg {
        std::fs::write(path, svg::picture(&chosen, &results))?;
    }
    Ok(())
}

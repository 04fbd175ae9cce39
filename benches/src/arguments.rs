//! The command line.

use std::path::PathBuf;

/// What the program is started as.
#[derive(Debug, clap::Parser)]
#[command(name = "dlock-bench", about = "Measures dlock beside raw commands and other lock libraries")]
pub(crate) struct Command {
    /// An order, in JSON: the program is to be a worker.
    #[arg(long, hide = true)]
    pub(crate) worker: Option<String>,
    #[command(flatten)]
    pub(crate) arguments: Arguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to measure: `all`, or names of workloads, or what several of them begin with, as `growth`; none lists them.
    pub(crate) workloads: Vec<String>,
    /// How often each contender has its turn, by default 5, with --quick 2.
    #[arg(long)]
    rounds: Option<usize>,
    /// Measures those contenders alone whose names begin with this, to compare one build with another.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// Short rounds, for a look.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Writes every number of every round there, and where it was measured.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draws the ratios there; if nothing but `growth` was measured, its curves.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 }).max(1)
    }
}

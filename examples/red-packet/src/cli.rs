//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  red-packet                                       nothing to install, all in this process
  red-packet --kill                                one server dies while it holds a lock
  red-packet --stripes 64                          the third packet in 64 stripes
  red-packet --backend redis://127.0.0.1:6379      four server processes, locks in Redis
  red-packet --backend zookeeper://127.0.0.1:2181/locks --kill --json

The backends redis and zookeeper need the features of these names: cargo run --features redis,zookeeper …

Exit status: 0 exact, 1 a run with locks was not exact to the cent, 2 could not be run, 130 interrupted.";

/// A packet of 10,000.00 lies in a SQLite file. Thousands of HTTP requests to several servers grab from it,
/// first without a lock (more is paid out than there is), then with one lock (exact to the cent), then in stripes
/// with a lock each (exact, and faster).
#[derive(Debug, Parser)]
#[command(
    name = "red-packet",
    version,
    after_help = EXAMPLES,
    override_usage = "red-packet [OPTIONS]",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// What the program can be besides the demonstration itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One server process; ends when its standard input does.
    #[command(hide = true)]
    Serve(ServeArguments),
}

/// How the demonstration is run.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Where the locks are: memory:, redis://HOST:PORT or zookeeper://HOST:PORT/ROOT.
    ///
    /// With memory: all servers run in this process; otherwise each is a process of its own.
    #[arg(long, value_name = "URL", default_value = "memory:")]
    pub(crate) backend: String,

    /// How many HTTP servers share the packet.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) servers: u16,

    /// How many grabs there are; the packet has half as many shares.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) grabs: u32,

    /// How many stripes the third packet is cut into. Each has a lock of its own.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) stripes: u16,

    /// How many grabs are under way at the same time.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    pub(crate) connections: u16,

    /// How long a dead server's lock stays closed, such as 500ms or 2s.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub(crate) ttl: Duration,

    /// Kill a server that holds a lock in the middle of each run with locks, and start a new one.
    ///
    /// A server process gets SIGKILL. With memory: there is no process to kill; the server's runtime is
    /// dropped with everything in it instead, and nothing that it held is given back.
    #[arg(long)]
    pub(crate) kill: bool,

    /// Print one line of JSON and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a server process is told.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where the locks are.
    #[arg(long)]
    pub(crate) backend: String,
    /// The SQLite file with the packets.
    #[arg(long)]
    pub(crate) database: PathBuf,
    /// The length of a lease.
    #[arg(long, value_parser = duration)]
    pub(crate) ttl: Duration,
    /// Which server this is.
    #[arg(long)]
    pub(crate) number: u32,
}

/// Reads a number with a unit: `500ms`, `2s`, `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| expected_duration())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(expected_duration()),
    }
}

fn expected_duration() -> String {
    "write a number and a unit, such as 500ms, 2s or 1m".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_number_and_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["", "2", "s", "2 s", "-2s", "2h", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}

//! A red packet that thousands grab from at once: without a lock, with one, and in stripes with a lock each.
//!
//! `cargo run --release -p red-packet -- --help`

mod addresses;
mod backend;
mod cli;
mod crowd;
mod fleet;
mod process_server;
mod progress;
mod protocol;
mod report;
mod scenario;
mod server;
mod split;
mod store;
mod store_thread;
mod tally;
mod thread_server;

use clap::Parser as _;
use cli::{Cli, Command, RunArguments};
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// Everything was asked for properly, and a run with locks was not exact.
const NOT_EXACT: u8 = 1;
/// The demonstration could not be made.
const FAILED: u8 = 2;
/// Ended by Ctrl-C, as a shell reports it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Serve(arguments)) => process_server::main(arguments),
        None => demonstrate(&cli.run),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(FAILED)
    })
}

fn demonstrate(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    clients_runtime()?.block_on(async {
        tokio::select! {
            report = scenario::play(arguments) => {
                let report = report?;
                report.print(arguments.json)?;
                Ok(if report.is_exact() { ExitCode::SUCCESS } else { ExitCode::from(NOT_EXACT) })
            }
            signal = interrupted() => signal.map(|()| ExitCode::from(INTERRUPTED)),
        }
    })
}

fn clients_runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Waits for Ctrl-C or a request to terminate. What runs is dropped then, and with it every server and the
/// SQLite file.
#[cfg(unix)]
async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn interrupted() -> anyhow::Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
}

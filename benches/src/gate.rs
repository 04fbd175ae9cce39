//! Where all workers of a measurement wait for each other, and where the parent reads the server's counters.

use crate::order::Tally;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, Write as _};

/// What a worker says, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// It is at its next gate.
    AtGate,
    /// It is done.
    Done(Box<Tally>),
}

/// Waits until the parent opens the gate. Blocks the thread, on purpose: nothing of ours is to go on meanwhile.
pub(crate) fn pass() -> Result<()> {
    say(&Word::AtGate)?;
    let mut order = String::new();
    match std::io::stdin().lock().read_line(&mut order)? {
        0 => bail!("the parent is gone"),
        _ => Ok(()),
    }
}

/// Reports, and stays until the parent has read the server's counters.
pub(crate) fn report(tally: Tally) -> Result<()> {
    say(&Word::Done(Box::new(tally)))?;
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

fn say(word: &Word) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, word)?;
    Ok(output.write_all(b"\n").and_then(|()| output.flush())?)
}

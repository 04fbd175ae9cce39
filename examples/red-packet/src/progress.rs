//! How far a run is: a line to watch, and a count for the kill in the middle of a run.

use std::io::{self, IsTerminal as _, Write as _};
use tokio::sync::watch;

/// Counts finished grabs. Shown as a line that changes, unless it is hidden or standard output is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    title: String,
    grabs: u32,
    is_shown: bool,
    done: watch::Sender<u32>,
}

impl Progress {
    /// A count up to `grabs`, named `title`.
    pub(crate) fn new(title: String, grabs: u32, hidden: bool) -> Self {
        let is_shown = !hidden && io::stdout().is_terminal();
        Self { title, grabs, is_shown, done: watch::Sender::new(0) }
    }

    /// One more grab is finished.
    pub(crate) fn step(&self) {
        self.done.send_modify(|done| *done += 1);
        let done = *self.done.borrow();
        if done.is_multiple_of(STEP) {
            self.show(&format!("{}: {done} of {} grabs", self.title, self.grabs));
        }
    }

    /// Waits until `count` grabs are finished.
    pub(crate) async fn reached(&self, count: u32) {
        // The sender lives as long as `self`.
        let _ = self.done.subscribe().wait_for(|done| *done >= count).await;
    }

    /// Prints a line of its own.
    pub(crate) fn say(&self, line: &str) {
        self.finish();
        println!("{line}");
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.show("");
    }

    fn show(&self, text: &str) {
        if self.is_shown {
            print!("\r{text:WIDTH$}\r");
            // A line that is not shown does no harm.
            let _ = io::stdout().flush();
        }
    }
}

/// How many grabs there are between two changes of the line.
const STEP: u32 = 20;
/// The longest line.
const WIDTH: usize = 60;

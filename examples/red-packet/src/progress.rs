//! How far a run is: a bar for who watches, a count for who waits for the middle of it.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use tokio::sync::watch;

/// Counts finished grabs. Shown as a bar unless it is hidden or standard output is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    done: watch::Sender<u32>,
}

impl Progress {
    /// A bar of `grabs` named `title`.
    pub(crate) fn new(title: &'static str, grabs: u32, hidden: bool) -> Self {
        let bar = match hidden || !std::io::stdout().is_terminal() {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(grabs.into()),
        };
        // Only a template that is misspelt fails; the default style is as good.
        bar.set_style(
            ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(title);
        Self { bar, done: watch::Sender::new(0) }
    }

    /// One more grab is finished.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
        self.done.send_modify(|done| *done += 1);
    }

    /// Waits until `count` grabs are finished.
    pub(crate) async fn reached(&self, count: u32) {
        // The sender lives as long as `self`.
        let _ = self.done.subscribe().wait_for(|done| *done >= count).await;
    }

    /// Prints a line without tearing the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

const TEMPLATE: &str = "{msg:16} [{bar:40}] {pos}/{len} {per_sec}";

//! What a worker is told, and what it answers.

use crate::contenders::Contender;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) contender: Contender,
    pub(crate) load: Load,
    /// How to connect to the server; empty where there is none.
    pub(crate) address: String,
    /// What all keys begin with, different for each measurement.
    pub(crate) prefix: String,
}

/// What there is to do with the locks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Load {
    /// Tasks acquire and release, each the key of its number modulo `keys`.
    Cycles { tasks: usize, keys: usize, span: Duration, stamps: Option<PathBuf> },
    /// One task acquires and releases one key while the process holds others.
    Crowded { held: usize, span: Duration },
    /// One task, many times between two looks at the clock: for what takes less than the look.
    Batches { span: Duration },
    /// One task, a fixed number of cycles on one thread: for what can be counted.
    Counted { cycles: u64 },
    /// Locks are held, and renewed.
    Held { locks: usize, lease: Duration, span: Duration },
    /// New keys are locked, all at once, then released.
    Footprint { locks: usize },
    /// Tasks wait for one key for so long, then have it one after the other.
    Waiters { count: usize, span: Duration },
}

/// What a worker did.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// How many acquisitions each task had.
    pub(crate) per_task: Vec<u64>,
    pub(crate) seconds: f64,
    pub(crate) cpu_micros: f64,
    pub(crate) longest_wait_ms: f64,
    /// What only this load has to say, by the quantity's name.
    pub(crate) further: BTreeMap<String, f64>,
}

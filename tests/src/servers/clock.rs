//! A server's wall clock that a test can move.
//!
//! `clock.c` says how: a library that the server is started with adds what a file in the server's
//! directory says to the time of day. Monotonic clocks are not touched.

use super::library;
use crate::error::{Doing, HarnessError};
use parking_lot::Mutex;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The wall clock of one server. It stays moved through restarts.
#[derive(Debug)]
pub(super) struct MovableClock {
    /// Mapped by the server, so that it must be neither replaced nor shortened.
    file: File,
    moved: Mutex<i64>,
}

impl MovableClock {
    /// The clock of a server that is going to run in `directory`, not moved yet.
    pub(super) fn prepare(directory: &Path) -> Result<Self, HarnessError> {
        fs::write(directory.join(LIBRARY), library()?).doing("write the library of a movable clock")?;
        let file = File::create(directory.join("clock")).doing("make the file of a movable clock")?;
        let clock = Self { file, moved: Mutex::new(0) };
        clock.move_by(0)?;
        Ok(clock)
    }

    /// The command line of a server with a movable clock, from the one without.
    ///
    /// The library's name is relative, because a separator in the name of the directory would end it.
    pub(super) fn command_line(program: PathBuf, arguments: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
        let preload = format!("LD_PRELOAD=./{LIBRARY}").into();
        let words = [preload, program.into_os_string()].into_iter().chain(arguments);
        ("env".into(), words.collect())
    }

    /// Moves the clock, forward or (below zero) back.
    pub(super) fn move_by(&self, milliseconds: i64) -> Result<(), HarnessError> {
        let mut moved = self.moved.lock();
        *moved += milliseconds * NANOSECONDS;
        self.file.write_all_at(&moved.to_ne_bytes(), 0).doing("move a server's clock")
    }
}

/// The compiled library; once compiled, the same for the rest of this process.
fn library() -> Result<Arc<[u8]>, HarnessError> {
    static COMPILED: Mutex<Option<Arc<[u8]>>> = Mutex::new(None);
    let mut compiled = COMPILED.lock();
    if let Some(library) = &*compiled {
        return Ok(Arc::clone(library));
    }
    let library = library::compile("clock.c", include_str!("clock.c"))?.into();
    Ok(Arc::clone(compiled.insert(library)))
}

const LIBRARY: &str = "clock.so";

/// In a millisecond.
const NANOSECONDS: i64 = 1_000_000;

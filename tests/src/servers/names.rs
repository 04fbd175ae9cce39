//! Names of servers, and the addresses that they stand for.
//!
//! `names.c` says how: a library that a program is started with looks names up in a file that the test replaces.

use super::library;
use crate::error::{Doing, HarnessError, OrFail};
use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What programs that are started by it find when they look names up.
#[derive(Debug)]
pub struct NameService(TempDir);

impl NameService {
    /// A service that knows no name yet.
    #[track_caller]
    pub fn start() -> Self {
        Self::try_start().or_fail()
    }

    fn try_start() -> Result<Self, HarnessError> {
        let directory = tempfile::Builder::new().prefix("dlock-").tempdir().doing("make a directory")?;
        let library = library::compile("names.c", include_str!("names.c"))?;
        fs::write(directory.path().join("names.so"), library).doing("write the library of a name service")?;
        Ok(Self(directory))
    }

    /// From here on `name`, and no other, stands for these addresses, in their order.
    #[track_caller]
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        let words = std::iter::once(name.to_owned()).chain(addresses.iter().map(ToString::to_string));
        let (new, names) = (self.0.path().join("new"), self.0.path().join("names"));
        let line = words.collect::<Vec<_>>().join(" ") + "\n";
        let replaced = fs::write(&new, line).and_then(|()| fs::rename(&new, &names));
        replaced.doing("replace the file of a name service").or_fail();
    }

    /// A program that does what `program` does, and finds these names.
    #[track_caller]
    pub fn program(&self, program: impl AsRef<Path>) -> PathBuf {
        let (directory, script) = (self.0.path().display(), self.0.path().join("program"));
        let text = format!(
            "#!/bin/sh\nexec env LD_PRELOAD='{directory}/names.so' DLOCK_NAMES='{directory}/names' '{}' \"$@\"\n",
            program.as_ref().display()
        );
        let written = fs::write(&script, text)
            .and_then(|()| fs::set_permissions(&script, Permissions::from_mode(0o755)));
        written.doing("write a program of a name service").or_fail();
        script
    }
}

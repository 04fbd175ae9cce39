//! Libraries that programs are started with.

use super::programs;
use crate::error::{Doing, HarnessError};
use std::fs;
use std::process::Command;

/// The library that the C compiler makes of `source`, the text of a file with this name.
pub(super) fn compile(name: &str, source: &str) -> Result<Vec<u8>, HarnessError> {
    let directory = tempfile::Builder::new().prefix("dlock-").tempdir().doing("make a directory")?;
    let (file, library) = (directory.path().join(name), directory.path().join("library.so"));
    fs::write(&file, source).doing(format!("write {name}"))?;
    let mut compiler = Command::new(programs::c_compiler()?);
    let compiler = compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&file);
    let output = compiler.output().doing("run the C compiler")?;
    if !output.status.success() {
        return Err(programs::c_compiler_failed(&String::from_utf8_lossy(&output.stderr)));
    }
    fs::read(&library).doing(format!("read the library of {name}"))
}

//! Where the clients of other languages are, and what to install when they are not there.

use crate::error::HarnessError;
use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A script and what runs it.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) interpreter: PathBuf,
    pub(super) script: PathBuf,
    /// An environment variable that the interpreter needs.
    pub(super) variable: Option<(&'static str, OsString)>,
    pub(super) install: &'static str,
}

/// redis-py: run by what `DLOCK_PYTHON` names, or else by what `scripts/foreign_clients.sh` installed.
pub(super) fn redis_py() -> Program {
    let installed = || installed("python/bin/python");
    Program {
        name: "redis-py",
        interpreter: env::var_os("DLOCK_PYTHON").map_or_else(installed, PathBuf::from),
        script: script("redis_py.py"),
        variable: None,
        install: "`apt-get install python3-venv`, `scripts/foreign_clients.sh`, or name a Python that has \
                  the package redis in the environment variable DLOCK_PYTHON",
    }
}

/// redlock, from the folder that `DLOCK_NODE_MODULES` names, or else from what `scripts/foreign_clients.sh`
/// installed; run by the `node` on the `PATH`.
pub(super) fn redlock() -> Program {
    let installed = || installed("node/node_modules").into();
    Program {
        name: "redlock",
        interpreter: "node".into(),
        script: script("redlock.js"),
        variable: Some(("NODE_PATH", env::var_os("DLOCK_NODE_MODULES").unwrap_or_else(installed))),
        install: "`apt-get install nodejs npm`, `scripts/foreign_clients.sh`, or name a folder that has \
                  the packages redlock and ioredis in the environment variable DLOCK_NODE_MODULES",
    }
}

impl Program {
    /// The failure of this program to start, for the reason given.
    pub(super) fn missing(&self, reason: &dyn Display) -> HarnessError {
        let Self { name, interpreter, install, .. } = self;
        let interpreter = interpreter.display();
        HarnessError::Missing(format!(
            "{name} does not start with {interpreter}; install it with {install}: {reason}"
        ))
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(name)
}

/// A place below the target directory, which a relative `CARGO_TARGET_DIR` names from the workspace on.
fn installed(place: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    workspace.join(target).join("foreign").join(place)
}

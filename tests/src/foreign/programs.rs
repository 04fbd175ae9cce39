//! Where the clients of other languages are, and what to install when they are not there.

use crate::error::HarnessError;
use crate::servers::below_target;
use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What is started, apart from where its server is.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) interpreter: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// An environment variable that the interpreter needs.
    pub(super) variable: Option<(&'static str, OsString)>,
    pub(super) install: &'static str,
}

/// redis-py: run by what `DLOCK_PYTHON` names, or else by what `scripts/foreign_clients.sh` installed.
pub(super) fn redis_py() -> Program {
    python("redis-py", "redis_py.py")
}

/// kazoo: run as redis-py is.
pub(super) fn kazoo() -> Program {
    python("kazoo", "kazoo_lock.py")
}

fn python(name: &'static str, file: &str) -> Program {
    let installed = || installed("python/bin/python");
    Program {
        name,
        interpreter: env::var_os("DLOCK_PYTHON").map_or_else(installed, PathBuf::from),
        arguments: vec![script(file)],
        variable: None,
        install: "`apt-get install python3-venv`, `scripts/foreign_clients.sh`, or name a Python that has \
                  the packages redis and kazoo in the environment variable DLOCK_PYTHON",
    }
}

/// redlock, from the folder that `DLOCK_NODE_MODULES` names, or else from what `scripts/foreign_clients.sh`
/// installed; run by the `node` on the `PATH`.
pub(super) fn redlock() -> Program {
    let installed = || installed("node/node_modules").into();
    Program {
        name: "redlock",
        interpreter: "node".into(),
        arguments: vec![script("redlock.js")],
        variable: Some(("NODE_PATH", env::var_os("DLOCK_NODE_MODULES").unwrap_or_else(installed))),
        install: "`apt-get install nodejs npm`, `scripts/foreign_clients.sh`, or name a folder that has \
                  the packages redlock and ioredis in the environment variable DLOCK_NODE_MODULES",
    }
}

/// Curator, from the jars that `DLOCK_CURATOR_CLASSPATH` names, or else from Debian's (which name what they need);
/// run by the `java` on the `PATH`.
pub(super) fn curator() -> Program {
    let jars = env::var_os("DLOCK_CURATOR_CLASSPATH").unwrap_or_else(|| DEBIAN_CLASSPATH.into());
    let mut classpath = installed("java").into_os_string();
    classpath.push(":");
    classpath.push(jars);
    let options = JAVA_OPTIONS.map(OsString::from);
    Program {
        name: "Curator",
        interpreter: "java".into(),
        arguments: [options.as_slice(), &["-cp".into(), classpath, "Curator".into()]].concat(),
        variable: None,
        install: "`apt-get install default-jdk-headless libcurator-recipes-java`, `scripts/foreign_clients.sh`, or \
                  name the jars of Curator's recipes in the environment variable DLOCK_CURATOR_CLASSPATH",
    }
}

/// A program of these tests' own.
pub(super) fn own(name: &'static str, program: PathBuf) -> Program {
    Program { name, interpreter: program, arguments: Vec::new(), variable: None, install: "`cargo build`" }
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

fn script(name: &str) -> OsString {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(name).into()
}

fn installed(place: &str) -> PathBuf {
    below_target("foreign").join(place)
}

const DEBIAN_CLASSPATH: &str = "/usr/share/java/curator-recipes.jar:/usr/share/java/slf4j-simple.jar";

/// A small, quickly started virtual machine that takes classes as they are and logs what is wrong.
const JAVA_OPTIONS: [&str; 7] = [
    "-Xmx64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-BytecodeVerificationRemote",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

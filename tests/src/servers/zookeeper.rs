//! A ZooKeeper server.

use super::instance::Instance;
use super::ports::{loopback, with_free_ports};
use super::programs;
use super::wire::{PATIENCE, PROBE_PATIENCE, connect};
use super::zoo_cfg::{DATA_DIRECTORY, ZooCfg};
use crate::error::{Doing, HarnessError, OrFail};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A ZooKeeper process on a loopback port.
///
/// It ends when this value is dropped or the test process ends; its data goes with it.
#[derive(Debug)]
pub struct ZooKeeperServer {
    instance: Instance,
    port: u16,
}

impl ZooKeeperServer {
    /// Starts a server alone, and returns once it serves.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server to be configured before it starts.
    pub fn builder() -> ZooKeeperServerBuilder {
        ZooKeeperServerBuilder::default()
    }

    /// The client port, which stays the same through restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The client address, to be connected to or relayed to.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// `127.0.0.1:PORT`, as ZooKeeper clients take it.
    pub fn hosts(&self) -> String {
        self.address().to_string()
    }

    /// The server's working directory, which stays the same through restarts and goes with this value.
    pub fn directory(&self) -> &Path {
        self.instance.directory()
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        self.instance.log_tail()
    }

    /// `standalone`, `leader` or `follower`; none while the server does not serve.
    pub fn mode(&self) -> Option<String> {
        self.mode_within(PATIENCE)
    }

    /// Sends a four letter command, such as `srvr`, `dump`, `wchs` or `cons`, and gives the answer.
    #[track_caller]
    pub fn four_letter(&self, word: &str) -> String {
        self.try_four_letter(word).or_fail()
    }

    /// As [`four_letter`](Self::four_letter), but gives an error back.
    pub fn try_four_letter(&self, word: &str) -> Result<String, HarnessError> {
        ask(self.address(), word, PATIENCE).doing(format!("ask ZooKeeper at {} for {word}", self.hosts()))
    }

    /// Kills the server (SIGKILL) and returns when it has ended, so that its port refuses connections.
    pub fn kill(&mut self) {
        self.instance.kill();
    }

    /// Starts the server on its old port and data, after killing it when it still runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.spawn().and_then(|()| self.await_serving()).or_fail();
    }

    /// Stops the server where it is (SIGSTOP): it accepts connections and answers nothing.
    #[track_caller]
    pub fn pause(&mut self) {
        self.instance.pause().or_fail();
    }

    /// Lets a paused server go on (SIGCONT).
    #[track_caller]
    pub fn resume(&mut self) {
        self.instance.resume().or_fail();
    }

    pub(super) fn mode_within(&self, patience: Duration) -> Option<String> {
        let running = self.instance.is_running();
        let answer = running.then(|| ask(self.address(), "srvr", patience).ok()).flatten()?;
        mode_in(&answer)
    }

    /// A server with its configuration written, that does not run yet.
    pub(super) fn prepare(port: u16, cfg: &ZooCfg) -> Result<Self, HarnessError> {
        let name = format!("ZooKeeper on port {port}");
        let instance = Instance::new(name, programs::java()?, java_arguments(cfg)?)?;
        let data = instance.directory().join(DATA_DIRECTORY);
        fs::create_dir(&data).doing(format!("make {}", data.display()))?;
        let directory = instance.directory().display().to_string();
        instance.write(CONFIG_FILE, &cfg.text(port, &directory))?;
        cfg.files.iter().try_for_each(|(name, text)| instance.write(name, text))?;
        Ok(Self { instance, port })
    }

    /// Writes which member of an ensemble this server is.
    pub(super) fn write_id(&self, id: usize) -> Result<(), HarnessError> {
        self.instance.write(&format!("{DATA_DIRECTORY}/myid"), &id.to_string())
    }

    pub(super) fn spawn(&mut self) -> Result<(), HarnessError> {
        self.instance.spawn()
    }

    /// Waits until the server serves clients, which a member of an ensemble does with a majority only.
    pub(super) fn await_serving(&mut self) -> Result<(), HarnessError> {
        let address = self.address();
        self.instance.await_ready(START_LIMIT, |instance| is_serving(instance, address))
    }

    pub(super) fn is_running(&self) -> bool {
        self.instance.is_running()
    }
}

/// Configures a [`ZooKeeperServer`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct ZooKeeperServerBuilder {
    cfg: ZooCfg,
}

impl ZooKeeperServerBuilder {
    /// The server's unit of time, 200 ms by default: a session expires up to one tick late, and its
    /// timeout is at least two ticks.
    pub fn tick_time(mut self, tick_time: Duration) -> Self {
        self.cfg.tick_time = tick_time;
        self
    }

    /// Adds a line of `zoo.cfg`, such as `snapCount=100`; it wins over the harness's own lines.
    pub fn config(mut self, line: &str) -> Self {
        self.cfg.lines.push(line.to_owned());
        self
    }

    /// Adds an option of the virtual machine, such as `-Dname=value`.
    pub fn java_option(mut self, option: &str) -> Self {
        self.cfg.java_options.push(option.to_owned());
        self
    }

    /// Writes a file into the server's directory, in which it runs.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.cfg.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Starts the server, and returns once it serves.
    #[track_caller]
    pub fn start(self) -> ZooKeeperServer {
        self.try_start().or_fail()
    }

    /// As [`start`](Self::start), but gives the failure back.
    pub fn try_start(self) -> Result<ZooKeeperServer, HarnessError> {
        with_free_ports(|[port]| self.start_on(port))
    }

    fn start_on(&self, port: u16) -> Result<ZooKeeperServer, HarnessError> {
        let mut server = ZooKeeperServer::prepare(port, &self.cfg)?;
        server.spawn()?;
        server.await_serving()?;
        Ok(server)
    }
}

/// `zkServer.sh` is not needed: the jar names what it depends on.
fn java_arguments(cfg: &ZooCfg) -> Result<Vec<OsString>, HarnessError> {
    let mut arguments = vec!["-cp".into(), programs::zookeeper_classpath()?];
    arguments.extend(JAVA_OPTIONS.map(OsString::from));
    arguments.extend(cfg.java_options.iter().map(OsString::from));
    arguments.extend(["org.apache.zookeeper.server.quorum.QuorumPeerMain", CONFIG_FILE].map(OsString::from));
    Ok(arguments)
}

/// Whether this instance's own server serves. (`ruok` answers `imok` too early, and nobody's port.)
fn is_serving(instance: &Instance, address: SocketAddr) -> bool {
    let serves = ask(address, "srvr", PROBE_PATIENCE).is_ok_and(|answer| mode_in(&answer).is_some());
    serves && ask(address, "conf", PROBE_PATIENCE).is_ok_and(|answer| instance.is_named_in(&answer))
}

fn mode_in(answer: &str) -> Option<String> {
    answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
}

fn ask(address: SocketAddr, word: &str, patience: Duration) -> io::Result<String> {
    let mut stream = connect(address, patience)?;
    stream.write_all(word.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A small, quickly started virtual machine, which takes the installed classes as they are; data that
/// need not survive the machine; no files outside the server's directory; container and TTL nodes, with
/// empty containers gone within a second; a log that the harness's own questions do not fill.
const JAVA_OPTIONS: [&str; 12] = [
    "-Xms64m",
    "-Xmx192m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-BytecodeVerificationRemote",
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.extendedTypesEnabled=true",
    "-Dznode.container.checkIntervalMs=1000",
    "-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.NIOServerCnxn=warn",
];

const CONFIG_FILE: &str = "zoo.cfg";

const START_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_reported_and_its_owner_not_mistaken_for_ours() {
        let owner = ZooKeeperServer::start();
        let error = ZooKeeperServer::builder().start_on(owner.port()).unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
    }

    #[test]
    fn the_mode_is_read_from_srvr() {
        assert_eq!(mode_in("Zxid: 0x0\nMode: follower\nNode count: 5\n").as_deref(), Some("follower"));
        assert_eq!(mode_in("This ZooKeeper instance is not currently serving requests\n"), None);
    }
}

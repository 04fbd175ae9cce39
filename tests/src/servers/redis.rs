//! A Redis server.

use super::clock::MovableClock;
use super::instance::Instance;
use super::ports::{free_ports, loopback, with_free_ports};
use super::programs;
use super::redis_kind::RedisKind;
use super::replication::{follows, has_good_replicas, keeps_up};
use super::resp::RespConnection;
use super::wire::{PATIENCE, PROBE_PATIENCE};
use crate::error::{HarnessError, OrFail, fail};
use crate::wait::poll;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A server with Redis's protocol on a loopback port.
///
/// It keeps nothing on disk unless configured to, and ends when this value is dropped or the test
/// process ends.
#[derive(Debug)]
pub struct RedisServer {
    instance: Instance,
    port: u16,
    tls_port: Option<u16>,
    login: Option<Login>,
    clock: Option<MovableClock>,
    kind: RedisKind,
    mode: Mode,
}

impl RedisServer {
    /// Starts a server with no password and no persistence, and returns once it answers.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server to be configured before it starts.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    /// The port, which stays the same through restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, to be connected to or relayed to.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// Where it listens for TLS, which stays the same through restarts. To be asked for by
    /// [`RedisServerBuilder::tls`].
    #[track_caller]
    pub fn tls_address(&self) -> SocketAddr {
        match self.tls_port {
            Some(port) => loopback(port),
            None => fail(&format_args!("{} was started without TLS", self.url())),
        }
    }

    /// `redis://127.0.0.1:PORT`, without a password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The server's working directory, which stays the same through restarts and goes with this value.
    pub fn directory(&self) -> &Path {
        self.instance.directory()
    }

    /// Which server it is.
    pub fn kind(&self) -> RedisKind {
        self.kind
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        self.instance.log_tail()
    }

    /// Sends one command on a connection of its own and gives the answer: text as it is, a number in
    /// digits, nothing as `(nil)`, an array as the lines of its elements. An error fails the test.
    #[track_caller]
    pub fn command(&self, command: &[&str]) -> String {
        self.try_command(command).or_fail()
    }

    /// Has a node of a cluster serve every slot. Redis 6.2 takes no range of them.
    #[track_caller]
    pub fn serve_all_slots(&self) {
        let slots: Vec<String> = (0..16_384).map(|slot: u16| slot.to_string()).collect();
        let slots = slots.iter().map(String::as_str);
        self.command(&["CLUSTER", "ADDSLOTS"].into_iter().chain(slots).collect::<Vec<_>>());
    }

    /// As [`command`](Self::command), but gives an error back: [`HarnessError::Reply`] is the server's.
    pub fn try_command(&self, command: &[&str]) -> Result<String, HarnessError> {
        log_in(self.address(), self.login.as_ref(), PATIENCE)?.call(command)
    }

    /// A connection that is kept, for what takes more than one command.
    #[track_caller]
    pub fn connect(&self) -> RespConnection {
        log_in(self.address(), self.login.as_ref(), PATIENCE).or_fail()
    }

    /// Kills the server (SIGKILL) and returns when it has ended, so that its port refuses connections.
    pub fn kill(&mut self) {
        self.instance.kill();
    }

    /// Starts the server on its old port and directory, after killing it when it still runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.serve().or_fail();
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

    /// Makes a replica a primary, with what it has got so far; others that follow it still do.
    #[track_caller]
    pub fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Moves the wall clock of the running server, forward or (below zero) back, on top of earlier moves.
    /// Monotonic clocks go on as they were. To be asked for by [`RedisServerBuilder::movable_clock`].
    #[track_caller]
    pub fn move_clock(&self, milliseconds: i64) {
        let Some(clock) = &self.clock else {
            fail(&format_args!("{} was started without a movable clock", self.url()))
        };
        let before = self.time_ms();
        clock.move_by(milliseconds).or_fail();
        before.map(|before| self.await_time(before + milliseconds, milliseconds)).unwrap_or(Ok(())).or_fail();
    }

    /// Waits until the server sees a time that is nearer to this one than to the one before the move: Valkey looks at
    /// the clock once in a millisecond.
    fn await_time(&self, time: i64, moved: i64) -> Result<(), HarnessError> {
        let is_seen = || self.time_ms().filter(|now| (now - time).abs() <= moved.abs() / 2);
        let seen = poll(START_LIMIT, is_seen).map(drop);
        seen.ok_or_else(|| self.instance.not_serving("does not see that its clock was moved".to_owned()))
    }

    /// The time of day that the server sees; none while it does not answer.
    fn time_ms(&self) -> Option<i64> {
        let answer = self.probe(&["TIME"])?;
        let (seconds, micros) = answer.split_once('\n')?;
        Some(seconds.parse::<i64>().ok()? * 1_000 + micros.parse::<i64>().ok()? / 1_000)
    }

    pub(super) fn is_running(&self) -> bool {
        self.instance.is_running()
    }

    /// The answer to a question that is asked again anyway; none without one.
    pub(super) fn probe(&self, command: &[&str]) -> Option<String> {
        probe(self.address(), self.login.as_ref(), command)
    }

    /// How a command that makes this server log in at one like it says so.
    pub(super) fn login_words(&self) -> Vec<&str> {
        self.login.iter().flat_map(|Login { user, password }| ["AUTH2", user, password]).collect()
    }

    /// What the server says about its primary and its replicas; none while it does not answer.
    pub(super) fn replication(&self) -> Option<String> {
        self.probe(&["INFO", "replication"])
    }

    pub(super) fn serve(&mut self) -> Result<(), HarnessError> {
        self.instance.spawn()?;
        let (address, login, mode) = (self.address(), self.login.clone(), self.mode);
        self.instance.await_ready(START_LIMIT, |instance| is_ready(instance, mode, address, login.as_ref()))
    }

    /// Waits until this replica and its primary agree that it follows.
    fn await_following(&mut self, primary: SocketAddr) -> Result<(), HarnessError> {
        let (address, port, login) = (self.address(), self.port, self.login.clone());
        let info = |address| probe(address, login.as_ref(), &["INFO", "replication"]);
        self.instance.await_ready(START_LIMIT, |_| {
            info(address).is_some_and(|info| follows(&info))
                && info(primary).is_some_and(|info| keeps_up(&info, port) && has_good_replicas(&info))
        })
    }
}

/// Configures a [`RedisServer`].
#[derive(Debug, Default, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct RedisServerBuilder {
    config: Vec<String>,
    files: Vec<(String, String)>,
    login: Option<Login>,
    primary: Option<SocketAddr>,
    movable_clock: bool,
    tls: bool,
    kind: RedisKind,
    mode: Mode,
}

impl RedisServerBuilder {
    /// Which server it is, if not the one that this process runs over.
    pub fn kind(mut self, kind: RedisKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds a line of `redis.conf`, such as `appendonly yes`; it wins over the harness's own lines.
    pub fn config(mut self, line: &str) -> Self {
        self.config.push(line.to_owned());
        self
    }

    /// Puts a file into the server's directory, for a configuration line to name by its bare name.
    pub fn file(mut self, name: &str, contents: &str) -> Self {
        self.files.push((name.to_owned(), contents.to_owned()));
        self
    }

    /// Requires a password, and uses it in [`RedisServer::command`] and to follow a primary, which is
    /// taken to have the same. The URL stays without it.
    pub fn password(self, password: &str) -> Self {
        let required = self.config(&format!("requirepass {password}"));
        required.config(&format!("masterauth {password}")).login("default", password)
    }

    /// The user [`RedisServer::command`] logs in as, when the configured rules need one. It must be
    /// allowed `PING` and `CONFIG GET`.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some(Login { user: user.to_owned(), password: password.to_owned() });
        self
    }

    /// Makes the server a replica of `primary`. It has got the primary's data when `start` returns, and
    /// the primary counts it among those it waits for.
    pub fn replica_of(self, primary: &RedisServer) -> Self {
        self.replica_of_address(primary.address())
    }

    /// As [`replica_of`](Self::replica_of), for a primary that is not of this process or is reached by a
    /// [`Relay`](crate::Relay). `start` blocks its thread, so the relay needs another thread to run on.
    pub fn replica_of_address(mut self, primary: SocketAddr) -> Self {
        self.primary = Some(primary);
        self.config(&format!("replicaof {} {}", primary.ip(), primary.port()))
    }

    /// Lets [`RedisServer::move_clock`] move the server's wall clock.
    pub fn movable_clock(mut self) -> Self {
        self.movable_clock = true;
        self
    }

    /// Has the server listen for TLS, too, with this certificate and key, in PEM. Clients show a certificate of `clients`, if
    /// there is one.
    pub fn tls(mut self, certificate: &str, key: &str, clients: Option<&str>) -> Self {
        self.tls = true;
        let asked = if clients.is_some() { "yes" } else { "no" };
        let authorities = format!("{certificate}{}", clients.unwrap_or_default());
        self.file("server.crt", certificate)
            .file("server.key", key)
            .file("authorities.crt", &authorities)
            .config("tls-cert-file server.crt")
            .config("tls-key-file server.key")
            .config("tls-ca-cert-file authorities.crt")
            .config(&format!("tls-auth-clients {asked}"))
    }

    /// Makes the server a Sentinel.
    pub(super) fn sentinel(mut self) -> Self {
        self.mode = Mode::Sentinel;
        self
    }

    /// Starts the server, and returns once it answers and follows its primary, if it has one.
    #[track_caller]
    pub fn start(self) -> RedisServer {
        self.try_start().or_fail()
    }

    /// As [`start`](Self::start), but gives the failure back.
    pub fn try_start(self) -> Result<RedisServer, HarnessError> {
        with_free_ports(|[port]| self.start_on(port))
    }

    pub(super) fn start_on(&self, port: u16) -> Result<RedisServer, HarnessError> {
        let mut server = self.prepare(port)?;
        server.serve()?;
        if let Some(primary) = self.primary {
            server.await_following(primary)?;
        }
        Ok(server)
    }

    /// A server with its files written, that does not run yet.
    fn prepare(&self, port: u16) -> Result<RedisServer, HarnessError> {
        let name = format!("{} on port {port}", self.kind.name());
        let (program, arguments) = self.command_line()?;
        let instance = Instance::new(name, program, arguments)?;
        let tls_port = self.tls.then(free_ports).transpose()?.map(|[port]| port);
        instance.write(CONFIG_FILE, &self.redis_conf(port, tls_port))?;
        for (name, contents) in &self.files {
            instance.write(name, contents)?;
        }
        let clock = self.movable_clock.then(|| MovableClock::prepare(instance.directory())).transpose()?;
        let (login, kind, mode) = (self.login.clone(), self.kind, self.mode);
        Ok(RedisServer { instance, port, tls_port, login, clock, kind, mode })
    }

    fn command_line(&self) -> Result<(PathBuf, Vec<OsString>), HarnessError> {
        let (program, arguments) = (programs::redis_server(self.kind)?, self.mode.arguments());
        Ok(if self.movable_clock {
            MovableClock::command_line(program, arguments)
        } else {
            (program, arguments)
        })
    }

    fn redis_conf(&self, port: u16, tls_port: Option<u16>) -> String {
        let (own, port) = (OWN_LINES.map(str::to_owned), format!("port {port}"));
        // The one port by which the harness knows a replica, however that follows.
        let with_tls = tls_port.map(|tls| [format!("tls-port {tls}"), format!("replica-announce-{port}")]);
        let own = own.iter().chain([&port]).chain(with_tls.iter().flatten());
        let lines: Vec<&str> = own.chain(&self.config).map(String::as_str).collect();
        lines.join("\n") + "\n"
    }
}

/// What the program runs as.
#[derive(Debug, Default, Clone, Copy)]
enum Mode {
    #[default]
    Server,
    Sentinel,
}

impl Mode {
    fn arguments(self) -> Vec<OsString> {
        match self {
            Self::Server => vec![CONFIG_FILE.into()],
            Self::Sentinel => vec![CONFIG_FILE.into(), "--sentinel".into()],
        }
    }

    /// A question whose answer names the server's directory.
    fn directory_question(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["CONFIG", "GET", "dir"],
            Self::Sentinel => &["INFO", "server"],
        }
    }
}

#[derive(Debug, Clone)]
struct Login {
    user: String,
    password: String,
}

fn log_in(
    address: SocketAddr,
    login: Option<&Login>,
    patience: Duration,
) -> Result<RespConnection, HarnessError> {
    let mut connection = RespConnection::open(address, patience)?;
    if let Some(Login { user, password }) = login {
        connection.call(&["AUTH", user, password])?;
    }
    Ok(connection)
}

/// The answer to a question that is asked again anyway; none without one.
fn probe(address: SocketAddr, login: Option<&Login>, command: &[&str]) -> Option<String> {
    log_in(address, login, PROBE_PATIENCE).and_then(|mut connection| connection.call(command)).ok()
}

/// Whether this instance's own server answers, and has loaded its data.
fn is_ready(instance: &Instance, mode: Mode, address: SocketAddr, login: Option<&Login>) -> bool {
    let Ok(mut connection) = log_in(address, login, PROBE_PATIENCE) else { return false };
    let pong = connection.call(&["PING"]).is_ok_and(|answer| answer == "PONG");
    pong && connection.call(mode.directory_question()).is_ok_and(|answer| instance.is_named_in(&answer))
}

/// No data on disk but what a replica begins with: after a transfer from memory a primary calls the replica
/// online, but may for a second keep from it what is written meanwhile.
const OWN_LINES: [&str; 4] = ["bind 127.0.0.1", "save \"\"", "appendonly no", "repl-diskless-sync no"];

const CONFIG_FILE: &str = "redis.conf";

const START_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_reported_and_its_owner_not_mistaken_for_ours() {
        let owner = RedisServer::start();
        let error = RedisServer::builder().start_on(owner.port()).unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
        assert!(error.to_string().contains("Address already in use"), "{error}");
    }

    #[test]
    fn configured_lines_come_after_the_harness_s_own() {
        let conf = RedisServer::builder().config("appendonly yes").redis_conf(7000, None);
        assert_eq!(conf, OWN_LINES.join("\n") + "\nport 7000\nappendonly yes\n");
    }
}

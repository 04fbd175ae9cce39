//! A Redis server.

use super::instance::Instance;
use super::ports::{loopback, with_free_ports};
use super::programs;
use super::resp::RespConnection;
use super::wire::{PATIENCE, PROBE_PATIENCE};
use crate::error::{HarnessError, OrFail};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A `redis-server` process on a loopback port.
///
/// It keeps nothing on disk unless configured to, and ends when this value is dropped or the test
/// process ends.
#[derive(Debug)]
pub struct RedisServer {
    instance: Instance,
    port: u16,
    login: Option<Login>,
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

    /// `redis://127.0.0.1:PORT`, without a password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The server's working directory, which stays the same through restarts and goes with this value.
    pub fn directory(&self) -> &Path {
        self.instance.directory()
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

    /// As [`command`](Self::command), but gives an error back: [`HarnessError::Reply`] is the server's.
    pub fn try_command(&self, command: &[&str]) -> Result<String, HarnessError> {
        log_in(self.address(), self.login.as_ref(), PATIENCE)?.call(command)
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

    fn serve(&mut self) -> Result<(), HarnessError> {
        self.instance.spawn()?;
        let (address, login) = (self.address(), self.login.clone());
        self.instance.await_ready(START_LIMIT, |instance| is_ready(instance, address, login.as_ref()))
    }
}

/// Configures a [`RedisServer`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct RedisServerBuilder {
    config: Vec<String>,
    files: Vec<(String, String)>,
    login: Option<Login>,
}

impl RedisServerBuilder {
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

    /// Requires a password, and uses it in [`RedisServer::command`]. The URL stays without it.
    pub fn password(self, password: &str) -> Self {
        self.config(&format!("requirepass {password}")).login("default", password)
    }

    /// The user [`RedisServer::command`] logs in as, when the configured rules need one. It must be
    /// allowed `PING` and `CONFIG GET`.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some(Login { user: user.to_owned(), password: password.to_owned() });
        self
    }

    /// Starts the server, and returns once it answers.
    #[track_caller]
    pub fn start(self) -> RedisServer {
        self.try_start().or_fail()
    }

    /// As [`start`](Self::start), but gives the failure back.
    pub fn try_start(self) -> Result<RedisServer, HarnessError> {
        with_free_ports(|[port]| self.start_on(port))
    }

    fn start_on(&self, port: u16) -> Result<RedisServer, HarnessError> {
        let name = format!("redis-server on port {port}");
        let instance = Instance::new(name, programs::redis_server()?, vec![CONFIG_FILE.into()])?;
        instance.write(CONFIG_FILE, &self.redis_conf(port))?;
        for (name, contents) in &self.files {
            instance.write(name, contents)?;
        }
        let mut server = RedisServer { instance, port, login: self.login.clone() };
        server.serve()?;
        Ok(server)
    }

    fn redis_conf(&self, port: u16) -> String {
        let own = ["bind 127.0.0.1", "save \"\"", "appendonly no"].map(str::to_owned);
        let port = format!("port {port}");
        let lines: Vec<&str> = own.iter().chain([&port]).chain(&self.config).map(String::as_str).collect();
        lines.join("\n") + "\n"
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

/// Whether this instance's own server answers, and has loaded its data.
fn is_ready(instance: &Instance, address: SocketAddr, login: Option<&Login>) -> bool {
    let Ok(mut connection) = log_in(address, login, PROBE_PATIENCE) else { return false };
    let pong = connection.call(&["PING"]).is_ok_and(|answer| answer == "PONG");
    pong && connection.call(&["CONFIG", "GET", "dir"]).is_ok_and(|answer| instance.is_named_in(&answer))
}

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
        let conf = RedisServer::builder().config("appendonly yes").redis_conf(7000);
        assert_eq!(conf, "bind 127.0.0.1\nsave \"\"\nappendonly no\nport 7000\nappendonly yes\n");
    }
}

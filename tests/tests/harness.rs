//! The harness keeps its promises: servers start, stop and come back as asked, and never outlive the
//! test process.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use dlock_tests::{
    HarnessError, RedisServer, ZooKeeperEnsemble, ZooKeeperServer, fresh_key, port_refuses, shared_redis,
    shared_zookeeper, wait_until, wait_until_async,
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

mod redis {
    use super::*;

    #[test]
    fn answers_commands() {
        let server = RedisServer::start();
        assert_eq!(server.command(&["PING"]), "PONG");
        assert_eq!(server.command(&["SET", "k", "two words"]), "OK");
        assert_eq!(server.command(&["GET", "k"]), "two words");
        assert_eq!(server.command(&["GET", "other"]), "(nil)");
        assert_eq!(server.command(&["DEL", "k"]), "1");
        assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    }

    #[test]
    fn an_error_answer_fails_the_test_or_is_given_back() {
        let server = shared_redis();
        let error = server.try_command(&["NONSENSE"]).unwrap_err();
        assert!(
            matches!(&error, HarnessError::Reply(text) if text.starts_with("ERR unknown command")),
            "{error}"
        );
        let panic = panic_message(|| drop(server.command(&["NONSENSE"])));
        assert!(panic.contains("ERR unknown command"), "{panic}");
    }

    #[test]
    fn kill_makes_the_port_refuse_and_restart_brings_it_back_empty() {
        let mut server = RedisServer::start();
        let (port, directory) = (server.port(), server.directory().to_owned());
        server.command(&["SET", "k", "v"]);
        server.kill();
        assert!(port_refuses(port));
        server.restart();
        assert_eq!((server.port(), server.directory()), (port, &*directory));
        assert_eq!(server.command(&["GET", "k"]), "(nil)");
    }

    #[test]
    fn restart_of_a_running_server_kills_it_first() {
        let mut server = RedisServer::start();
        let run = run_id(&server);
        server.restart();
        assert_ne!(run_id(&server), run);
    }

    #[test]
    fn a_configured_append_only_file_survives_a_kill() {
        let mut server = RedisServer::builder().config("appendonly yes").config("appendfsync always").start();
        server.command(&["SET", "k", "v"]);
        server.kill();
        server.restart();
        assert_eq!(server.command(&["GET", "k"]), "v");
    }

    #[test]
    fn a_password_is_required_of_others_and_used_by_the_harness() {
        let server = RedisServer::builder().password("secret").start();
        assert_eq!(server.command(&["ACL", "WHOAMI"]), "default");
        let open = RedisServer::builder().config(&format!("replicaof 127.0.0.1 {}", server.port())).start();
        wait_until("the server turns away who has no password", LIMIT, || {
            server.command(&["INFO", "errorstats"]).contains("errorstat_NOAUTH")
        });
        drop(open);
    }

    #[test]
    fn an_acl_file_can_be_placed_in_the_directory() {
        let users = "user default off\nuser admin on >pw ~* &* +@all\n";
        let builder = RedisServer::builder().file("users.acl", users).config("aclfile users.acl");
        let server = builder.login("admin", "pw").start();
        assert_eq!(server.command(&["ACL", "WHOAMI"]), "admin");
    }

    #[test]
    fn a_paused_server_accepts_and_answers_after_resume_only() {
        let mut server = RedisServer::start();
        server.pause();
        let mut connection = TcpStream::connect(server.address()).unwrap();
        connection.write_all(b"PING\r\n").unwrap();
        assert_eq!(read_some(&mut connection, Duration::from_millis(300)), None);
        server.resume();
        assert_eq!(read_some(&mut connection, LIMIT).as_deref(), Some("+PONG\r\n"));
    }

    #[test]
    fn a_failed_start_tells_what_the_server_logged() {
        let error = RedisServer::builder().config("no-such-directive yes").try_start().unwrap_err();
        assert!(error.to_string().contains("ended (exit status: 1)"), "{error}");
        assert!(error.to_string().contains("no-such-directive"), "{error}");
        let panic = panic_message(|| drop(RedisServer::builder().config("no-such-directive yes").start()));
        assert!(panic.contains("no-such-directive"), "{panic}");
    }

    #[test]
    fn dropping_ends_the_server_and_its_directory() {
        let server = RedisServer::start();
        let held = Held::new(server.port(), server.directory());
        drop(server);
        assert!(held.is_gone());
    }

    #[test]
    fn a_panicking_test_ends_its_server() {
        let mut held = None;
        let panic = panic_message(|| {
            let server = RedisServer::start();
            held = Some(Held::new(server.port(), server.directory()));
            assert_eq!(server.command(&["PING"]), "no pong", "the test fails");
        });
        assert!(panic.contains("the test fails"), "{panic}");
        assert!(held.is_some_and(|held| held.is_gone()));
    }

    #[test]
    fn the_shared_server_is_one() {
        assert_eq!(shared_redis().port(), shared_redis().port());
        let key = fresh_key("harness");
        assert_eq!(shared_redis().command(&["SET", &key, "v", "NX"]), "OK");
        assert_eq!(shared_redis().command(&["SET", &fresh_key("harness"), "v", "NX"]), "OK");
        assert_eq!(shared_redis().command(&["SET", &key, "v", "NX"]), "(nil)");
    }

    #[tokio::test]
    async fn starts_within_an_async_test() {
        let mut server = RedisServer::start();
        let port = server.port();
        let killer = tokio::task::spawn_blocking(move || server.kill());
        wait_until_async("the killed server refuses", LIMIT, async || port_refuses(port)).await;
        killer.await.unwrap();
    }

    fn run_id(server: &RedisServer) -> String {
        let info = server.command(&["INFO", "server"]);
        info.lines().find(|line| line.starts_with("run_id:")).unwrap_or_default().to_owned()
    }
}

mod zookeeper {
    use super::*;

    #[test]
    fn answers_four_letter_words() {
        let server = ZooKeeperServer::start();
        assert_eq!(server.hosts(), format!("127.0.0.1:{}", server.port()));
        assert!(server.four_letter("srvr").contains("Mode: standalone"));
        assert!(server.four_letter("wchs").contains("Total watches:0"));
        assert!(server.four_letter("dump").contains("SessionTracker dump:"));
        assert!(server.four_letter("conf").contains("tickTime=200"));
    }

    #[test]
    fn the_tick_can_be_chosen() {
        let server = ZooKeeperServer::builder().tick_time(Duration::from_millis(50)).start();
        assert!(server.four_letter("conf").contains("minSessionTimeout=100"));
    }

    #[test]
    fn kill_makes_the_port_refuse_and_restart_brings_it_back() {
        let mut server = ZooKeeperServer::start();
        let port = server.port();
        server.kill();
        assert!(port_refuses(port));
        assert_eq!(server.mode(), None);
        server.restart();
        assert_eq!(server.port(), port);
        assert_eq!(server.mode().as_deref(), Some("standalone"));
    }

    #[test]
    fn a_paused_server_accepts_and_answers_after_resume_only() {
        let mut server = ZooKeeperServer::start();
        server.pause();
        assert_eq!(server.mode(), None);
        let mut connection = TcpStream::connect(server.address()).unwrap();
        connection.write_all(b"ruok").unwrap();
        assert_eq!(read_some(&mut connection, Duration::from_millis(300)), None);
        server.resume();
        assert_eq!(read_some(&mut connection, LIMIT).as_deref(), Some("imok"));
        assert_eq!(server.mode().as_deref(), Some("standalone"));
    }

    #[test]
    fn a_failed_start_tells_what_the_server_logged() {
        let error = ZooKeeperServer::builder().config("tickTime=soon").try_start().unwrap_err();
        assert!(error.to_string().contains("java.lang.NumberFormatException"), "{error}");
    }

    #[test]
    fn the_shared_server_is_one() {
        assert_eq!(shared_zookeeper().port(), shared_zookeeper().port());
        assert_eq!(shared_zookeeper().mode().as_deref(), Some("standalone"));
    }
}

mod ensemble {
    use super::*;

    #[test]
    fn elects_one_leader_and_another_after_its_death() {
        let mut ensemble = ZooKeeperEnsemble::start();
        assert_eq!(modes(&ensemble), ["follower", "follower", "leader"]);
        assert_eq!(ensemble.hosts().split(',').count(), 3);
        let first = ensemble.leader();
        ensemble.kill(first);
        assert!(port_refuses(ensemble.server(first).port()));
        let second = ensemble.leader();
        assert_ne!(second, first);
        ensemble.restart(first);
        assert_eq!(ensemble.leader(), second);
        assert_eq!(modes(&ensemble), ["follower", "follower", "leader"]);
    }

    #[test]
    fn comes_back_after_losing_its_majority() {
        let mut ensemble = ZooKeeperEnsemble::start();
        (0..3).for_each(|index| ensemble.kill(index));
        ensemble.restart(1);
        assert_eq!(ensemble.server(1).mode(), None, "one of three serves nobody");
        ensemble.restart(0);
        assert_eq!(modes(&ensemble), ["follower", "leader"]);
    }

    #[test]
    fn a_paused_leader_is_replaced() {
        let mut ensemble = ZooKeeperEnsemble::start();
        let first = ensemble.leader();
        ensemble.pause(first);
        assert_ne!(ensemble.leader(), first);
        ensemble.resume(first);
        wait_until("the old leader follows", LIMIT, || {
            ensemble.server(first).mode().as_deref() == Some("follower")
        });
    }

    #[test]
    fn a_follower_that_is_cut_off_serves_no_client_until_it_is_reconnected() {
        let ensemble = ZooKeeperEnsemble::start_with_links();
        assert_eq!(modes(&ensemble), ["follower", "follower", "leader"]);
        let follower = (ensemble.leader() + 1) % 3;
        ensemble.cut_off(follower);
        wait_until("it has given its leader up", LIMIT, || ensemble.server(follower).mode().is_none());
        ensemble.reconnect(follower);
        wait_until("it follows again", LIMIT, || {
            ensemble.server(follower).mode().as_deref() == Some("follower")
        });
    }

    fn modes(ensemble: &ZooKeeperEnsemble) -> Vec<String> {
        let mut modes: Vec<String> = (0..3).filter_map(|index| ensemble.server(index).mode()).collect();
        modes.sort();
        modes
    }
}

mod process_death {
    use super::*;

    #[test]
    fn killing_the_test_process_ends_its_servers() {
        let (mut holder, held) = hold(&["redis", "paused-redis", "movable-redis", "zookeeper"]);
        assert!(held.iter().all(|held| !port_refuses(held.port)));
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_gone(&held);
    }

    #[test]
    fn killing_the_process_group_of_the_test_ends_its_servers() {
        let (mut holder, held) = hold(&["redis"]);
        kill_process_group(Pid::from_child(&holder), Signal::KILL).unwrap();
        holder.wait().unwrap();
        assert_gone(&held);
    }

    #[test]
    fn leaving_without_destructors_ends_its_servers() {
        let (mut holder, held) = hold(&["redis", "zookeeper"]);
        drop(holder.stdin.take());
        assert!(holder.wait().unwrap().success());
        assert_gone(&held);
    }

    fn hold(kinds: &[&str]) -> (Child, Vec<Held>) {
        let mut holder = holder(kinds).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        let held: Vec<Held> = lines.take(kinds.len()).map(|line| Held::parse(&line.unwrap())).collect();
        assert_eq!(held.len(), kinds.len(), "the holder of the servers failed");
        (holder, held)
    }

    fn assert_gone(held: &[Held]) {
        for held in held {
            wait_until(&format!("{held:?} is gone"), LIMIT, || held.is_gone());
        }
    }
}

mod missing {
    use super::*;

    #[test]
    fn redis_comes_with_its_install_command() {
        let failure = failure(holder(&["redis"]).env("DLOCK_REDIS_SERVER", "/nowhere/redis-server"));
        assert!(failure.contains("/nowhere/redis-server is missing"), "{failure}");
        assert!(failure.contains("apt-get install redis-server"), "{failure}");
    }

    #[test]
    fn zookeeper_comes_with_its_install_command() {
        let failure =
            failure(holder(&["zookeeper"]).env("DLOCK_ZOOKEEPER_CLASSPATH", "/nowhere/zookeeper.jar"));
        assert!(failure.contains("/nowhere/zookeeper.jar is missing"), "{failure}");
        assert!(failure.contains("apt-get install zookeeper"), "{failure}");
    }

    #[test]
    fn java_comes_with_its_install_command() {
        let failure = failure(holder(&["zookeeper"]).env("PATH", "/nowhere"));
        assert!(failure.contains("java is missing"), "{failure}");
        assert!(failure.contains("apt-get install zookeeper"), "{failure}");
    }

    #[test]
    fn a_c_compiler_comes_with_its_install_command() {
        let mut holder = holder(&["movable-redis"]);
        let any_file = env!("CARGO_BIN_EXE_hold_servers");
        let failure = failure(holder.env("DLOCK_REDIS_SERVER", any_file).env("PATH", "/nowhere"));
        assert!(failure.contains("cc is missing"), "{failure}");
        assert!(failure.contains("apt-get install gcc libc6-dev"), "{failure}");
    }

    fn failure(command: &mut Command) -> String {
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "it started what is missing");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// A server as its holder describes it, which leaves nothing behind when it ends.
#[derive(Debug)]
struct Held {
    port: u16,
    directory: PathBuf,
}

impl Held {
    fn new(port: u16, directory: &Path) -> Self {
        Self { port, directory: directory.to_owned() }
    }

    fn parse(line: &str) -> Self {
        let (port, directory) = line.split_once(' ').unwrap_or_default();
        Self::new(port.parse().unwrap_or_default(), Path::new(directory))
    }

    fn is_gone(&self) -> bool {
        port_refuses(self.port) && !self.directory.exists()
    }
}

/// The program that starts `kinds` of servers and holds them until its input ends.
fn holder(kinds: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hold_servers"));
    command.args(kinds).stdin(Stdio::piped());
    command
}

/// What comes next on a connection; nothing when nothing comes within `limit`.
fn read_some(connection: &mut TcpStream, limit: Duration) -> Option<String> {
    let mut bytes = [0; 64];
    connection.set_read_timeout(Some(limit)).unwrap();
    let length = connection.read(&mut bytes).ok()?;
    bytes.get(..length).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// What `test` panics with; nothing when it does not.
fn panic_message(test: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(test)).err().unwrap_or_else(|| Box::new(String::new()));
    payload.downcast::<String>().map(|message| *message).unwrap_or_default()
}

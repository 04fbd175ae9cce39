//! Servers that are away, and runtimes that have ended.

use super::*;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// S18, I10: everything ends in its time, and connections are not tried for again and again without a pause.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_not_asked_again_and_again() {
    let relay = Relay::to(shared_zookeeper()).await;
    let locks = each_for_itself(at(&relay.hosts()).build().await.unwrap());
    let key = fresh_key("away");
    let guard = locks.lock(&key).await.unwrap();
    let begun = Moment::now();
    relay.close();
    let refused = soon("a build ends", at(&relay.hosts()).build()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let refused = soon("a try ends", locks.lock(&key).try_acquire()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let waiting = locks.lock(&key).wait(Duration::from_secs(1)).acquire();
    soon("a wait ends", waiting).await.unwrap_err();
    soon("the guard is lost", guard.lost()).await;
    let (seconds, connections) = (Moment::now().since(begun).as_secs() + 1, relay.connections() as u64);
    assert!(connections > 2, "it was tried for");
    // Two that try, 20 times each in a second.
    assert!(connections < 2 * 20 * seconds, "{connections} connections in {seconds} s");
}

/// S19, I9: nothing that is dropped waits for a server that stands still: the server goes on only when all is dropped.
#[test]
fn what_is_dropped_does_not_wait_for_a_server_that_stands_still() {
    let mut server = ZooKeeperServer::start();
    let runtime = Runtime::new().unwrap();
    let locks = each_for_itself(runtime.block_on(patient(&server.hosts()).build()).unwrap());
    let [first, second] = ["a", "b"].map(|key| runtime.block_on(locks.lock(key).acquire()).unwrap());
    let waiting = runtime.spawn(locks.lock("a").acquire());
    server.pause();
    drop(first);
    waiting.abort();
    drop(locks);
    drop(second);
    server.resume();
    drop(runtime);
}

/// S34, I9: guards are dropped on a plain thread, while their runtime lives and after its end.
#[test]
fn a_guard_is_dropped_on_a_plain_thread_with_and_without_its_runtime() {
    let runtime = Runtime::new().unwrap();
    let operator = Operator::of(shared_zookeeper());
    let locks = manager(runtime.block_on(patient(&shared_zookeeper().hosts()).build()).unwrap());
    let keys = [(); 2].map(|()| LockKey::new(fresh_key("dropped")).unwrap());
    let [one, other] = keys.each_ref().map(|key| runtime.block_on(locks.lock(key).acquire()).unwrap());
    std::thread::spawn(move || drop(one)).join().expect("no panic");
    let gone = until("the node is gone", async || operator.queue(&keys[0]).is_empty());
    runtime.block_on(gone);
    drop(runtime);
    std::thread::spawn(move || drop(other)).join().expect("no panic");
    let later = Runtime::new().unwrap();
    let gone = until("the node is gone", async || operator.queue(&keys[1]).is_empty());
    later.block_on(gone);
}

/// S35: the manager of the whole program is used from two runtimes, one after the other.
#[test]
fn an_installed_manager_serves_one_runtime_after_the_other() {
    let key = fresh_key("installed");
    let first = Runtime::new().unwrap();
    LockManager::install(manager(first.block_on(backend())));
    let mut last = None;
    for runtime in [first, Runtime::new().unwrap(), Runtime::new().unwrap()] {
        let locks = LockManager::installed().unwrap();
        let guard = runtime.block_on(soon("it is granted", locks.lock(&key).acquire())).unwrap();
        assert!(guard.is_valid() && Some(guard.token()) > last);
        last = Some(guard.token());
        runtime.block_on(guard.release()).unwrap();
    }
}

/// S44, I4: ten thousand acquires are dropped at any moment, and nothing grows: neither nodes nor watches with the
/// server, nor the memory of the process.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_dropped_acquires_leave_nothing() {
    let server = ZooKeeperServer::start();
    let (holding, operator) = (patient(&server.hosts()).build().await.unwrap(), Operator::of(&server));
    let holder = claim("k");
    grant(&holding, &holder).await;
    let mut dropping = Dropping::start(&server, "k");
    let before = dropping.rounds(2_000);
    let after = dropping.rounds(10_000);
    assert!(after < before + 2_048, "from {before} KiB to {after} KiB");
    let next = operator.make_sequential("/locks/k/next-");
    operator.delete(&next);
    let queued: u32 = next.rsplit_once('-').unwrap().1.parse().unwrap();
    assert!(queued > 1_000, "{queued} were in the queue when they were dropped");
    assert_eq!(operator.queue(&holder.key).len(), 1);
    until("no watch is left", async || server.four_letter("wchs").contains("Total watches:0")).await;
    let dump = server.four_letter("dump");
    assert_eq!(dump.matches("-lock-").count(), 1, "{dump}");
}

/// The program `drop_acquires`, running.
struct Dropping {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Dropping {
    fn start(server: &ZooKeeperServer, key: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drop_acquires"));
        command.args([&server.hosts(), key]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (orders, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, orders, answers: BufReader::new(answers) }
    }

    /// How much memory it has, in KiB, after `count` more acquires.
    fn rounds(&mut self, count: usize) -> usize {
        writeln!(self.orders, "{count}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().parse().unwrap()
    }
}

impl Drop for Dropping {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! Connections whose other end is gone without a word.

use super::runtimes::busy_until;
use super::*;
use dlock_tests::{RedisCluster, Swallowed};
use std::collections::HashMap;
use std::net::SocketAddr;

/// The connections of this process to these servers, by the system's own list: whether each has a timer for probes. The
/// list has those of other processes as well, and nodes of a cluster are connected to each other.
#[cfg(target_os = "linux")]
fn probed(servers: &[SocketAddr]) -> Vec<bool> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let own: Vec<_> = files.filter_map(|file| std::fs::read_link(file.path()).ok()).collect();
    let is_own = |socket: &str| own.contains(&format!("socket:[{socket}]").into());
    let list = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let ports: Vec<_> = servers.iter().map(|server| format!(":{:04X}", server.port())).collect();
    let fields = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let to_a_server = fields.filter(|fields| ports.iter().any(|port| fields[2].ends_with(port)));
    // `01` is an established connection, `02:` a timer for probes.
    // The tenth field is the number of the socket.
    let established = to_a_server.filter(|fields| fields[3] == "01" && is_own(fields[9]));
    established.map(|fields| fields[5].starts_with("02:")).collect()
}

/// Every connection is probed by the system: the keeper's and a runtime's, those of replicas' acknowledgements and of the
/// plain recipe's transactions, and those that listen in a cluster.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_probed() {
    let (server, cluster) = (RedisServer::start(), RedisCluster::start());
    let locks = manager(&server).await;
    busy_until(&server, &locks, "order:42", 2).await;
    let within = RedisBackend::builder().url(cluster.url()).require_replicas(1).build().await.unwrap();
    let mine = claim("order:42");
    tried(&within, &mine).await.unwrap();
    let waiter = queued(within.clone(), claim("order:42")).await;
    let servers = [vec![server.address()], cluster.nodes()].concat();
    wait_until_async("no answer is under way", PATIENCE, async || {
        let probed = probed(&servers);
        probed.len() >= 4 && probed.iter().all(|it| *it)
    })
    .await;
    waiter.abort();
}

/// The keeper's connection, which hears hand-offs, is cut off while the runtime's own carries the requests. It is
/// replaced.
#[tokio::test]
async fn a_connection_that_only_listens_is_replaced_when_it_is_cut_off() {
    for way in Swallowed::EACH {
        let server = RedisServer::start();
        let (relay, backend) = relayed(&server, Duration::from_secs(1)).await;
        let locks = over(backend, LONG);
        busy_until(&server, &locks, "order:42", 2).await;
        relay.swallow(0, way);
        wait_until_async(&format!("it is replaced: {way:?}"), PATIENCE, async || {
            locks.lock("order:42").await.unwrap().release().await.unwrap();
            relay.connections() > 2
        })
        .await;
    }
}

/// A key that lies at this node.
fn key_at(cluster: &RedisCluster, node: SocketAddr) -> String {
    let mut keys = (0..).map(|number| format!("order:{number}"));
    keys.find(|key| cluster.owner_of(cluster.slot_of(key)) == node).unwrap()
}

/// The same in a cluster, where each node has a connection that carries nothing but subscriptions. Each is cut off in a way
/// of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_in_a_cluster_is_replaced_when_it_is_cut_off() {
    let cluster = RedisCluster::start();
    let mut relays = HashMap::new();
    for node in cluster.nodes() {
        relays.insert(node.port(), Relay::to(node).await.unwrap());
    }
    let ports: HashMap<_, _> = relays.iter().map(|(port, relay)| (*port, relay.address().port())).collect();
    let map = move |host: &str, port: u16| (host.to_owned(), ports[&port]);
    let direct = RedisBackend::builder().url(cluster.url()).build().await.unwrap();
    let behind = RedisBackend::builder().url(cluster.url()).address_map(map).build().await.unwrap();
    let mut cut_off = Vec::new();
    for (node, way) in cluster.primaries().into_iter().zip(Swallowed::EACH) {
        let (key, relay) = (key_at(&cluster, node), &relays[&node.port()]);
        let holding = claim(&key);
        tried(&direct, &holding).await.unwrap();
        let waiter = queued(behind.clone(), claim(&key)).await;
        let listener = relay.connections() - 1;
        relay.swallow(listener, way);
        cut_off.push((relay, listener, way, holding, waiter));
    }
    for (relay, listener, way, holding, waiter) in cut_off {
        let is_replaced = async || relay.connections() > listener + 1;
        wait_until_async(&format!("it is replaced: {way:?}"), PATIENCE, is_replaced).await;
        direct.release(&holding).await.unwrap();
        granted(waiter).await;
    }
}

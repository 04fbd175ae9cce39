//! The harness keeps its promises about Redis servers that follow each other, and about their clocks.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use dlock_tests::{RedisCluster, RedisSentinel, RedisServer, Relay, port_refuses, wait_until};
use std::net::SocketAddr;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

mod replication {
    use super::*;

    #[test]
    fn a_replica_has_the_data_and_refuses_writes_until_it_is_promoted() {
        let primary = RedisServer::start();
        primary.command(&["SET", "k", "v"]);
        let replica = RedisServer::builder().replica_of(&primary).start();
        assert_eq!(replica.command(&["GET", "k"]), "v");
        assert!(replica.try_command(&["SET", "k", "w"]).unwrap_err().to_string().starts_with("READONLY"));
        replica.promote();
        assert_eq!(replica.command(&["SET", "k", "w"]), "OK");
        assert_eq!(primary.command(&["GET", "k"]), "v");
    }

    #[test]
    fn a_primary_that_asks_for_replicas_accepts_writes_once_one_has_started() {
        let primary = RedisServer::builder().config("min-replicas-to-write 1").password("secret").start();
        let refused = primary.try_command(&["SET", "k", "v"]).unwrap_err();
        assert!(refused.to_string().starts_with("NOREPLICAS"), "{refused}");
        let _replica = RedisServer::builder().password("secret").replica_of(&primary).start();
        assert_eq!(primary.command(&["SET", "k", "v"]), "OK");
        assert_eq!(primary.command(&["WAIT", "1", "0"]), "1");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_is_lost_when_its_replica_is_promoted_behind_a_held_relay() {
        let primary = RedisServer::builder().config("min-replicas-to-write 1").start();
        let relay = Relay::to(primary.address()).await.unwrap();
        let replica = RedisServer::builder().replica_of_address(relay.address()).start();
        primary.command(&["SET", "early", "v"]);
        wait_until("the replica has the write", LIMIT, || replica.command(&["GET", "early"]) == "v");
        relay.hold_answers();
        assert_eq!(primary.command(&["SET", "late", "v"]), "OK", "replicas that lag count as good ones");
        wait_until("the write is on its way", LIMIT, || relay.kept_answers() > 0);
        replica.promote();
        assert_eq!(replica.command(&["MGET", "early", "late"]), "v\n(nil)");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_held_answer_arrives_once_it_is_let_go() {
        let primary = RedisServer::start();
        let relay = Relay::to(primary.address()).await.unwrap();
        let replica = RedisServer::builder().replica_of_address(relay.address()).start();
        relay.hold_answers();
        primary.command(&["SET", "k", "v"]);
        wait_until("the write is on its way", LIMIT, || relay.kept_answers() > 0);
        assert_eq!(replica.command(&["GET", "k"]), "(nil)");
        assert_eq!(relay.kept(), 0, "what the replica sends gets through");
        relay.let_go();
        wait_until("the replica has the write", LIMIT, || replica.command(&["GET", "k"]) == "v");
    }
}

mod clock {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn moves_forward_and_back_and_stays_moved_through_a_restart() {
        let mut server = RedisServer::builder().movable_clock().start();
        let reference = RedisServer::start();
        assert_eq!(hours_between(&reference, &server), 0);
        server.move_clock(2 * HOUR);
        assert_eq!(hours_between(&reference, &server), 2);
        server.move_clock(-3 * HOUR);
        assert_eq!(hours_between(&reference, &server), -1);
        server.restart();
        assert_eq!(hours_between(&reference, &server), -1);
    }

    #[test]
    fn a_key_ends_early_when_the_clock_jumps_forward_and_late_when_it_jumps_back() {
        let server = RedisServer::builder().movable_clock().start();
        server.command(&["SET", "k", "v", "PX", &HOUR.to_string()]);
        server.move_clock(-HOUR);
        let left: i64 = server.command(&["PTTL", "k"]).parse().unwrap();
        assert!(left > HOUR, "{left} ms are left");
        server.move_clock(3 * HOUR);
        assert_eq!(server.command(&["GET", "k"]), "(nil)");
    }

    #[test]
    fn all_that_the_server_says_of_the_time_of_day_agrees() {
        let server = RedisServer::builder().movable_clock().start();
        server.move_clock(5 * HOUR);
        server.command(&["SAVE"]);
        // The first comes from `time`, the second from `gettimeofday`.
        let saved: i64 = server.command(&["LASTSAVE"]).parse().unwrap();
        assert_eq!((saved - seconds(&server)) / 60, 0);
    }

    #[test]
    #[should_panic(expected = "was started without a movable clock")]
    fn only_a_server_that_was_started_for_it_can_be_moved() {
        RedisServer::start().move_clock(1);
    }

    fn hours_between(one: &RedisServer, other: &RedisServer) -> i64 {
        let difference = seconds(other) - seconds(one);
        (difference + difference.signum() * 1800) / 3600
    }

    fn seconds(server: &RedisServer) -> i64 {
        server.command(&["TIME"]).lines().next().unwrap().parse().unwrap()
    }
}

mod sentinel {
    use super::*;

    #[test]
    fn a_failover_by_command_keeps_the_data() {
        let servers = RedisSentinel::builder().config("min-replicas-to-write 1").start();
        let old = servers.primary();
        assert_eq!(servers.node(old).command(&["SET", "k", "v"]), "OK");
        let new = servers.fail_over();
        assert_ne!(new, old);
        assert_eq!(servers.primary(), new);
        assert!(servers.replicas().contains(&old) && !servers.replicas().contains(&new));
        assert_eq!(servers.node(new).command(&["GET", "k"]), "v");
    }

    #[test]
    fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
        let builder = RedisSentinel::builder().password("secret").sentinel_password("other");
        let mut servers = builder.start();
        let old = servers.kill_primary();
        assert!(port_refuses(old.port()));
        let new = servers.await_new_primary(old);
        assert_ne!(new, old);
        servers.restart(old);
        servers.await_in_sync();
        assert_eq!(servers.primary(), new, "one death is one failover");
        servers.node(new).command(&["SET", "k", "v"]);
        wait_until("the old primary follows", LIMIT, || servers.node(old).command(&["GET", "k"]) == "v");
    }

    #[test]
    fn a_paused_primary_is_replaced() {
        let mut servers = RedisSentinel::start();
        let old = servers.primary();
        servers.pause(old);
        assert_ne!(servers.await_new_primary(old), old);
        servers.resume(old);
    }

    #[test]
    fn names_where_to_ask_for_the_primary() {
        let servers = RedisSentinel::start();
        let hosts: Vec<String> = servers.sentinels().iter().map(ToString::to_string).collect();
        assert_eq!(servers.url(), format!("redis+sentinel://{}/{}", hosts.join(","), servers.name()));
        let answer = servers.node(servers.sentinels()[2]).command(&["SENTINEL", "CKQUORUM", servers.name()]);
        assert!(answer.starts_with("OK 3 usable Sentinels"), "{answer}");
        assert_eq!(servers.replicas().len(), 2);
    }
}

mod cluster {
    use super::*;

    #[test]
    fn a_slot_moves_in_three_steps() {
        let cluster = RedisCluster::builder().password("secret").start();
        let slot = cluster.slot_of("{tag}a");
        let (from, to, third) =
            (cluster.owner_of(slot), other_primary(&cluster, slot, 0), other_primary(&cluster, slot, 1));
        cluster.command_for("{tag}a", &["SET", "{tag}a", "v"]);
        assert_eq!(refusal(&cluster, to, "{tag}a"), format!("MOVED {slot} {from}"));

        cluster.begin_migration(slot, to);
        assert_eq!(cluster.command_on(from, &["GET", "{tag}a"]), "v");
        assert_eq!(refusal(&cluster, from, "{tag}b"), format!("ASK {slot} {to}"));
        assert_eq!(refusal(&cluster, to, "{tag}b"), format!("MOVED {slot} {from}"));

        cluster.move_keys(slot, to);
        assert_eq!(refusal(&cluster, from, "{tag}a"), format!("ASK {slot} {to}"));
        assert_eq!(cluster.owner_of(slot), from);

        cluster.end_migration(slot, to);
        assert_eq!(cluster.owner_of(slot), to);
        assert_eq!(cluster.command_for("{tag}a", &["GET", "{tag}a"]), "v");
        for node in [from, third] {
            assert_eq!(refusal(&cluster, node, "{tag}a"), format!("MOVED {slot} {to}"));
        }
    }

    #[test]
    fn a_slot_moves_there_and_back() {
        let cluster = RedisCluster::start();
        let slot = cluster.slot_of("k");
        let (from, to) = (cluster.owner_of(slot), other_primary(&cluster, slot, 0));
        cluster.command_for("k", &["SET", "k", "v"]);
        cluster.migrate(slot, to);
        cluster.migrate(slot, from);
        assert_eq!(cluster.command_on(from, &["GET", "k"]), "v");
    }

    #[test]
    fn a_failover_by_command_loses_nothing_and_can_be_repeated() {
        let cluster = RedisCluster::builder().config("min-replicas-to-write 1").start();
        let slot = cluster.slot_of("k");
        let old = cluster.owner_of(slot);
        assert_eq!(cluster.command_for("k", &["SET", "k", "v"]), "OK");
        let new = cluster.fail_over(slot);
        assert_ne!(new, old);
        assert_eq!(refusal(&cluster, old, "k"), format!("MOVED {slot} {new}"));
        assert_eq!(cluster.command_for("k", &["GET", "k"]), "v");
        assert_eq!(cluster.fail_over(slot), old);
        assert_eq!(cluster.command_for("k", &["GET", "k"]), "v");
    }

    #[test]
    fn a_killed_owner_is_replaced_and_comes_back_as_a_replica() {
        let mut cluster = RedisCluster::builder().password("secret").start();
        let slot = cluster.slot_of("k");
        let replica = cluster.replica_of(cluster.owner_of(slot));
        let old = cluster.kill_owner_of(slot);
        assert!(port_refuses(old.port()));
        assert_eq!(cluster.await_new_owner(slot, old), replica);
        assert_eq!(cluster.command_for("k", &["SET", "k", "v"]), "OK");
        cluster.restart(old);
        cluster.await_in_sync();
        assert_eq!(cluster.replica_of(replica), old);
    }

    #[test]
    fn a_paused_owner_is_replaced() {
        let mut cluster = RedisCluster::start();
        let old = cluster.owner_of(0);
        cluster.pause(old);
        let new = cluster.await_new_owner(0, old);
        cluster.resume(old);
        cluster.await_in_sync();
        assert_eq!(cluster.owner_of(0), new);
    }

    #[test]
    fn all_nodes_have_a_place() {
        let cluster = RedisCluster::start();
        let (nodes, primaries) = (cluster.nodes(), cluster.primaries());
        let hosts: Vec<String> = nodes.iter().take(3).map(ToString::to_string).collect();
        assert_eq!(cluster.url(), format!("redis+cluster://{}", hosts.join(",")));
        let mut placed: Vec<_> = primaries.iter().map(|primary| cluster.replica_of(*primary)).collect();
        placed.extend(primaries);
        placed.sort();
        let mut nodes = nodes;
        nodes.sort();
        assert_eq!(placed, nodes);
    }

    /// A primary that does not own the slot.
    fn other_primary(cluster: &RedisCluster, slot: u16, index: usize) -> SocketAddr {
        let owner = cluster.owner_of(slot);
        cluster.primaries().into_iter().filter(|primary| *primary != owner).nth(index).unwrap()
    }

    fn refusal(cluster: &RedisCluster, node: SocketAddr, key: &str) -> String {
        cluster.node(node).try_command(&["GET", key]).unwrap_err().to_string()
    }
}

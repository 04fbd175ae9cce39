//! The ZooKeeper backend where the conformance suite cannot look: names and nodes, sessions, and connections
//! that break at the wrong moment.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

use dlock_core::backend::{AcquireRequest, Backend, Claim, Grant, Mode};
use dlock_core::{
    ErrorKind, LockError, LockKey, LockManager, LossReason, Operation, Ttl, ZooKeeperBackend,
    ZooKeeperBackendBuilder,
};
use dlock_tests::{ZooKeeperEnsemble, ZooKeeperServer, fresh_key, shared_zookeeper, wait_until_async};
use operator::Operator;
use relay::{Relay, Trick};
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

mod names {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn nodes_are_named_as_curator_names_them() {
        let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
        let claim = claim(&format!("{}:42", fresh_key("order")));
        grant(&backend, &claim).await;
        let nodes = operator.queue(&claim.key);
        let [node] = nodes.as_slice() else { panic!("{nodes:?}") };
        let (uuid, sequence) = node.strip_prefix("_c_").unwrap().split_once("-lock-").unwrap();
        assert_eq!(uuid.replace('-', ""), format!("{:032x}", claim.owner.as_u128()));
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(sequence, "0000000000");
        release(&backend, &claim).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_servers_remove_an_empty_directory() {
        let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
        let claim = claim(&fresh_key("container"));
        grant(&backend, &claim).await;
        release(&backend, &claim).await.unwrap();
        until("the directory is gone", async || operator.czxid(&format!("/locks/{}", claim.key)).is_none())
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_token_is_the_czxid_and_rises_when_the_directory_is_made_anew() {
        let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
        let key = fresh_key("token");
        let mut last = 0;
        for _ in 0..3 {
            let claim = claim(&key);
            let token = grant(&backend, &claim).await.token.as_u64();
            let node = operator.queue(&claim.key).remove(0);
            assert!(node.ends_with("-lock-0000000000"), "{node}: the numbers start anew");
            assert_eq!(operator.czxid(&format!("/locks/{key}/{node}")), Some(token));
            assert!(token > last);
            last = token;
            release(&backend, &claim).await.unwrap();
            operator.delete_if_there(&format!("/locks/{key}"));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn strangers_in_the_directory_are_passed_over() {
        let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
        let key = fresh_key("strangers");
        let strangers = [
            "x",
            "0",
            "lock-",
            "lock-abc",
            "lock-a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}a",
            "0000000000",
            &"y".repeat(300),
        ];
        for name in strangers {
            operator.make(&format!("/locks/{key}/{name}"));
        }
        let (holder, next) = (claim(&key), claim(&key));
        grant(&backend, &holder).await;
        let waiter = Waiter::queued(&backend, &next).await;
        release(&backend, &holder).await.unwrap();
        waiter.grant().await;
        release(&backend, &next).await.unwrap();
        assert_eq!(operator.queue(&next.key).len(), strangers.len(), "nothing of theirs was touched");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn contenders_of_other_clients_are_waited_for() {
        let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
        let key = fresh_key("others");
        operator.make(&format!("/locks/{key}"));
        for prefix in
            ["lock-", "_c_0123456789abcdef0123456789abcdef-lock-", "0123456789abcdef0123456789abcdef__lock__"]
        {
            let other = operator.make_sequential(&format!("/locks/{key}/{prefix}"));
            let (refused, next) = (claim(&key), claim(&key));
            let busy = backend.acquire(&AcquireRequest::new(refused, Mode::Try)).await.unwrap_err();
            assert_eq!(busy.kind(), ErrorKind::Busy);
            let waiter = Waiter::queued(&backend, &next).await;
            operator.delete(&other);
            waiter.grant().await;
            release(&backend, &next).await.unwrap();
        }
    }
}

mod queue {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn two_backends_exclude_each_other() {
        let (one, other) = (manager(backend().await), manager(backend().await));
        let key = LockKey::new(fresh_key("two")).unwrap();
        let guard = one.lock(&key).await.unwrap();
        assert!(other.lock(&key).try_acquire().await.unwrap().is_none());
        assert_eq!(Operator::of(shared_zookeeper()).queue(&key).len(), 1, "the refused try left nothing");
        guard.release().await.unwrap();
        assert!(other.lock(&key).try_acquire().await.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn five_waiters_are_served_in_order() {
        let (one, other) = (backend().await, backend().await);
        let key = fresh_key("five");
        let holder = claim(&key);
        grant(&one, &holder).await;
        let mut waiters = Vec::new();
        for backend in [&one, &other, &other, &one, &other] {
            let claim = claim(&key);
            let waiter = Waiter::queued(backend, &claim).await;
            waiters.push((backend, claim, waiter));
        }
        release(&one, &holder).await.unwrap();
        while !waiters.is_empty() {
            let (backend, claim, waiter) = waiters.remove(0);
            waiter.grant().await;
            assert!(waiters.iter().all(|(_, _, later)| !later.task.is_finished()), "granted out of turn");
            release(backend, &claim).await.unwrap();
        }
    }

    /// I1: that the node ahead is gone does not mean that one is first.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_waiter_waits_on_when_the_one_ahead_of_it_leaves() {
        let backend = backend().await;
        let key = fresh_key("leaves");
        let [holder, first, leaver, last] = [(); 4].map(|()| claim(&key));
        grant(&backend, &holder).await;
        let waiting = Waiter::queued(&backend, &first).await;
        let leaving = Waiter::queued(&backend, &leaver).await;
        let behind = Waiter::queued(&backend, &last).await;
        leaving.task.abort();
        let _ = release(&backend, &leaver).await;
        release(&backend, &holder).await.unwrap();
        waiting.grant().await;
        assert!(!behind.task.is_finished(), "granted out of turn");
        release(&backend, &first).await.unwrap();
        behind.grant().await;
        release(&backend, &last).await.unwrap();
    }

    /// W1: what it costs, whatever the machine.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_free_lock_costs_one_request_and_a_release_another() {
        let relay = Relay::to(shared_zookeeper()).await;
        let backend = at(&relay.hosts()).session_timeout(Duration::from_secs(60)).build().await.unwrap();
        let key = fresh_key("cost");
        for round in 0..2 {
            relay.take_requests();
            let claim = claim(&key);
            grant(&backend, &claim).await;
            release(&backend, &claim).await.unwrap();
            let writes_and_reads: Vec<_> = relay
                .take_requests()
                .into_iter()
                .filter(|code| ![code::PING, code::SYNC, code::EPHEMERALS].contains(code))
                .collect();
            if round > 0 {
                assert_eq!(writes_and_reads, [code::MULTI, code::DELETE]);
            }
        }
    }

    /// I4, at every await of an acquire: on a free lock and on a held one, with and without its directory.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_acquire_dropped_at_any_await_leaves_no_node() {
        let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
        let held = claim(&fresh_key("held"));
        grant(&backend, &held).await;
        let free = LockKey::new(fresh_key("free")).unwrap();
        for (key, mode, left) in [
            (&free, Mode::Wait, 0),
            (&free, Mode::Try, 0),
            (&held.key, Mode::Wait, 1),
            (&held.key, Mode::Try, 1),
        ] {
            for polls in 1..40 {
                let claim = Claim::new(key.clone(), Ttl::default()).unwrap();
                let request = AcquireRequest::new(claim.clone(), mode);
                let dropped = poll_and_drop(backend.acquire(&request), polls).await;
                let _ = release(&backend, &claim).await;
                assert_eq!(operator.queue(key).len(), left, "{key} {mode:?} after {polls} polls");
                if !dropped {
                    break;
                }
                if left == 0 && polls % 2 == 0 {
                    operator.delete_if_there(&format!("/locks/{key}"));
                }
            }
        }
        release(&backend, &held).await.unwrap();
    }

    /// Nothing grows, neither nodes nor watches, whatever becomes of the acquires.
    #[tokio::test(flavor = "multi_thread")]
    async fn cancelled_waiters_leave_neither_nodes_nor_watches() {
        let server = ZooKeeperServer::start();
        let backend = at(&server.hosts()).build().await.unwrap();
        let (holder, key) = (claim("k"), "k");
        grant(&backend, &holder).await;
        for _ in 0..50 {
            let claim = claim(key);
            let waiter = Waiter::queued(&backend, &claim).await;
            waiter.task.abort();
            assert!(soon("the waiter ends", waiter.task).await.unwrap_err().is_cancelled());
            let _ = release(&backend, &claim).await;
        }
        assert_eq!(Operator::of(&server).queue(&holder.key).len(), 1);
        until("no watch is left", async || server.four_letter("wchs").contains("Total watches:0")).await;
    }

    /// More waiters in one process than the client library can bring over a reconnect.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_thousand_waiters_survive_a_reconnect() {
        let relay = Relay::to(shared_zookeeper()).await;
        let holding = backend().await;
        let waiting = at(&relay.hosts()).session_timeout(Duration::from_secs(20)).build().await.unwrap();
        let pad = "x".repeat(100);
        let mut waiters = Vec::new();
        for number in 0..1_000 {
            let key = format!("{}{pad}", fresh_key("many"));
            let (holder, next) = (claim(&key), claim(&key));
            grant(&holding, &holder).await;
            waiters.push((holder, next.clone(), Waiter::start(&waiting, &next)));
            if number % 100 == 99 {
                until("all are queued", async || {
                    waiters.iter().all(|(_, _, waiter)| waiter.request.progress.is_queued())
                })
                .await;
            }
        }
        let operator = Operator::of(shared_zookeeper());
        let before = operator.queue(&waiters[0].1.key);
        relay.cut();
        let probe = claim(&fresh_key("reconnected"));
        Waiter::start(&waiting, &probe).grant().await;
        release(&waiting, &probe).await.unwrap();
        assert_eq!(operator.queue(&waiters[0].1.key), before, "all kept their places");
        for (holder, ..) in &waiters {
            release(&holding, holder).await.unwrap();
        }
        for (_, next, waiter) in waiters {
            waiter.grant().await;
            release(&waiting, &next).await.unwrap();
        }
    }
}

mod lost_answers {
    use super::*;

    const WAYS: [fn(i32) -> Trick; 3] = [Trick::End, Trick::Reset, Trick::Silence];

    async fn relayed() -> (Relay, ZooKeeperBackend) {
        let relay = Relay::to(shared_zookeeper()).await;
        let backend = at(&relay.hosts()).request_timeout(Duration::from_millis(300)).build().await.unwrap();
        (relay, backend)
    }

    /// I5: the node is made and nobody says so.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_waiter_finds_the_node_that_it_made() {
        let operator = Operator::of(shared_zookeeper());
        for way in WAYS {
            let (relay, backend) = relayed().await;
            let claim = claim(&fresh_key("found"));
            operator.make(&format!("/locks/{}", claim.key));
            relay.play(way(code::MULTI));
            let granted = Waiter::start(&backend, &claim).grant().await;
            assert_eq!(relay.played(), 1, "the answer was lost");
            let nodes = operator.queue(&claim.key);
            let [node] = nodes.as_slice() else { panic!("{:?}: {nodes:?}", way(0)) };
            assert!(node.ends_with("-lock-0000000000"), "{node} is another one");
            assert_eq!(operator.czxid(&format!("/locks/{}/{node}", claim.key)), Some(granted.token.as_u64()));
            release(&backend, &claim).await.unwrap();
            assert!(operator.queue(&claim.key).is_empty());
        }
    }

    /// I4, I5: a try gives up before it knows.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_try_that_failed_is_undone() {
        let operator = Operator::of(shared_zookeeper());
        for way in WAYS {
            let (relay, backend) = relayed().await;
            let claim = claim(&fresh_key("undone"));
            operator.make(&format!("/locks/{}", claim.key));
            relay.play(way(code::MULTI));
            let failed = backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await.unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
            assert_eq!(operator.queue(&claim.key).len(), 1, "the node was made");
            let _ = release(&backend, &claim).await;
            assert!(operator.queue(&claim.key).is_empty(), "{:?}", way(0));
        }
    }

    /// I5 for a release.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_release_is_repeated() {
        let operator = Operator::of(shared_zookeeper());
        for way in WAYS {
            let (relay, backend) = relayed().await;
            let claim = claim(&fresh_key("repeated"));
            grant(&backend, &claim).await;
            relay.play(way(code::DELETE));
            assert_eq!(backend.release(&claim).await.unwrap_err().kind(), ErrorKind::Unavailable);
            let again = release(&backend, &claim).await.unwrap_err();
            assert_eq!(again.kind(), ErrorKind::Lost, "it was gone already");
            assert!(operator.queue(&claim.key).is_empty());
        }
    }
}

mod sessions {
    use super::*;

    /// I1, I3, I7: nobody can tell a holder that is cut off, so it must know by itself, and in time.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_holder_that_is_cut_off_is_lost_before_the_next_is_granted() {
        let relay = Relay::to(shared_zookeeper()).await;
        let (holder, other) = (manager(at(&relay.hosts()).build().await.unwrap()), backend().await);
        let next = claim(&fresh_key("cut off"));
        let guard = holder.lock(&next.key).await.unwrap();
        let waiter = Waiter::queued(&other, &next).await;
        relay.close();
        let granted = waiter.grant().await;
        assert!(!guard.is_valid(), "two holders at once");
        assert!(granted.token > guard.token());
        assert!(is_end_of_session(guard.lost().await));
        relay.reopen();
        assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
        release(&other, &next).await.expect("the late release touched nobody else");
        let again = soon("the first backend works again", holder.lock(&next.key).acquire()).await;
        assert!(again.unwrap().is_valid());
    }

    /// I3: a server that stands still answers nobody, and its own clock stands still, too.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_guard_is_lost_while_the_server_stands_still_and_stays_lost() {
        let mut server = ZooKeeperServer::start();
        // Longer than this test, so that it is not the server that ends the lock.
        let locks =
            manager(at(&server.hosts()).session_timeout(Duration::from_secs(6)).build().await.unwrap());
        let key = LockKey::new("k").unwrap();
        let guard = locks.lock(&key).await.unwrap();
        server.pause();
        assert!(is_end_of_session(soon("the guard is lost", guard.lost()).await));
        let refused = soon("a try ends", locks.lock("other").try_acquire()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        server.resume();
        let next = soon("the lock is free, though the guard was not dropped", locks.lock(&key).acquire())
            .await
            .unwrap();
        assert!(!guard.is_valid() && next.token() > guard.token());
        assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
        assert!(next.is_valid());
        assert_eq!(Operator::of(&server).queue(&key).len(), 1);
    }

    /// The session outlives a restart of the server, and so does the lock.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_guard_survives_a_restart_of_the_server() {
        let mut server = ZooKeeperServer::start();
        let locks = manager(patient(&server.hosts()).build().await.unwrap());
        let guard = locks.lock("k").await.unwrap();
        server.restart();
        assert!(locks.lock("k").try_acquire().await.unwrap().is_none(), "still held");
        assert!(guard.is_valid());
        soon("the release is confirmed", guard.release()).await.unwrap();
    }

    /// I6: the node ahead goes while the waiter has no connection.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_waiter_without_connection_misses_no_hand_off() {
        let relay = Relay::to(shared_zookeeper()).await;
        let (holding, waiting) = (
            backend().await,
            at(&relay.hosts()).session_timeout(Duration::from_secs(20)).build().await.unwrap(),
        );
        let key = fresh_key("missed");
        let (holder, next) = (claim(&key), claim(&key));
        grant(&holding, &holder).await;
        let waiter = Waiter::queued(&waiting, &next).await;
        relay.close();
        until("the waiter notices", async || !waiter.request.progress.is_queued()).await;
        release(&holding, &holder).await.unwrap();
        relay.reopen();
        waiter.grant().await;
        release(&waiting, &next).await.unwrap();
    }

    /// I6, I10: the session of a waiter ends, and it waits on in the next one.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_waiter_outlives_its_session() {
        let relay = Relay::to(shared_zookeeper()).await;
        let (holding, waiting) = (backend().await, at(&relay.hosts()).build().await.unwrap());
        let operator = Operator::of(shared_zookeeper());
        let key = fresh_key("outlives");
        let (holder, next) = (claim(&key), claim(&key));
        grant(&holding, &holder).await;
        let waiter = Waiter::queued(&waiting, &next).await;
        let before = operator.queue(&next.key);
        relay.close();
        until("the waiter's node is gone", async || operator.queue(&next.key).len() == 1).await;
        relay.reopen();
        until("it has a node again", async || operator.queue(&next.key).len() == 2).await;
        let kept = operator.queue(&next.key).into_iter().filter(|node| before.contains(node));
        assert_eq!(kept.count(), 1, "the holder's alone");
        release(&holding, &holder).await.unwrap();
        waiter.grant().await;
        release(&waiting, &next).await.unwrap();
    }

    /// I1: behind a follower that lost its leader, a session may be over without anybody there knowing. Only
    /// the leader's answers count, though the follower goes on to give its own.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_guard_behind_a_follower_without_leader_is_lost() {
        let mut ensemble = ZooKeeperEnsemble::start();
        let leader = ensemble.leader();
        let follower = ensemble.server((leader + 1) % 3).hosts();
        let guard = manager(at(&follower).build().await.unwrap()).lock("k").await.unwrap();
        ensemble.pause(leader);
        assert!(is_end_of_session(soon("the guard is lost", guard.lost()).await));
        assert_eq!(ensemble.server((leader + 1) % 3).mode().as_deref(), Some("follower"), "it still answers");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_guard_survives_a_change_of_the_leader() {
        let mut ensemble = ZooKeeperEnsemble::start();
        let locks = manager(patient(&ensemble.hosts()).build().await.unwrap());
        let guard = locks.lock("k").await.unwrap();
        let waiting = tokio::spawn(locks.lock("k").acquire());
        let leader = ensemble.leader();
        ensemble.kill(leader);
        assert_ne!(ensemble.leader(), leader);
        let token = guard.token();
        assert!(guard.is_valid() && !waiting.is_finished());
        soon("the release is confirmed", guard.release()).await.unwrap();
        let next = soon("the waiter is granted", waiting).await.unwrap().unwrap();
        assert!(next.token() > token, "tokens rise from leader to leader");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lock_whose_node_an_operator_removes_is_lost() {
        let (locks, operator) = (manager(backend().await), Operator::of(shared_zookeeper()));
        let key = LockKey::new(fresh_key("removed")).unwrap();
        let guard = locks.lock(&key).await.unwrap();
        let kept = locks.lock(fresh_key("kept")).await.unwrap();
        operator.delete(&format!("/locks/{key}/{}", operator.queue(&key).remove(0)));
        assert_eq!(soon("the guard is lost", guard.lost()).await, LossReason::NotOwner);
        assert!(kept.is_valid());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_waiter_whose_node_an_operator_removes_takes_a_new_place() {
        let (backend, operator) = (backend().await, Operator::of(shared_zookeeper()));
        let key = fresh_key("new place");
        let (holder, next) = (claim(&key), claim(&key));
        grant(&backend, &holder).await;
        let held = operator.queue(&next.key);
        let waiter = Waiter::queued(&backend, &next).await;
        let place = operator.queue(&next.key).into_iter().find(|node| !held.contains(node)).unwrap();
        operator.delete(&format!("/locks/{key}/{place}"));
        release(&backend, &holder).await.unwrap();
        waiter.grant().await;
        let nodes = operator.queue(&next.key);
        assert!(nodes.len() == 1 && !nodes.contains(&place), "{nodes:?}");
        release(&backend, &next).await.unwrap();
    }

    /// A session lives in a runtime; a backend value does not.
    #[test]
    fn a_backend_outlives_the_runtime_it_was_built_in() {
        let [first, second] = [(); 2].map(|()| Runtime::new().unwrap());
        let operator = Operator::of(shared_zookeeper());
        let key = LockKey::new(fresh_key("runtimes")).unwrap();
        let locks = manager(first.block_on(backend()));
        let guard = first.block_on(locks.lock(&key).acquire()).unwrap();
        let waiting = second.spawn(locks.lock(&key).wait(Duration::MAX).acquire());
        second.block_on(until("both have a node", async || operator.queue(&key).len() == 2));
        drop(first);
        assert_eq!(second.block_on(guard.lost()), LossReason::SessionExpired);
        let next = second.block_on(soon("the waiter is granted", waiting)).unwrap().unwrap();
        second.block_on(next.release()).unwrap();
    }
}

mod access {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn another_account_is_refused() {
        let (hosts, name) = (shared_zookeeper().hosts(), fresh_key("private"));
        let builder = || at(&hosts).root(format!("/{name}"));
        let right = builder().digest_auth("me", "marker-right").build().await.unwrap();
        let (mine, next) = (claim("k"), claim("k"));
        grant(&right, &mine).await;
        for builder in [builder(), builder().digest_auth("me", "marker-wrong")] {
            let refused = builder.build().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
            assert!(!format!("{refused} {refused:?}").contains("marker"), "{refused:?}");
        }
        let outside = at(&hosts).root("/").build().await.unwrap();
        let refused = outside.acquire(&AcquireRequest::new(claim(&name), Mode::Wait)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
        let by_url =
            at("").url(format!("zookeeper://me:marker%2Dright@{hosts}/{name}")).build().await.unwrap_err();
        assert_eq!(by_url.kind(), ErrorKind::InvalidOption, "the first mistake is reported");
        let by_url =
            builder().url(format!("zookeeper://me:marker%2Dright@{hosts}/{name}")).build().await.unwrap();
        let waiter = Waiter::queued(&by_url, &next).await;
        release(&right, &mine).await.unwrap();
        waiter.grant().await;
        release(&by_url, &next).await.unwrap();
    }

    /// Whoever waits must see the node ahead, whoever's it is.
    #[tokio::test(flavor = "multi_thread")]
    async fn accounts_that_share_a_directory_wait_for_each_other() {
        let named = at(&shared_zookeeper().hosts()).digest_auth("me", "secret").build().await.unwrap();
        let nobody = backend().await;
        let key = fresh_key("shared");
        Operator::of(shared_zookeeper()).make(&format!("/locks/{key}"));
        let (holder, next) = (claim(&key), claim(&key));
        grant(&named, &holder).await;
        let waiter = Waiter::queued(&nobody, &next).await;
        release(&named, &holder).await.unwrap();
        waiter.grant().await;
        release(&nobody, &next).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn secrets_are_not_shown() {
        let builder = at(&shared_zookeeper().hosts()).digest_auth("marker-user", "marker-password");
        assert!(!format!("{builder:?}").contains("marker"), "{builder:?}");
        let backend = builder.root(format!("/{}", fresh_key("secrets"))).build().await.unwrap();
        assert!(!format!("{backend:?}").contains("marker"), "{backend:?}");
        let locks = manager(backend);
        let guard = locks.lock("k").await.unwrap();
        assert!(!format!("{locks:?} {guard:?}").contains("marker"));
        for url in [
            "zookeeper://marker-user:marker-password@127.0.0.1:1/locks?marker",
            "zookeeper://marker-user:marker-password@127.0.0.1:1",
        ] {
            let error = LockManager::connect(url).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("marker"), "{error:?}");
        }
    }

    /// I10.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_that_cannot_be_reached_is_unavailable() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = silent.local_addr().map(|address| (address.to_string(), silent)).unwrap();
        for hosts in ["127.0.0.1:1", &silent.0, "no-such-host.invalid:2181"] {
            let building = at(hosts).session_timeout(Duration::from_millis(500)).build();
            let error = soon("building fails", building).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{hosts}: {error}");
            assert_eq!((error.operation(), error.backend()), (Some(Operation::Connect), Some("zookeeper")));
        }
    }

    #[test]
    fn outside_a_runtime_building_is_an_error_at_once() {
        let building = std::pin::pin!(ZooKeeperBackend::builder().build());
        let Poll::Ready(built) = building.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it waits")
        };
        assert_eq!(built.unwrap_err().kind(), ErrorKind::NotConfigured);
    }
}

/// Settings for sessions that end soon when nobody keeps them up.
fn at(hosts: &str) -> ZooKeeperBackendBuilder {
    ZooKeeperBackend::builder()
        .hosts(hosts)
        .session_timeout(Duration::from_secs(2))
        .request_timeout(Duration::from_secs(1))
}

/// Settings that outlast any outage that a test makes.
fn patient(hosts: &str) -> ZooKeeperBackendBuilder {
    at(hosts).session_timeout(LIMIT * 2).request_timeout(LIMIT)
}

async fn backend() -> ZooKeeperBackend {
    at(&shared_zookeeper().hosts()).build().await.unwrap()
}

fn manager(backend: ZooKeeperBackend) -> LockManager {
    LockManager::builder(backend).build().unwrap()
}

fn claim(key: &str) -> Claim {
    Claim::new(LockKey::new(key).unwrap(), Ttl::default()).unwrap()
}

async fn grant(backend: &ZooKeeperBackend, claim: &Claim) -> Grant {
    backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await.unwrap()
}

/// Releases as a manager does: until there is a final word.
async fn release(backend: &ZooKeeperBackend, claim: &Claim) -> Result<(), LockError> {
    let mut outcome = backend.release(claim).await;
    until("the release has an answer", async || {
        if matches!(&outcome, Err(error) if error.kind() == ErrorKind::Unavailable) {
            outcome = backend.release(claim).await;
            return false;
        }
        true
    })
    .await;
    outcome
}

/// An acquire that runs by itself.
struct Waiter {
    request: Arc<AcquireRequest>,
    task: JoinHandle<Result<Grant, LockError>>,
}

impl Waiter {
    fn start(backend: &ZooKeeperBackend, claim: &Claim) -> Self {
        let request = Arc::new(AcquireRequest::new(claim.clone(), Mode::Wait));
        let (asked, backend) = (Arc::clone(&request), backend.clone());
        Self { request, task: tokio::spawn(async move { backend.acquire(&asked).await }) }
    }

    async fn queued(backend: &ZooKeeperBackend, claim: &Claim) -> Self {
        let waiter = Self::start(backend, claim);
        until("the waiter is queued", async || waiter.request.progress.is_queued()).await;
        waiter
    }

    async fn grant(self) -> Grant {
        soon("the waiter is granted", self.task).await.unwrap().unwrap()
    }
}

/// Polls `acquire` this often, whenever it wants to be, and drops it. False if it was done, or waits in the
/// queue, where nobody polls it again.
async fn poll_and_drop(acquire: impl Future, polls: usize) -> bool {
    let mut acquire = std::pin::pin!(acquire);
    let mut left = polls;
    let polled = std::future::poll_fn(|context| {
        left -= 1;
        match acquire.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if left == 0 => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    });
    tokio::time::timeout(Duration::from_millis(300), polled).await.unwrap_or(false)
}

fn is_end_of_session(reason: LossReason) -> bool {
    matches!(reason, LossReason::Expired | LossReason::SessionExpired)
}

async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until_async(what, LIMIT, condition).await;
}

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

const LIMIT: Duration = Duration::from_secs(30);

/// The requests of the protocol by their codes.
mod code {
    pub(super) const CREATE: i32 = 1;
    pub(super) const DELETE: i32 = 2;
    pub(super) const EXISTS: i32 = 3;
    pub(super) const LIST: i32 = 8;
    pub(super) const SYNC: i32 = 9;
    pub(super) const PING: i32 = 11;
    pub(super) const MULTI: i32 = 14;
    pub(super) const EPHEMERALS: i32 = 103;
}

/// A ZooKeeper client that shares nothing with the one under test: the few requests that tests need, spoken
/// directly.
mod operator {
    use super::code;
    use dlock_core::LockKey;
    use dlock_tests::ZooKeeperServer;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::Mutex;

    pub(super) struct Operator(Mutex<TcpStream>);

    const NO_NODE: i32 = -101;
    const NODE_EXISTS: i32 = -110;
    const PERSISTENT: i32 = 0;
    const EPHEMERAL_SEQUENTIAL: i32 = 3;

    impl Operator {
        pub(super) fn of(server: &ZooKeeperServer) -> Self {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            // Protocol, last transaction seen, timeout, session, password.
            let hello = [int(0), long(0), int(60_000), long(0), bytes(&[0; 16])].concat();
            send(&mut stream, &hello);
            receive(&mut stream);
            Self(Mutex::new(stream))
        }

        /// The nodes in the directory of `key`, by name.
        pub(super) fn queue(&self, key: &LockKey) -> Vec<String> {
            match self.ask(code::LIST, &[text(&format!("/locks/{key}")), vec![0]].concat()) {
                Ok(answer) => {
                    let mut nodes = texts(&answer);
                    nodes.sort();
                    nodes
                }
                Err(NO_NODE) => Vec::new(),
                Err(code) => panic!("list: {code}"),
            }
        }

        pub(super) fn czxid(&self, path: &str) -> Option<u64> {
            match self.ask(code::EXISTS, &[text(path), vec![0]].concat()) {
                Ok(stat) => Some(u64::from_be_bytes(stat[..8].try_into().unwrap())),
                Err(code) => {
                    assert_eq!(code, NO_NODE);
                    None
                }
            }
        }

        /// Makes a node that anybody may do anything with, and those above it.
        pub(super) fn make(&self, path: &str) {
            let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
            for end in ends {
                let made = self.create(path.split_at(end).0, PERSISTENT);
                assert!(matches!(made, Ok(_) | Err(NODE_EXISTS)), "{made:?}");
            }
        }

        pub(super) fn make_sequential(&self, prefix: &str) -> String {
            self.create(prefix, EPHEMERAL_SEQUENTIAL).unwrap()
        }

        fn create(&self, path: &str, flags: i32) -> Result<String, i32> {
            let anybody = [int(1), int(31), text("world"), text("anyone")].concat();
            let answer = self.ask(code::CREATE, &[text(path), bytes(&[]), anybody, int(flags)].concat())?;
            Ok(read_text(&answer).0)
        }

        pub(super) fn delete(&self, path: &str) {
            self.ask(code::DELETE, &[text(path), int(-1)].concat()).unwrap();
        }

        pub(super) fn delete_if_there(&self, path: &str) {
            let deleted = self.ask(code::DELETE, &[text(path), int(-1)].concat());
            assert!(matches!(deleted, Ok(_) | Err(NO_NODE)), "{deleted:?}");
        }

        fn ask(&self, code: i32, body: &[u8]) -> Result<Vec<u8>, i32> {
            let mut stream = self.0.lock().unwrap();
            send(&mut stream, &[&int(1), &int(code), body].concat());
            let answer = receive(&mut stream);
            // Number, transaction, error.
            match i32::from_be_bytes(answer[12..16].try_into().unwrap()) {
                0 => Ok(answer[16..].to_vec()),
                error => Err(error),
            }
        }
    }

    fn send(stream: &mut TcpStream, frame: &[u8]) {
        stream.write_all(&bytes(frame)).unwrap();
    }

    fn receive(stream: &mut TcpStream) -> Vec<u8> {
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).unwrap();
        frame
    }

    fn int(value: i32) -> Vec<u8> {
        value.to_be_bytes().to_vec()
    }

    fn long(value: i64) -> Vec<u8> {
        value.to_be_bytes().to_vec()
    }

    fn bytes(value: &[u8]) -> Vec<u8> {
        [&int(i32::try_from(value.len()).unwrap()), value].concat()
    }

    fn text(value: &str) -> Vec<u8> {
        bytes(value.as_bytes())
    }

    fn read_text(from: &[u8]) -> (String, &[u8]) {
        let (length, rest) = from.split_at(4);
        let (value, rest) = rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
        (String::from_utf8(value.to_vec()).unwrap(), rest)
    }

    fn texts(from: &[u8]) -> Vec<String> {
        let (count, mut rest) = from.split_at(4);
        let mut values = Vec::new();
        for _ in 0..u32::from_be_bytes(count.try_into().unwrap()) {
            let (value, after) = read_text(rest);
            values.push(value);
            rest = after;
        }
        values
    }
}

/// Sits between a client and its server, to break the connection at the wrong moment.
mod relay {
    use dlock_tests::ZooKeeperServer;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;
    use tokio::task::JoinSet;

    /// What the client gets instead of the answer to a request with this code, once. The request arrives.
    #[derive(Debug, Clone, Copy)]
    pub(super) enum Trick {
        End(i32),
        Reset(i32),
        /// Nothing more comes, and nothing says so.
        Silence(i32),
    }

    impl Trick {
        fn code(self) -> i32 {
            match self {
                Self::End(code) | Self::Reset(code) | Self::Silence(code) => code,
            }
        }
    }

    pub(super) struct Relay {
        address: SocketAddr,
        book: Arc<Mutex<Book>>,
        gate: watch::Sender<Gate>,
        _task: JoinSet<()>,
    }

    #[derive(Default)]
    struct Book {
        to_play: Option<Trick>,
        played: usize,
        requests: Vec<i32>,
    }

    #[derive(Clone, Copy)]
    struct Gate {
        open: bool,
        cuts: usize,
    }

    impl Relay {
        pub(super) async fn to(server: &ZooKeeperServer) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let book = Arc::<Mutex<Book>>::default();
            let gate = watch::Sender::new(Gate { open: true, cuts: 0 });
            let mut task = JoinSet::new();
            task.spawn(accept(listener, server.address(), Arc::clone(&book), gate.subscribe()));
            Self { address, book, gate, _task: task }
        }

        pub(super) fn hosts(&self) -> String {
            self.address.to_string()
        }

        pub(super) fn play(&self, trick: Trick) {
            self.book.lock().unwrap().to_play = Some(trick);
        }

        /// How many tricks were played.
        pub(super) fn played(&self) -> usize {
            self.book.lock().unwrap().played
        }

        /// The codes of the requests since the last call.
        pub(super) fn take_requests(&self) -> Vec<i32> {
            std::mem::take(&mut self.book.lock().unwrap().requests)
        }

        /// Drops the connections, and takes new ones.
        pub(super) fn cut(&self) {
            self.gate.send_modify(|gate| gate.cuts += 1);
        }

        /// Drops the connections, and every new one.
        pub(super) fn close(&self) {
            self.gate.send_modify(|gate| *gate = Gate { open: false, cuts: gate.cuts + 1 });
        }

        pub(super) fn reopen(&self) {
            self.gate.send_modify(|gate| gate.open = true);
        }
    }

    async fn accept(
        listener: TcpListener,
        server: SocketAddr,
        book: Arc<Mutex<Book>>,
        gate: watch::Receiver<Gate>,
    ) {
        let mut connections = JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (book, mut gate) = (Arc::clone(&book), gate.clone());
            let Gate { open, cuts } = *gate.borrow();
            if !open {
                continue;
            }
            connections.spawn(async move {
                tokio::select! {
                    () = carry(client, server, book) => {}
                    _ = gate.wait_for(|gate| gate.cuts != cuts) => {}
                }
            });
        }
    }

    async fn carry(mut client: TcpStream, server: SocketAddr, book: Arc<Mutex<Book>>) {
        let Ok(mut server) = TcpStream::connect(server).await else { return };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let awaited = Mutex::new(None);
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let trick = tokio::select! {
            () = carry_requests(&mut from_client, &mut to_server, &book, &awaited) => None,
            trick = carry_answers(&mut from_server, &mut to_client, &awaited) => trick,
        };
        let Some(trick) = trick else { return };
        book.lock().unwrap().played += 1;
        match trick {
            Trick::End(_) => {}
            Trick::Reset(_) => client.set_zero_linger().unwrap(),
            Trick::Silence(_) => std::future::pending().await,
        }
    }

    /// The number of the request whose answer is not to arrive, and the trick.
    type Awaited = Mutex<Option<(i32, Trick)>>;

    async fn carry_requests(
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
        book: &Mutex<Book>,
        awaited: &Awaited,
    ) {
        // The first frame greets, and has neither number nor code.
        let mut is_greeting = true;
        while let Some(frame) = read_frame(from).await {
            if !std::mem::take(&mut is_greeting) {
                let (number, code) = (word(&frame, 4), word(&frame, 8));
                let mut book = book.lock().unwrap();
                book.requests.push(code);
                if let Some(trick) = book.to_play.take_if(|trick| trick.code() == code) {
                    *awaited.lock().unwrap() = Some((number, trick));
                }
            }
            if to.write_all(&frame).await.is_err() {
                return;
            }
        }
    }

    async fn carry_answers(
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
        awaited: &Awaited,
    ) -> Option<Trick> {
        while let Some(frame) = read_frame(from).await {
            let caught = awaited.lock().unwrap().filter(|(number, _)| *number == word(&frame, 4));
            if let Some((_, trick)) = caught {
                return Some(trick);
            }
            to.write_all(&frame).await.ok()?;
        }
        None
    }

    async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
        let length = from.read_u32().await.ok()?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.resize(4 + length as usize, 0);
        from.read_exact(&mut frame[4..]).await.ok()?;
        Some(frame)
    }

    fn word(frame: &[u8], at: usize) -> i32 {
        i32::from_be_bytes(frame[at..at + 4].try_into().unwrap())
    }
}

//! A holder and a rival of another kind, in each order.

use crate::client::{Client, Kind};
use crate::{BRIEF, LONG, manager};
use dlock_tests::RedisServer;
use std::time::Duration;

const KEY: &str = "order:42";

struct Pair {
    server: RedisServer,
    holder: Client,
    rival: Client,
}

impl Pair {
    async fn start(holder: Kind, rival: Kind) -> Self {
        let server = RedisServer::start();
        let holder = Client::start(holder, &server).await;
        let rival = Client::start(rival, &server).await;
        Self { server, holder, rival }
    }

    /// Ends the lease of whoever holds the lock, who has reason to believe in it.
    fn end_the_lease(&self) {
        assert_eq!(self.server.command(&["PEXPIRE", KEY, "1"]), "1");
    }
}

async fn a_rival_is_refused_until_the_release(holder: Kind, rival: Kind) {
    let Pair { server: _server, mut holder, mut rival } = Pair::start(holder, rival).await;
    assert!(holder.try_acquire(KEY, LONG).await);
    assert!(!rival.try_acquire(KEY, LONG).await, "it is the holder's");
    assert!(!rival.try_acquire(KEY, LONG).await, "a refused try changes nothing");
    assert!(holder.release().await);
    assert!(rival.try_acquire(KEY, LONG).await, "it is free");
    assert!(!holder.try_acquire(KEY, LONG).await, "it is the rival's");
    assert!(rival.release().await);
}

async fn a_waiting_rival_gets_it_after_the_release(holder: Kind, rival: Kind) {
    let Pair { server, mut holder, mut rival } = Pair::start(holder, rival).await;
    assert!(holder.try_acquire(KEY, LONG).await);
    rival.wait_for(KEY, LONG, &server).await;
    assert!(holder.release().await);
    rival.granted().await;
    assert!(!holder.try_acquire(KEY, LONG).await, "it is the rival's");
    assert!(rival.release().await);
    assert!(holder.try_acquire(KEY, LONG).await, "it is free");
}

async fn a_crashed_holder_costs_its_lease(holder: Kind, rival: Kind) {
    let Pair { server: _server, mut holder, mut rival } = Pair::start(holder, rival).await;
    assert!(holder.try_acquire(KEY, BRIEF).await);
    holder.crash().await;
    rival.acquire(KEY, LONG).await;
    assert!(rival.release().await);
}

async fn a_late_release_frees_nobody_elses(holder: Kind, rival: Kind) {
    let mut pair = Pair::start(holder, rival).await;
    assert!(pair.holder.try_acquire(KEY, LONG).await);
    pair.end_the_lease();
    pair.rival.acquire(KEY, LONG).await;
    assert!(!pair.holder.release().await, "it is the holder's no more");
    assert!(!pair.holder.try_acquire(KEY, LONG).await, "it is still the rival's");
    assert!(pair.rival.release().await);
}

macro_rules! pairs {
    ($($module:ident: $holder:ident then $rival:ident;)*) => {$(
        mod $module {
            use crate::client::Kind;

            pairs!(@cases $holder $rival:
                a_rival_is_refused_until_the_release
                a_waiting_rival_gets_it_after_the_release
                a_crashed_holder_costs_its_lease
                a_late_release_frees_nobody_elses);
        }
    )*};
    (@cases $holder:ident $rival:ident: $($case:ident)*) => {
        pairs!(@tests (Kind::$holder, Kind::$rival) $($case)*);
    };
    (@tests $kinds:tt $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            super::$case$kinds.await;
        }
    )*};
}

pairs! {
    dlock_then_redis_py: Dlock then RedisPy;
    dlock_then_redlock: Dlock then Redlock;
    redis_py_then_dlock: RedisPy then Dlock;
    redis_py_then_redlock: RedisPy then Redlock;
    redlock_then_dlock: Redlock then Dlock;
    redlock_then_redis_py: Redlock then RedisPy;
}

/// redis-py's default is a lock without a lease.
#[tokio::test]
async fn a_lock_that_never_expires_is_waited_for() {
    let Pair { server, mut holder, mut rival } = Pair::start(Kind::RedisPy, Kind::Dlock).await;
    assert!(holder.try_acquire(KEY, Duration::ZERO).await);
    assert_eq!(server.command(&["PTTL", KEY]), "-1");
    rival.wait_for(KEY, LONG, &server).await;
    assert!(holder.release().await);
    rival.granted().await;
}

async fn a_renewed_lock_is_refused_after_its_first_lease(rival: Kind) {
    let server = RedisServer::start();
    let locks = manager(server.url()).await;
    let mut rival = Client::start(rival, &server).await;
    let guard = locks.lock(KEY).ttl(BRIEF).await.unwrap();
    let first_deadline = guard.remaining();
    dlock_core::sleep_until(dlock_core::Moment::now().after(first_deadline)).await;
    assert!(!rival.try_acquire(KEY, LONG).await, "it is renewed");
    guard.release().await.unwrap();
    assert!(rival.try_acquire(KEY, LONG).await, "it is free");
}

#[tokio::test]
async fn redis_py_is_refused_a_renewed_lock_after_its_first_lease() {
    a_renewed_lock_is_refused_after_its_first_lease(Kind::RedisPy).await;
}

#[tokio::test]
async fn redlock_is_refused_a_renewed_lock_after_its_first_lease() {
    a_renewed_lock_is_refused_after_its_first_lease(Kind::Redlock).await;
}

//! A holder and a rival of another kind, in each order.

use crate::client::{Client, Kind};
use crate::{BRIEF, LONG, manager};
use dlock_core::backend::redis::Recipe;
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

    /// Ends the present holder's lease early, so that the holder still believes in it.
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

async fn a_late_release_frees_no_other_lock(holder: Kind, rival: Kind) {
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
            use super::*;

            pairs!(@cases $holder $rival:
                a_rival_is_refused_until_the_release
                a_waiting_rival_gets_it_after_the_release
                a_crashed_holder_costs_its_lease
                a_late_release_frees_no_other_lock);
        }
    )*};
    (@cases $holder:ident $rival:ident: $($case:ident)*) => {
        pairs!(@tests ($holder, $rival) $($case)*);
    };
    (@tests $kinds:tt $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            super::$case$kinds.await;
        }
    )*};
}

const FAIR: Kind = Kind::Dlock(Recipe::Fair);
const BARGING: Kind = Kind::Dlock(Recipe::Barging);
const PLAIN: Kind = Kind::Dlock(Recipe::Plain);
const REDIS_PY: Kind = Kind::RedisPy;
const REDLOCK: Kind = Kind::Redlock;

pairs! {
    fair_then_redis_py: FAIR then REDIS_PY;
    fair_then_redlock: FAIR then REDLOCK;
    redis_py_then_fair: REDIS_PY then FAIR;
    redlock_then_fair: REDLOCK then FAIR;
    barging_then_redis_py: BARGING then REDIS_PY;
    barging_then_redlock: BARGING then REDLOCK;
    redis_py_then_barging: REDIS_PY then BARGING;
    redlock_then_barging: REDLOCK then BARGING;
    plain_then_redis_py: PLAIN then REDIS_PY;
    plain_then_redlock: PLAIN then REDLOCK;
    redis_py_then_plain: REDIS_PY then PLAIN;
    redlock_then_plain: REDLOCK then PLAIN;
    redis_py_then_redlock: REDIS_PY then REDLOCK;
    redlock_then_redis_py: REDLOCK then REDIS_PY;
}

/// redis-py's default is a lock without a lease.
#[tokio::test]
async fn a_lock_that_never_expires_is_waited_for() {
    let Pair { server, mut holder, mut rival } = Pair::start(Kind::RedisPy, FAIR).await;
    assert!(holder.try_acquire(KEY, Duration::ZERO).await);
    assert_eq!(server.command(&["PTTL", KEY]), "-1");
    rival.wait_for(KEY, LONG, &server).await;
    assert!(holder.release().await);
    rival.granted().await;
}

async fn a_renewed_lock_is_refused_after_its_first_lease(rival: Kind) {
    let server = RedisServer::start();
    let locks = manager(server.url(), Recipe::Fair).await;
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

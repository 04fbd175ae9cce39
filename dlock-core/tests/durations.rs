//! Whatever duration a user gives, nothing panics and nothing hangs: it has a meaning, or it is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use dlock_core::{EmbeddedBackend, ErrorKind, HandOver, LockManager, Moment};
use std::time::Duration;

const EXTREMES: [Duration; 2] = [Duration::ZERO, Duration::MAX];
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

fn manager() -> LockManager {
    LockManager::builder(EmbeddedBackend::new()).build().unwrap()
}

#[tokio::test]
async fn leases_out_of_their_range_are_refused() {
    for ttl in EXTREMES {
        let refused = LockManager::builder(EmbeddedBackend::new()).ttl(ttl).build().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
        let refused = soon(manager().lock("k").ttl(ttl).acquire()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
    }
}

#[tokio::test]
async fn a_wait_of_zero_tries_and_the_longest_waits_without_end() {
    for wait in EXTREMES {
        let builder = LockManager::builder(EmbeddedBackend::new()).wait(wait);
        let locks = builder.hand_over(HandOver::new(64, wait)).build().unwrap();
        let held = soon(locks.lock("k").acquire()).await.unwrap();
        let busy = soon(locks.lock("k").wait(Duration::ZERO).acquire()).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        let waiter = tokio::spawn(locks.lock("k").wait(Duration::MAX).acquire());
        held.release().await.unwrap();
        soon(waiter).await.unwrap().unwrap().release().await.unwrap();
    }
}

#[tokio::test]
async fn moments_stop_at_the_ends_of_the_clock() {
    let now = Moment::now();
    assert_eq!(now.before(Duration::MAX), Moment::START);
    assert_eq!(now.after(Duration::MAX), Moment::START.after(Duration::MAX));
    soon(dlock_core::sleep_until(now.after(Duration::ZERO))).await;
}

#[cfg(feature = "redis")]
mod redis {
    use super::*;
    use dlock_core::{RedisBackend, RedlockBackend};

    const MILLISECOND: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    /// Nothing listens here.
    const URL: &str = "redis://127.0.0.1:1/";
    const URLS: [&str; 3] = ["redis://127.0.0.1:1/", "redis://127.0.0.1:2/", "redis://127.0.0.1:3/"];

    #[tokio::test]
    async fn timeouts_out_of_their_range_are_refused() {
        for wrong in [Duration::ZERO, Duration::from_micros(999), HOUR + MILLISECOND, Duration::MAX] {
            for builder in [
                RedisBackend::builder().connect_timeout(wrong),
                RedisBackend::builder().request_timeout(wrong),
                RedisBackend::builder().request_timeout(wrong).require_replicas(1),
            ] {
                let refused = soon(builder.url(URL).build()).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
            }
            for builder in [
                RedlockBackend::builder().connect_timeout(wrong),
                RedlockBackend::builder().request_timeout(wrong),
            ] {
                let refused = soon(builder.servers(URLS).build()).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
            }
        }
    }

    #[tokio::test]
    async fn gaps_and_quarantines_out_of_their_range_are_refused() {
        let (brief, day) = (Duration::from_nanos(1), HOUR * 24);
        for builder in [
            RedisBackend::builder().quarantine(brief),
            RedisBackend::builder().quarantine(Duration::MAX),
            RedisBackend::builder().foreign_gap(Duration::MAX, MILLISECOND),
            RedisBackend::builder().foreign_gap(MILLISECOND, Duration::MAX),
            RedisBackend::builder().foreign_gap(MILLISECOND, brief),
            RedisBackend::builder().foreign_gap(day + MILLISECOND, MILLISECOND),
        ] {
            let refused = soon(builder.url(URL).build()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
        }
    }

    #[tokio::test]
    async fn durations_at_the_ends_of_their_ranges_are_taken() {
        let off = Duration::ZERO;
        for limit in [MILLISECOND, HOUR] {
            let builder = RedisBackend::builder().connect_timeout(limit).request_timeout(limit);
            let builder = builder.require_replicas(1).quarantine(off).foreign_gap(Duration::MAX, off);
            let away = soon(builder.url(URL).build()).await.unwrap_err();
            assert_eq!(away.kind(), ErrorKind::Unavailable, "{away}");
            let builder = RedlockBackend::builder().connect_timeout(limit).request_timeout(limit);
            let away = soon(builder.servers(URLS).build()).await.unwrap_err();
            assert_eq!(away.kind(), ErrorKind::Unavailable, "{away}");
        }
    }
}

#[cfg(feature = "zookeeper")]
#[tokio::test]
async fn timeouts_of_zookeeper_out_of_their_range_are_refused() {
    use dlock_core::ZooKeeperBackend;

    for wrong in EXTREMES {
        for builder in [
            ZooKeeperBackend::builder().session_timeout(wrong),
            ZooKeeperBackend::builder().request_timeout(wrong),
        ] {
            let refused = soon(builder.hosts("127.0.0.1:1").build()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
        }
    }
}

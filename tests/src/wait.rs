//! Waiting for a condition instead of for a time.

use crate::error::fail;
use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

/// Returns as soon as `condition` is true, and fails the test when it is not true within `limit`: the
/// message is "waited in vain until `what`".
///
/// Blocks the thread: async tests take [`wait_until_async`].
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    if poll(limit, || condition().then_some(())).is_none() {
        fail(&format_args!("waited {limit:?} in vain until {what}"));
    }
}

/// Returns as soon as `condition` is true, and fails the test when it is not true within `limit`: the
/// message is "waited in vain until `what`".
///
/// The limit is tokio's time, so with a paused clock the wait takes no real time, and a condition that
/// depends on a real server must not be awaited with a paused clock. A condition that never returns
/// counts as false once the limit has passed.
#[track_caller]
pub fn wait_until_async(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let holds = async {
            while !condition().await {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        if tokio::time::timeout(limit, holds).await.is_err() {
            fail(&format_args!("waited {limit:?} in vain until {what} ({caller})"));
        }
    }
}

/// The first value `attempt` gives, or none when `limit` has passed. Tries at least once.
#[allow(clippy::disallowed_methods, reason = "polls real processes from outside any executor")]
pub(crate) fn poll<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if start.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(INTERVAL);
    }
}

const INTERVAL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_when_the_condition_comes_true() {
        let mut calls = 0;
        wait_until("the third call", Duration::from_secs(60), || {
            calls += 1;
            calls == 3
        });
        assert_eq!(calls, 3);
    }

    #[test]
    #[should_panic(expected = "in vain until pigs fly")]
    fn names_what_never_came_true() {
        wait_until("pigs fly", Duration::ZERO, || false);
    }

    #[tokio::test(start_paused = true)]
    async fn async_returns_when_the_condition_comes_true() {
        let mut calls = 0;
        wait_until_async("the third call", Duration::from_secs(60), async || {
            calls += 1;
            calls == 3
        })
        .await;
        assert_eq!(calls, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "in vain until pigs fly (")]
    async fn async_names_what_never_came_true() {
        wait_until_async("pigs fly", Duration::from_secs(60), std::future::pending).await;
    }
}

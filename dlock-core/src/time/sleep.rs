//! Waiting for a moment, by timers of the keeper.

use super::moment::Moment;
use super::timers::KeeperTimer;
use crate::keeper::Keeper;
use futures_util::future::Either;
use std::pin::Pin;
use std::time::Duration;

/// Waits until the lease clock has reached `until`.
///
/// Timers stand still while the machine sleeps, so the wait is cut into slices: a machine that wakes
/// up notices within one slice that the moment has passed. It is real time, even in a runtime whose time is paused.
///
/// # Cancel safety
/// Dropping the future leaves nothing behind.
pub async fn sleep_until(until: Moment) {
    while let Some(slice) = slice_before(until) {
        sleep(slice).await;
    }
}

fn slice_before(until: Moment) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(1);
    let left = until.since(Moment::now());
    (!left.is_zero()).then(|| left.min(LONGEST))
}

/// Waits for `span` of the time that the machine is awake: for pauses and patience, which no lease depends on.
/// Unlike [`sleep_until`] it wakes up only once. The time runs from this call on.
///
/// The timer is the keeper's, so it is real time, and the caller needs no runtime.
pub(crate) fn sleep(span: Duration) -> Sleep {
    match Keeper::here() {
        Ok(keeper) => sleep_by(keeper, span),
        // Rare, and several times as large.
        Err(_) => Either::Right(Box::pin(tokio::time::sleep(span))),
    }
}

/// As [`sleep`], for a caller that has just seen that the keeper is here: to look costs a call of the system.
pub(crate) fn sleep_by(keeper: &Keeper, span: Duration) -> Sleep {
    Either::Left(KeeperTimer::new(keeper, span))
}

/// Ends when its time has passed.
pub(crate) type Sleep = Either<KeeperTimer, Pin<Box<tokio::time::Sleep>>>;

/// The output of `work`, unless it takes longer than `limit`.
#[cfg(feature = "zookeeper")]
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    before(sleep(limit), work).await
}

/// The output of `work`, unless `end` comes first.
#[cfg(any(feature = "redis", feature = "zookeeper"))]
pub(crate) async fn before<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        output = work => Some(output),
        () = end => None,
    }
}

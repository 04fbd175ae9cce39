//! Waiting for a node to go.

use crate::keeper::Keeper;
use crate::time::{jittered, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use zookeeper::OneshotWatcher;

/// A one-shot watch. Dropping it takes it back.
pub(crate) struct NodeWatch(WatchKind);

enum WatchKind {
    Set { fired: oneshot::Receiver<()>, _task: AbortOnDropHandle<()> },
    ByAskingAgain,
}

impl NodeWatch {
    /// The watcher is polled where its session lives.
    pub(crate) fn new(watcher: OneshotWatcher, room: WatchRoom, keeper: &Keeper) -> Self {
        let (firing, fired) = oneshot::channel();
        let task = keeper.spawn(async move {
            watcher.changed().await;
            drop((firing, room));
        });
        Self(WatchKind::Set { fired, _task: AbortOnDropHandle::new(task) })
    }

    /// If there is no room for a watch: a pause after which to look again.
    pub(crate) fn by_asking_again() -> Self {
        Self(WatchKind::ByAskingAgain)
    }

    /// Waits until there is a reason to look at the queue again: the node changed or went, the session ended,
    /// or it is simply time to.
    pub(crate) async fn fired(&mut self) {
        match &mut self.0 {
            // Nothing is ever sent. The other end is dropped when the watch fires, or when it can no longer fire.
            WatchKind::Set { fired, .. } => drop(fired.await),
            WatchKind::ByAskingAgain => sleep(jittered(Duration::from_millis(500))).await,
        }
    }
}

/// How many bytes of paths one session watches.
///
/// After a reconnect the client sends all watched paths. From 128 KiB on it sends them in several requests
/// under one number, takes the second answer for a protocol error, and never gets a connection again.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    const MOST: usize = 100 * 1024;

    /// WatchRoom for a path of this length, if there is any.
    pub(crate) fn take(budget: &Arc<Self>, length: usize) -> Option<WatchRoom> {
        let taken = WatchRoom { budget: Arc::clone(budget), length };
        let before = budget.0.fetch_add(length, Ordering::Relaxed);
        (before + length <= Self::MOST).then_some(taken)
    }
}

/// A part of a [`Budget`], given back on drop.
#[derive(Debug)]
pub(crate) struct WatchRoom {
    budget: Arc<Budget>,
    length: usize,
}

impl Drop for WatchRoom {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back() {
        let budget = Arc::new(Budget::default());
        let rooms: Vec<_> = std::iter::from_fn(|| Budget::take(&budget, 100)).collect();
        assert_eq!(rooms.len(), 1_024);
        assert!(Budget::take(&budget, 1).is_none());
        drop(rooms);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
        assert!(Budget::take(&budget, 100).is_some());
    }
}

//! Waiting for the turn of a node that has only one other ahead.

use super::watch::WatchRoom;
use crate::keeper::Keeper;
use std::future::Future;
use std::pin::pin;
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio_util::task::AbortOnDropHandle;
use zookeeper::{EventType, OneshotWatcher, StateWatcher};

/// Watches on a node and on the only one ahead of it. Dropping this removes them.
pub(crate) struct PredecessorWatch {
    came: oneshot::Receiver<()>,
    task: AbortOnDropHandle<()>,
}

impl PredecessorWatch {
    /// `states` must have been read before the watches were asked for.
    pub(crate) fn new(
        own: OneshotWatcher,
        ahead: OneshotWatcher,
        states: StateWatcher,
        room: WatchRoom,
        keeper: &Keeper,
    ) -> Self {
        let (coming, came) = oneshot::channel();
        let task = keeper.spawn(async move {
            let _room = room;
            let mut own = pin!(unconstrained(own.changed()));
            if comes(&mut own, is_removed(ahead), has_moved(states)).await {
                let _ = coming.send(());
                // The watch goes with the node. Removing it would take a request, which could delay a release that
                // follows soon.
                own.await;
            }
        });
        Self { came, task: AbortOnDropHandle::new(task) }
    }

    /// Waits until the node ahead is gone while the own node is certainly there. Then the own node is the first, and
    /// the answer is `true`. With `false` something else happened, and the queue must be read.
    pub(crate) async fn come(self) -> bool {
        let Self { came, task } = self;
        let is_certain = came.await.is_ok();
        if is_certain {
            task.detach();
        }
        is_certain
    }
}

/// Waits until the node `ahead` is removed, and says whether the turn has come.
///
/// One connection brings events in the order in which they happened. So the removal of the own node would be known
/// before a later removal of the node ahead. Over a new connection they come in any order; `moved` is ready if there is
/// one.
async fn comes<T>(
    mut own: impl Future<Output = T> + Unpin,
    ahead: impl Future<Output = bool>,
    moved: impl Future,
) -> bool {
    let is_removed = tokio::select! {
        biased;
        _ = &mut own => false,
        is_removed = ahead => is_removed,
    };
    let is_disturbed = async {
        tokio::select! {
            biased;
            _ = own => true,
            _ = moved => true,
            () = std::future::ready(()) => false,
        }
    };
    is_removed && !is_disturbed.await
}

async fn is_removed(watcher: OneshotWatcher) -> bool {
    unconstrained(watcher.changed()).await.event_type == EventType::NodeDeleted
}

async fn has_moved(mut states: StateWatcher) {
    unconstrained(states.changed()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::cell::Cell;
    use std::future::{pending, poll_fn, ready};
    use std::task::Poll;

    fn outcome(
        own: impl Future<Output = ()> + Unpin,
        ahead: impl Future<Output = bool>,
        moved: impl Future,
    ) -> Option<bool> {
        comes(own, ahead, moved).now_or_never()
    }

    #[test]
    fn the_turn_comes_when_the_node_ahead_is_removed_and_nothing_else_happened() {
        assert_eq!(outcome(pending(), pending(), pending::<()>()), None);
        assert_eq!(outcome(pending(), ready(true), pending::<()>()), Some(true));
        assert_eq!(outcome(pending(), ready(false), pending::<()>()), Some(false), "only changed");
        assert_eq!(outcome(ready(()), pending(), pending::<()>()), Some(false), "its own node");
        assert_eq!(outcome(ready(()), ready(true), pending::<()>()), Some(false), "both");
        assert_eq!(outcome(pending(), ready(true), ready(())), Some(false), "over a new connection");
    }

    /// The events come from another thread: both may arrive after the own watch was looked at.
    #[test]
    fn an_own_node_removed_between_two_looks_is_seen() {
        let is_own_removed = Cell::new(false);
        let own = poll_fn(|_| if is_own_removed.get() { Poll::Ready(()) } else { Poll::Pending });
        let ahead = poll_fn(|_| {
            is_own_removed.set(true);
            Poll::Ready(true)
        });
        assert_eq!(outcome(own, ahead, pending::<()>()), Some(false));
    }
}

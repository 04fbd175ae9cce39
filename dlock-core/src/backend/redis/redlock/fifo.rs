//! Requests that go one after the other.

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Gives out turns, in the order in which they are asked for, whenever their tasks come to run.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    /// Ends when the last turn does.
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

/// A place among the turns, until it is dropped.
#[derive(Debug)]
pub(super) struct FifoTurn {
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl Fifo {
    pub(super) fn next(&self) -> FifoTurn {
        let (done, over) = oneshot::channel();
        FifoTurn { before: self.last.lock().replace(over), _done: done }
    }
}

impl FifoTurn {
    /// Waits until the turn before this one is over.
    pub(super) async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // An error is what says that it is over.
            let _ = before.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn turns_come_in_the_order_in_which_they_were_made() {
        let turns = Fifo::default();
        let (mut first, mut second) = (turns.next(), turns.next());
        let mut coming = Box::pin(second.come());
        assert!(coming.as_mut().now_or_never().is_none(), "asked first, but made later");
        assert!(first.come().now_or_never().is_some());
        assert!(coming.as_mut().now_or_never().is_none(), "the first is not over");
        drop(first);
        assert!(coming.now_or_never().is_some());
        assert!(turns.next().come().now_or_never().is_none(), "the second is not over");
        drop(second);
    }
}

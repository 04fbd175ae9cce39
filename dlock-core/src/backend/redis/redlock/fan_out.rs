//! Asking all servers at once.

use super::participant::Seat;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The answers of all servers to one question, in the order in which they come. Each question is a task of its
/// own and goes on when the round is dropped: nobody waits for a slow server once the others have decided, but
/// its answer must be taken care of (I5).
pub(super) struct Round<T>(mpsc::UnboundedReceiver<(usize, T)>);

impl<T: Send + 'static> Round<T> {
    /// Asks. `request` is called for each seat in turn; what it does before its future is ordered by that.
    pub(super) fn ask<F>(seats: &[Arc<Seat>], request: impl Fn(Arc<Seat>) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        Self::ask_and(seats, |seat, answer| {
            let request = request(seat);
            async move { answer.send(request.await) }
        })
    }

    /// The same for requests that go on after they gave their answer.
    pub(super) fn ask_and<F>(seats: &[Arc<Seat>], request: impl Fn(Arc<Seat>, Answer<T>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (answers, round) = mpsc::unbounded_channel();
        for (server, seat) in seats.iter().enumerate() {
            tokio::spawn(request(Arc::clone(seat), Answer { server, answers: answers.clone() }));
        }
        Self(round)
    }

    /// The next answer, and which server's it is; none when all have answered.
    pub(super) async fn next(&mut self) -> Option<(usize, T)> {
        self.0.recv().await
    }
}

/// Where one server's answer goes.
pub(super) struct Answer<T> {
    server: usize,
    answers: mpsc::UnboundedSender<(usize, T)>,
}

impl<T> Answer<T> {
    pub(super) fn send(self, answer: T) {
        // An error says that nobody listens any more: the question was settled without this answer.
        let _ = self.answers.send((self.server, answer));
    }
}

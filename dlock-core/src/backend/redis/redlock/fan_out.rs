//! Asking all servers at once.

use super::participant::Participant;
use crate::keeper::Keeper;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The answers of all servers to one question, in the order in which they come. Each question is a task of its own, on the
/// keeper, and goes on when the round is dropped. No caller waits for a slow server once the others have decided, but the
/// late answer must be taken care of (I5).
pub(super) struct FanOut<T>(mpsc::UnboundedReceiver<(usize, T)>);

impl<T: Send + 'static> FanOut<T> {
    /// Asks. `request` is called for each participant in turn, so what it does before it returns its future happens in
    /// that order.
    pub(super) fn ask<F>(participants: &[Arc<Participant>], request: impl Fn(Arc<Participant>) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        Self::ask_and(participants, |participant, answer| {
            let request = request(participant);
            async move { answer.send(request.await) }
        })
    }

    /// The same for requests that go on after they gave their answer.
    pub(super) fn ask_and<F>(
        participants: &[Arc<Participant>],
        request: impl Fn(Arc<Participant>, AnswerSender<T>) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (answers, round) = mpsc::unbounded_channel();
        for (server, participant) in participants.iter().enumerate() {
            let answer = AnswerSender { server, answers: answers.clone() };
            Keeper::detach(request(Arc::clone(participant), answer));
        }
        Self(round)
    }

    /// The next answer, and the number of its server; `None` when all have answered.
    pub(super) async fn next(&mut self) -> Option<(usize, T)> {
        self.0.recv().await
    }
}

/// Where one server's answer goes.
pub(super) struct AnswerSender<T> {
    server: usize,
    answers: mpsc::UnboundedSender<(usize, T)>,
}

impl<T> AnswerSender<T> {
    pub(super) fn send(self, answer: T) {
        // An error says that the round was dropped: the question was settled without this answer.
        let _ = self.answers.send((self.server, answer));
    }
}

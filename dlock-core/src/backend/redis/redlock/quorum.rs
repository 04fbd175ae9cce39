//! Asking all servers, until a majority has decided.

use super::acquisitions::Tenure;
use super::fan_out::Round;
use super::participant::{Leaving, Seat};
use super::votes::{Ballot, Outcome, Poll, Verdict, Vote, majority, proposal};
use crate::backend::Grant;
use crate::backend::redis::{grant, not_owner};
use crate::error::{ErrorKind, LockError};
use crate::lease::FencingToken;
use crate::time::{Moment, sleep, unix_time};
use std::sync::Arc;
use std::time::Duration;

/// What asking for a lock once came to.
pub(super) enum Attempt {
    Granted(Grant),
    /// Others have it, or parts of it. When it may be free, if that is known.
    Refused(Option<Duration>),
    Failed(LockError),
}

/// How often a token is raised in one attempt before rivals are given way.
const RAISES: usize = 4;

/// Asks once. An owner that has the lock already is granted it again, by a renewal (I5).
pub(super) async fn ask(tenure: &Tenure) -> Attempt {
    let Some(token) = tenure.token() else { return propose_until_settled(tenure).await };
    match renew(tenure).await {
        Ok(valid_until) => Attempt::Granted(grant(token, valid_until)),
        Err(error) if error.kind() == ErrorKind::Lost => {
            tenure.set_token(None);
            propose_until_settled(tenure).await
        }
        Err(error) => Attempt::Failed(error),
    }
}

/// Proposes tokens, each greater than all that are known by then.
async fn propose_until_settled(tenure: &Tenure) -> Attempt {
    let mut seen = FencingToken::new(0);
    for _ in 0..=RAISES {
        let (sent, token) = (Moment::now(), proposal(seen, unix_time()));
        let (ballot, failures) = propose(tenure, token).await;
        match ballot.outcome() {
            Some(Outcome::Won) => return believe(tenure, token, sent),
            Some(Outcome::Outbid(greatest)) => seen = greatest,
            Some(Outcome::Refused) => return Attempt::Refused(ballot.free_in()),
            Some(Outcome::Unreachable) | None => {
                return Attempt::Failed(out_of_reach(failures, tenure.seats.len()));
            }
        }
    }
    Attempt::Refused(None)
}

async fn propose(tenure: &Tenure, token: FencingToken) -> (Ballot, Vec<LockError>) {
    let mut round = Round::ask(&tenure.seats, |seat| {
        let turn = seat.turn();
        async move { seat.propose(turn, token).await }
    });
    let (mut ballot, mut failures) = (Ballot::of(tenure.seats.len()), Vec::new());
    while ballot.outcome().is_none() {
        match round.next().await {
            Some((_, Ok(vote))) => ballot.add(vote),
            Some((_, Err(error))) => {
                failures.push(error);
                ballot.add(Vote::Failed);
            }
            None => break,
        }
    }
    (ballot, failures)
}

/// The grant, unless the majority took longer than the lease (I3).
fn believe(tenure: &Tenure, token: FencingToken, sent: Moment) -> Attempt {
    let valid_until = tenure.terms.ttl.valid_until(sent);
    if valid_until <= Moment::now() {
        return Attempt::Failed(LockError::new(
            ErrorKind::Unavailable,
            "a majority took longer to answer than the lease lasts; use a longer ttl",
        ));
    }
    tenure.set_token(Some(token));
    Attempt::Granted(grant(token, valid_until))
}

/// Frees what a failed attempt got, at every server; waits for those that answer. An owner that was granted the
/// lock, and only could not be told so again, keeps it.
pub(super) async fn give_back(tenure: &Tenure) {
    if tenure.token().is_some() {
        return;
    }
    let started = Moment::now();
    let mut round = Round::ask(&tenure.seats, |seat| {
        let turn = seat.turn();
        async move { seat.withdraw(turn).await }
    });
    for _ in 0..majority(tenure.seats.len()) {
        // What fails is given back with the next attempt, or when the owner leaves.
        let _ = round.next().await;
    }
    drain(&mut round, started).await;
}

/// Makes the owner leave. Servers that do not answer are asked again in the background. That it left a majority
/// is enough, even if it is not known any more whether it had one: the lock is free.
pub(super) async fn leave(tenure: &Tenure, which: Leaving) -> Result<(), LockError> {
    tenure.begin_leaving();
    let started = Moment::now();
    let mut round = Round::ask_and(&tenure.seats, |seat, answer| {
        let turn = seat.turn();
        async move {
            let left = seat.leave(turn, which).await;
            let again = left.as_ref().is_err_and(|error| error.kind().is_retryable());
            answer.send(left);
            if again {
                seat.keep_leaving().await;
            }
        }
    });
    let polled = poll(&mut round, tenure.seats.len()).await;
    drain(&mut round, started).await;
    let is_heard = polled.poll.is_heard();
    polled.into_result().map(drop).or_else(|error| match error.kind() {
        ErrorKind::Unavailable if is_heard => Ok(()),
        _ => Err(error),
    })
}

/// Renews at every server. It counts if a majority of all confirms it, and only then those that lost the lock
/// are given it again: where no majority has it, it is gone (I8).
pub(super) async fn renew(tenure: &Tenure) -> Result<Moment, LockError> {
    let valid_until = tenure.terms.ttl.valid_until(Moment::now());
    let mut round = Round::ask(&tenure.seats, |seat| async move { seat.renew().await });
    let missing = poll(&mut round, tenure.seats.len()).await.into_result()?;
    if let Some(token) = tenure.token() {
        tokio::spawn(heal(Arc::clone(&tenure.seats), missing, round, token, valid_until));
    }
    Ok(valid_until)
}

/// Takes the lock again where a renewal did not find it, so that the next server to forget it does no harm.
async fn heal(
    seats: Arc<[Arc<Seat>]>,
    mut missing: Vec<usize>,
    mut round: Round<Result<bool, LockError>>,
    token: FencingToken,
    until: Moment,
) {
    loop {
        for seat in missing.drain(..).filter_map(|at| seats.get(at)) {
            if Moment::now() < until {
                // What it comes to is known by the next renewal.
                let _ = seat.propose(seat.turn(), token).await;
            }
        }
        match round.next().await {
            Some((at, answer)) => missing.extend(matches!(answer, Ok(false)).then_some(at)),
            None => return,
        }
    }
}

/// What the servers said to a question that is answered with yes or no.
struct Polled {
    servers: usize,
    poll: Poll,
    /// Who said no before it was decided.
    no: Vec<usize>,
    failures: Vec<LockError>,
}

async fn poll(round: &mut Round<Result<bool, LockError>>, servers: usize) -> Polled {
    let mut polled = Polled { servers, poll: Poll::of(servers), no: Vec::new(), failures: Vec::new() };
    while polled.poll.verdict().is_none() {
        match round.next().await {
            Some((at, answer)) => polled.add(at, answer),
            None => break,
        }
    }
    polled
}

impl Polled {
    fn add(&mut self, at: usize, answer: Result<bool, LockError>) {
        match answer {
            Ok(yes) => {
                self.no.extend((!yes).then_some(at));
                self.poll.add(Some(yes));
            }
            Err(error) => {
                self.failures.push(error);
                self.poll.add(None);
            }
        }
    }

    /// Who said no, if a majority said yes.
    fn into_result(self) -> Result<Vec<usize>, LockError> {
        match self.poll.verdict() {
            Some(Verdict::Yes) => Ok(self.no),
            Some(Verdict::No) => Err(not_owner()),
            Some(Verdict::Unsure) | None => Err(out_of_reach(self.failures, self.servers)),
        }
    }
}

/// Waits for the other answers as long again as the decision took since it was asked for: most come at once,
/// and who ends its process after a release wants no server left out. A server that is away is not worth more.
async fn drain<T: Send + 'static>(round: &mut Round<T>, asked: Moment) {
    let rest = async { while round.next().await.is_some() {} };
    tokio::select! {
        () = rest => {}
        () = sleep(Moment::now().since(asked)) => {}
    }
}

/// The error if too many servers failed: that of the servers if none of it can pass by itself.
pub(super) fn out_of_reach(mut failures: Vec<LockError>, servers: usize) -> LockError {
    let lasting = |error: &LockError| !error.kind().is_retryable();
    let too_many =
        servers.saturating_sub(failures.iter().filter(|error| lasting(error)).count()) < majority(servers);
    if too_many && let Some(at) = failures.iter().position(lasting) {
        return failures.swap_remove(at);
    }
    let failed = failures.len();
    let detail = format!("{failed} of {servers} servers failed, a majority is needed; check the servers");
    let error = LockError::new(ErrorKind::Unavailable, detail);
    match failures.pop() {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_pass_at_a_majority_is_reported_as_such() {
        let kind = |kinds: &[ErrorKind], servers| {
            out_of_reach(kinds.iter().map(|kind| LockError::new(*kind, "")).collect(), servers).kind()
        };
        let (auth, away) = (ErrorKind::Auth, ErrorKind::Unavailable);
        assert_eq!(kind(&[away, auth, auth], 3), auth);
        assert_eq!(kind(&[away, auth], 3), away, "the one that is away may come back");
        assert_eq!(kind(&[auth, auth], 3), auth);
        assert_eq!(kind(&[], 3), away);
    }
}

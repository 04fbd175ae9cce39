//! Asking all servers, until a majority has decided.

use super::acquisitions::RedlockAcquisition;
use super::fan_out::FanOut;
use super::participant::{LeaveFrom, Participant};
use super::votes::{Ballot, Outcome, Poll, Verdict, Vote, majority, proposal};
use crate::backend::Grant;
use crate::backend::redis::number::GrantNumber;
use crate::backend::redis::outcome::{grant, not_owner};
use crate::error::{ErrorKind, LockError};
use crate::keeper::Keeper;
use crate::time::{Moment, sleep, unix_time};
use std::sync::Arc;
use std::time::Duration;

/// What asking for a lock once came to.
pub(super) enum RoundOutcome {
    Granted(Grant),
    /// Other owners have the lock, or parts of it. Holds when it may be free, if that is known.
    Refused(Option<Duration>),
    Failed(LockError),
}

/// How often one attempt raises its token before it gives way to rivals.
const RAISES: usize = 4;

/// Asks once. An owner that has the lock already is granted it again, by a renewal (I5).
pub(super) async fn ask(acquisition: &RedlockAcquisition) -> RoundOutcome {
    let Some(token) = acquisition.token() else { return propose_until_settled(acquisition).await };
    match renew(acquisition).await {
        Ok(valid_until) => RoundOutcome::Granted(grant(token, valid_until)),
        Err(error) if error.kind() == ErrorKind::Lost => {
            acquisition.set_token(None);
            propose_until_settled(acquisition).await
        }
        Err(error) => RoundOutcome::Failed(error),
    }
}

/// Proposes tokens, each greater than all that are known by then.
async fn propose_until_settled(acquisition: &RedlockAcquisition) -> RoundOutcome {
    let mut seen = GrantNumber::NONE;
    for _ in 0..=RAISES {
        let (sent, token) = (Moment::now(), proposal(seen, unix_time()));
        let (ballot, failures) = propose(acquisition, token).await;
        match ballot.outcome() {
            Some(Outcome::Won) => return believe(acquisition, token, sent),
            Some(Outcome::Outbid(greatest)) => seen = greatest,
            Some(Outcome::Refused) => return RoundOutcome::Refused(ballot.free_in()),
            Some(Outcome::Unreachable) | None => {
                return RoundOutcome::Failed(out_of_reach(failures, acquisition.participants.len()));
            }
        }
    }
    RoundOutcome::Refused(None)
}

async fn propose(acquisition: &RedlockAcquisition, token: GrantNumber) -> (Ballot, Vec<LockError>) {
    let mut round = FanOut::ask(&acquisition.participants, |participant| {
        let turn = participant.turn();
        async move { participant.propose(turn, token).await }
    });
    let (mut ballot, mut failures) = (Ballot::of(acquisition.participants.len()), Vec::new());
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
fn believe(acquisition: &RedlockAcquisition, token: GrantNumber, sent: Moment) -> RoundOutcome {
    let valid_until = acquisition.terms.ttl.valid_until(sent);
    if valid_until <= Moment::now() {
        return RoundOutcome::Failed(LockError::new(
            ErrorKind::Unavailable,
            "a majority took longer to answer than the lease lasts; use a longer ttl",
        ));
    }
    acquisition.set_token(Some(token));
    RoundOutcome::Granted(grant(token, valid_until))
}

/// Frees what a failed attempt got, at every server, and waits for those that answer. An owner that already had the
/// lock keeps it, even if asking again failed.
pub(super) async fn give_back(acquisition: &RedlockAcquisition) {
    if acquisition.token().is_some() {
        return;
    }
    let started = Moment::now();
    let mut round = FanOut::ask(&acquisition.participants, |participant| {
        let turn = participant.turn();
        async move { participant.withdraw(turn).await }
    });
    for _ in 0..majority(acquisition.participants.len()) {
        // What fails is given back with the next attempt, or when the owner leaves.
        let _ = round.next().await;
    }
    drain(&mut round, started).await;
}

/// Makes the owner leave. Servers that do not answer are asked again in the background. It is enough that the owner left a
/// majority: the lock is free, even if it is not known whether the owner still had a majority.
pub(super) async fn leave(acquisition: &RedlockAcquisition, which: LeaveFrom) -> Result<(), LockError> {
    acquisition.begin_leaving();
    let started = Moment::now();
    let mut round = FanOut::ask_and(&acquisition.participants, |participant, answer| {
        let turn = participant.turn();
        async move {
            let left = participant.leave(turn, which).await;
            let again = left.as_ref().is_err_and(|error| error.kind().is_retryable());
            answer.send(left);
            if again {
                participant.keep_leaving().await;
            }
        }
    });
    let polled = poll(&mut round, acquisition.participants.len()).await;
    drain(&mut round, started).await;
    let is_heard = polled.poll.is_heard();
    polled.into_result().map(drop).or_else(|error| match error.kind() {
        ErrorKind::Unavailable if is_heard => Ok(()),
        _ => Err(error),
    })
}

/// Renews at every server. The renewal counts if a majority of all servers confirms it. Only then the lock is set again
/// at servers that lost it. Without a majority the lock is gone (I8).
pub(super) async fn renew(acquisition: &RedlockAcquisition) -> Result<Moment, LockError> {
    let valid_until = acquisition.terms.ttl.valid_until(Moment::now());
    let mut round =
        FanOut::ask(&acquisition.participants, |participant| async move { participant.renew().await });
    let missing = poll(&mut round, acquisition.participants.len()).await.into_result()?;
    if let Some(token) = acquisition.token() {
        Keeper::detach(heal(Arc::clone(&acquisition.participants), missing, round, token, valid_until));
    }
    Ok(valid_until)
}

/// Takes the lock again at servers where a renewal did not find it, so that the next server that forgets it does no
/// harm.
async fn heal(
    participants: Arc<[Arc<Participant>]>,
    mut missing: Vec<usize>,
    mut round: FanOut<Result<bool, LockError>>,
    token: GrantNumber,
    until: Moment,
) {
    loop {
        for participant in missing.drain(..).filter_map(|at| participants.get(at)) {
            if Moment::now() < until {
                // What it comes to is known by the next renewal.
                let _ = participant.propose(participant.turn(), token).await;
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

async fn poll(round: &mut FanOut<Result<bool, LockError>>, servers: usize) -> Polled {
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

/// Waits for the other answers, for as long again as the decision took. Most answers come at once, and a process that ends
/// after a release should leave its lock at no server. A server that is away is not worth a longer wait.
async fn drain<T: Send + 'static>(round: &mut FanOut<T>, asked: Moment) {
    let rest = async { while round.next().await.is_some() {} };
    tokio::select! {
        () = rest => {}
        () = sleep(Moment::now().since(asked)) => {}
    }
}

/// The error if too many servers failed. If that cannot pass by itself, it is an error of the servers.
pub(super) fn out_of_reach(mut failures: Vec<LockError>, servers: usize) -> LockError {
    let lasting = |error: &LockError| !error.kind().is_retryable();
    let too_many =
        servers.saturating_sub(failures.iter().filter(|error| lasting(error)).count()) < majority(servers);
    if too_many && let Some(at) = failures.iter().position(lasting) {
        return failures.swap_remove(at);
    }
    let failed = failures.len();
    let detail =
        format!("{failed} of {servers} servers failed{}, and a majority is needed", those_of(&failures));
    let error = LockError::new(ErrorKind::Unavailable, detail);
    match failures.pop() {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

/// The servers that failed, as far as they are named.
fn those_of(failures: &[LockError]) -> String {
    let named: Vec<_> = failures.iter().filter_map(LockError::server).collect();
    if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_failed_are_named() {
        let away = |server| LockError::new(ErrorKind::Unavailable, "away").with_server(server);
        let text = out_of_reach(vec![away("a:1"), away("b:2")], 3).to_string();
        assert!(text.contains("2 of 3 servers failed (a:1, b:2)"), "{text}");
    }

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

//! What must hold over a whole run, whatever the model says: judged by answers, messages and states alone.

use super::model::{Answer, Conduct, Message, Owner};
use super::span::Span;
use super::state::{Held, Number, Slot, State};
use super::step::Call;
use std::collections::BTreeSet;

/// The grants of one lock so far.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Who was granted the lock last, unless it was released, expired or deleted since.
    holder: Option<String>,
    last: i64,
}

/// One call and what came of it.
pub(crate) struct Event<'a> {
    pub(crate) call: Call,
    pub(crate) owner: &'a str,
    pub(crate) answer: &'a Answer,
    pub(crate) messages: &'a [Message],
    pub(crate) before: &'a State,
    pub(crate) after: &'a State,
    pub(crate) alive: &'a BTreeSet<String>,
    pub(crate) conduct: Conduct,
}

impl History {
    /// Something else than a script changed the keys.
    pub(crate) fn changed(&mut self, after: &State) {
        if lock(after) != self.holder.as_deref() {
            self.holder = None;
        }
    }

    pub(crate) fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let mine = lock(event.before) == Some(event.owner);
        let done = *event.answer == Ok(vec![Span::exactly(1)]);
        must(mine || event.is_question() || !done, "only the holder renews and releases (I1)")?;
        if event.is_released() {
            self.holder = None;
        }
        let grants = event.grants();
        must(grants.len() <= 1, "one grant per call")?;
        for (owner, token) in grants {
            must(lock(event.after) == Some(owner), "who is told of a grant has the lock")?;
            must(number(event.after) == Some(token), "who is told of a grant has the lock under its number")?;
            self.granted(event, owner, token)?;
        }
        event.check_hand_off()?;
        check_expiries(event.after)
    }

    fn granted(&mut self, event: &Event<'_>, owner: &str, token: i64) -> Result<(), String> {
        let again = self.holder.as_deref() == Some(owner);
        must(again || self.holder.is_none(), "no grant while another holds (I1)")?;
        if again && token == self.last {
            return Ok(());
        }
        must(self.last == 0 || token > self.last, "numbers rise (I2)")?;
        must(last(event.after) == Some(token), "the number of a grant is the last")?;
        must(again || event.is_fair(owner), "the first live waiter is the next (I6)")?;
        (self.holder, self.last) = (Some(owner.to_owned()), token);
        Ok(())
    }
}

impl Event<'_> {
    /// A release that fails may have freed the lock before.
    fn is_released(&self) -> bool {
        let releases = matches!(self.call, Call::Release | Call::GiveUp);
        let done = *self.answer == Ok(vec![Span::exactly(1)]);
        let failed = self.answer.is_err() && lock(self.before) == Some(self.owner);
        releases && (done || failed && lock(self.after) != Some(self.owner))
    }

    fn is_question(&self) -> bool {
        matches!(self.call, Call::Try | Call::Wait | Call::Late)
    }

    fn grants(&self) -> Vec<(&str, i64)> {
        let answered = match self.answer.as_deref() {
            Ok([one, token]) if one.from == 1 => Some(token.from),
            _ => None,
        };
        let told = self.messages.iter().map(|(_, (owner, token))| (owner.as_str(), token.from));
        answered.map(|token| (self.owner, token)).into_iter().chain(told.filter(|told| told.1 != 0)).collect()
    }

    /// Whether all owners that were ahead are gone. A releaser gives up its own place.
    fn is_fair(&self, owner: &str) -> bool {
        let Slot::Holds(queue, _) = &self.before.queue else { return true };
        let mut ahead = queue.iter().map(|(member, _)| member.as_str()).take_while(|member| *member != owner);
        self.conduct.barging || !ahead.any(|member| self.is_alive(member) && member != self.owner)
    }

    fn is_alive(&self, owner: &str) -> bool {
        Owner::parse(owner).is_some_and(|owner| self.alive.contains(&owner.inbox))
    }

    /// An owner that holds now and did not before has asked, or has been told (I7).
    fn check_hand_off(&self) -> Result<(), String> {
        let Some(holder) = lock(self.after) else { return Ok(()) };
        let known = lock(self.before) == Some(holder) || holder == self.owner;
        let told = || self.messages.iter().any(|(_, (owner, token))| owner == holder && token.from != 0);
        must(known || told(), "a waiter that does not listen is no holder (I7)")
    }
}

fn lock(state: &State) -> Option<&str> {
    state.lock.owner()
}

fn number(state: &State) -> Option<i64> {
    match &state.lock {
        Slot::Holds(Held::By(_, number), _) => Some(number.from),
        _ => None,
    }
}

fn last(state: &State) -> Option<i64> {
    match state.counter.read() {
        Ok(Some(Number::Is(number))) => Some(number.from),
        _ => None,
    }
}

/// What dlock keeps goes away by itself.
fn check_expiries(state: &State) -> Result<(), String> {
    must(!matches!(state.queue, Slot::Holds(_, None)), "a queue expires")?;
    must(!matches!(state.marks, Slot::Holds(_, None)), "marks expire")
}

fn must(holds: bool, promise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("broken: {promise}")) }
}

//! The reference: what the scripts of the queue do, in Rust. Pure.
//!
//! It reads no clock. Where a script asks for the time, the model takes the bounds in which the call ran.

use super::span::Span;
use super::state::{Held, LARGEST_NUMBER, Marker, Number, Slot, State};
use std::collections::BTreeSet;

/// How the scripts are to act. Times in ms, 0 for not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Conduct {
    pub(crate) barging: bool,
    pub(crate) quarantine: i64,
    pub(crate) between_gaps: i64,
    pub(crate) gap: i64,
    /// Whether a client hears every message that is no waiter's process. It changes nothing.
    pub(crate) monitored: bool,
    /// What stands before all keys and channels. It changes nothing.
    pub(crate) namespace: &'static str,
}

/// What surrounds a call.
#[derive(Debug, Clone)]
pub(crate) struct Around {
    /// The server's time in microseconds.
    pub(crate) now: Span,
    /// The server's name for itself in the marker.
    pub(crate) server: String,
    /// The inboxes that have a listener.
    pub(crate) alive: BTreeSet<String>,
    pub(crate) conduct: Conduct,
}

/// A message that was heard: to which inbox, about which owner, with which number.
pub(crate) type Message = (String, (String, Span));

/// The numbers of the answer, or the error's code.
pub(crate) type Answer = Result<Vec<Span>, String>;

/// One call of a script.
pub(crate) struct Model<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) around: &'a Around,
    pub(crate) messages: Vec<Message>,
}

const QUEUE_TTL: i64 = 60_000;
const LONGEST_WALK: usize = 64;
const GAP_MEMORY: i64 = 60_000;

impl Model<'_> {
    pub(crate) fn acquire(&mut self, owner: &str, ttl: i64, waits: bool) -> Answer {
        let quarantined = self.quarantine_left()?;
        if self.state.marks.score(owner)?.is_some() {
            return Ok(numbers([2]));
        }
        let holder = self.state.lock.read()?.cloned();
        if let Some(Held::By(holder, number)) = &holder
            && holder == owner
        {
            self.state.lock.expire(self.now_ms().plus(ttl));
            return Ok(vec![Span::exactly(1), *number]);
        }
        let gap_left = if holder.is_none() { self.gap_left()? } else { None };
        let free = holder.is_none() && quarantined.is_none() && gap_left.is_none();
        if free && self.around.conduct.barging {
            self.state.queue.remove(owner)?;
            return Ok(self.granted(owner, ttl));
        }
        let mut first = waits && self.enqueue(owner, ttl)?;
        if let Some(left) = quarantined {
            return Ok(vec![Span::exactly(3), left]);
        }
        if free {
            if matches!(self.hand_off(Some(owner))?, Next::Caller | Next::Nobody) {
                self.state.queue.remove(owner)?;
                return Ok(self.granted(owner, ttl));
            }
            first = waits && self.state.queue.first()?.as_deref() == Some(owner);
        }
        self.refused(waits, first, gap_left)
    }

    pub(crate) fn release(&mut self, owner: &str, late: i64) -> Answer {
        let had_it = self.has_it(owner)?;
        let queued = self.state.queue.exists();
        if had_it {
            self.state.lock = Slot::Nothing;
        } else if queued {
            self.state.queue.remove(owner)?;
        }
        if queued && !self.state.lock.exists() {
            // A hand-off that is refused leaves a free lock.
            let _ = self.pass_on();
        }
        if late > 0 {
            self.forget_old_notes()?;
            self.note(owner, self.now_ms().plus(late), late)?;
        }
        Ok(numbers([i64::from(had_it)]))
    }

    pub(crate) fn renew(&mut self, owner: &str, ttl: i64) -> Answer {
        let has_it = self.has_it(owner)?;
        if has_it {
            self.state.lock.expire(self.now_ms().plus(ttl));
        }
        Ok(numbers([i64::from(has_it)]))
    }

    fn has_it(&self, owner: &str) -> Result<bool, String> {
        self.state.lock.read()?;
        Ok(self.state.lock.owner() == Some(owner))
    }

    fn granted(&mut self, owner: &str, ttl: i64) -> Vec<Span> {
        vec![Span::exactly(1), self.grant(owner, ttl)]
    }

    /// What is left is told to those that ask at the end of the lease: the first waiter, and a try.
    fn refused(&mut self, waits: bool, first: bool, gap_left: Option<Span>) -> Answer {
        let (left, foreign) = match self.state.lock.read()? {
            Some(holder) if waits && !first => (Span::exactly(FOR_EVER), matches!(holder, Held::Other(_))),
            _ => self.left_of_lease(gap_left)?,
        };
        let last = if waits {
            self.last().unwrap_or(self.around.now).max(self.around.now)
        } else {
            Span::exactly(0)
        };
        let rest = numbers([i64::from(first), i64::from(foreign)]);
        Ok([numbers([0]), vec![left], rest, vec![last]].concat())
    }

    /// What is left of the holder's lease, and whether it is no client of dlock. A client of dlock that has
    /// more than it asked for, which it never asked for, is cut short.
    fn left_of_lease(&mut self, gap_left: Option<Span>) -> Result<(Span, bool), String> {
        let now = self.now_ms();
        let Slot::Holds(holder, ends) = &mut self.state.lock else {
            return Ok((gap_left.unwrap_or(Span::exactly(0)), false));
        };
        let left = ends.map_or(Span::exactly(FOR_EVER), |ends| ends.minus(now).widened());
        let Held::By(owner, _) = holder else { return Ok((left, true)) };
        let Some(Owner { ttl, .. }) = Owner::parse(owner) else { return Ok((left, true)) };
        if left == Span::exactly(FOR_EVER) || left.is_after(Span::exactly(ttl).widened()) {
            *ends = Some(now.plus(ttl));
            return Ok((Span::exactly(ttl), false));
        }
        Ok((left, false))
    }

    /// Whether the owner is the first. One that comes to others is not, even if the clock went back; nor does it have
    /// the queue live longer, which a sign of life does.
    fn enqueue(&mut self, owner: &str, ttl: i64) -> Result<bool, String> {
        let is_new = self.state.queue.score(owner)?.is_none();
        let comes_to_others = is_new && self.state.queue.exists();
        if is_new {
            self.state.queue.put(owner, self.around.now)?;
        }
        if !comes_to_others {
            self.state.queue.expire(self.now_ms().plus(ttl.max(QUEUE_TTL)));
        }
        Ok(!comes_to_others && self.state.queue.first()?.as_deref() == Some(owner))
    }

    fn pass_on(&mut self) -> Result<(), String> {
        if self.around.conduct.barging || self.is_gap()? || self.quarantine_left()?.is_some() {
            return self.wake_first();
        }
        self.hand_off(None).map(|_| ())
    }

    /// Grants the free lock to the first waiter that listens. The caller is granted by itself.
    fn hand_off(&mut self, caller: Option<&str>) -> Result<Next, String> {
        for _ in 0..LONGEST_WALK {
            let Some(first) = self.state.queue.first()? else { return Ok(Next::Nobody) };
            if caller == Some(&*first) {
                return Ok(Next::Caller);
            }
            self.state.queue.remove(&first)?;
            let Some(owner) = Owner::parse(&first) else { continue };
            let token = self.grant(&first, owner.ttl);
            if self.tell(&owner.inbox, &first, token) {
                return Ok(Next::Other);
            }
            self.state.lock = Slot::Nothing;
        }
        Ok(Next::Unknown)
    }

    /// Tells the first waiter that listens, and leaves it in its place.
    fn wake_first(&mut self) -> Result<(), String> {
        for _ in 0..LONGEST_WALK {
            let Some(first) = self.state.queue.first()? else { break };
            let told = Owner::parse(&first);
            if told.is_some_and(|owner| self.tell(&owner.inbox, &first, Span::exactly(0))) {
                break;
            }
            self.state.queue.remove(&first)?;
        }
        Ok(())
    }

    fn tell(&mut self, inbox: &str, owner: &str, token: Span) -> bool {
        let heard = self.around.alive.contains(inbox);
        if heard {
            self.messages.push((inbox.to_owned(), (owner.to_owned(), token)));
        }
        heard
    }

    /// Makes the owner the holder, under a number greater than any before and no less than the time.
    fn grant(&mut self, owner: &str, ttl: i64) -> Span {
        let now = self.around.now;
        let number = self.last().map_or(now, |last| last.plus(1).max(now));
        self.state.lock = Slot::Holds(Held::By(owner.to_owned(), number), Some(self.now_ms().plus(ttl)));
        self.state.counter = Slot::Holds(Number::Is(number), None);
        number
    }

    /// The last number. A counter that holds none is lost.
    fn last(&self) -> Option<Span> {
        match &self.state.counter {
            Slot::Holds(Number::Is(number), _) if number.to < LARGEST_NUMBER => Some(*number),
            _ => None,
        }
    }

    fn gap_left(&self) -> Result<Option<Span>, String> {
        let (ends, length) = (self.state.marks.score(GAP)?, self.state.marks.score(GAP_LENGTH)?);
        let left = ends.map(|ends| ends.minus(self.now_ms()));
        let is_left = |left: &Span| {
            left.is_after(Span::exactly(0)) && length.is_some_and(|length| !left.is_after(length.negated()))
        };
        Ok(left.filter(is_left))
    }

    /// Whether a gap is open. One begins if it is due, which it first is some time after the first release to a
    /// queue.
    fn is_gap(&mut self) -> Result<bool, String> {
        let Conduct { gap, between_gaps, .. } = self.around.conduct;
        if gap == 0 {
            return Ok(false);
        }
        if self.gap_left()?.is_some() {
            return Ok(true);
        }
        let next = self.state.marks.score(NEXT_GAP)?;
        let longest = Span::exactly(between_gaps + gap);
        let not_yet = |next: Span| {
            let left = next.negated().minus(self.now_ms());
            left.is_after(Span::exactly(0)) && !left.is_after(longest)
        };
        if next.is_some_and(not_yet) {
            return Ok(false);
        }
        let begins = next.is_some();
        if begins {
            self.note(GAP, self.now_ms().plus(gap), gap)?;
            self.note(GAP_LENGTH, Span::exactly(-gap), gap)?;
        }
        let until_next = between_gaps + if begins { gap } else { 0 };
        self.note(NEXT_GAP, self.now_ms().plus(until_next).negated(), until_next + GAP_MEMORY)?;
        Ok(begins)
    }

    /// How long the server grants nothing yet. A server that the marker does not name begins the time.
    fn quarantine_left(&mut self) -> Result<Option<Span>, String> {
        if self.around.conduct.quarantine == 0 {
            return Ok(None);
        }
        let now = self.now_ms();
        let over = match self.state.marker.read()? {
            Some(Marker::Until(server, over))
                if *server == self.around.server
                    && !over.minus(now).is_after(Span::exactly(self.around.conduct.quarantine)) =>
            {
                *over
            }
            _ => {
                let over = now.plus(self.around.conduct.quarantine);
                self.state.marker = Slot::Holds(Marker::Until(self.around.server.clone(), over), None);
                over
            }
        };
        Ok(over.is_after(now).then(|| over.minus(now)))
    }

    fn forget_old_notes(&mut self) -> Result<(), String> {
        let now = self.now_ms();
        self.state.marks.retain(|_, score| score.from <= 0 || score.is_after(now))
    }

    /// Notes, and keeps all notes for so long at least.
    fn note(&mut self, member: &str, score: Span, keep: i64) -> Result<(), String> {
        self.state.marks.put(member, score)?;
        let until = self.now_ms().plus(keep);
        if let Slot::Holds(_, ends) = &mut self.state.marks {
            *ends = Some(ends.map_or(until, |ends| ends.max(until)));
        }
        Ok(())
    }

    fn now_ms(&self) -> Span {
        self.around.now.thousandths()
    }
}

/// Whom the free lock went to.
enum Next {
    Caller,
    Other,
    /// No owner waits.
    Nobody,
    /// The walk was too long.
    Unknown,
}

const GAP: &str = "|gap";
const GAP_LENGTH: &str = "|length";
const NEXT_GAP: &str = "|next";

/// What PTTL says of a key without an expiry.
const FOR_EVER: i64 = -1;

/// An owner of dlock: `dl2|<inbox>|<id>|<ttl in ms>|`, or `dl2|<inbox>|<id>|<ttl in ms>=<label>|`.
pub(crate) struct Owner {
    pub(crate) inbox: String,
    pub(crate) ttl: i64,
}

impl Owner {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('|').collect();
        let hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        match *parts {
            ["dl2", inbox, id, ttl, ""] if hex(inbox) && hex(id) => {
                let ttl = ttl.split_once('=').map_or(ttl, |(ttl, _label)| ttl);
                Some(Self { inbox: inbox.to_owned(), ttl: ttl.parse().ok()? })
            }
            _ => None,
        }
    }
}

fn numbers<const N: usize>(numbers: [i64; N]) -> Vec<Span> {
    numbers.map(Span::exactly).to_vec()
}

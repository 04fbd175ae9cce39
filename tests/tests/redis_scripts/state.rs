//! All that the scripts keep about one lock, as the model makes it and as a server shows it.

use super::span::Span;

/// What stands at the keys of one lock.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) lock: Slot<Held>,
    pub(crate) queue: Slot<Members>,
    /// One for all locks.
    pub(crate) counter: Slot<Number>,
    /// Of a lock at one of several independent servers.
    pub(crate) fence: Slot<Number>,
    pub(crate) marks: Slot<Members>,
    pub(crate) marker: Slot<Marker>,
}

/// What stands at one key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Slot<T> {
    Nothing,
    /// A value of a type that the scripts do not put there.
    Other,
    /// A value, and when it ends in ms, if ever.
    Holds(T, Option<Span>),
}

/// A sorted set.
pub(crate) type Members = Vec<(String, Span)>;

/// What has a lock.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Held {
    /// An owner of dlock, with the number of its grant.
    By(String, Span),
    Other(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Number {
    Is(Span),
    Garbage(String),
}

/// Which server this is, and until when it grants nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Marker {
    Until(String, Span),
    Garbage(String),
}

/// The message of an answer that is an error.
pub(crate) const WRONG_TYPE: &str = "WRONGTYPE";
pub(crate) const CORRUPT: &str = "DLOCKCORRUPT";

/// A Lua number is exact below this.
pub(crate) const LARGEST: i64 = 9_007_199_254_740_991;
/// No grant has a greater number.
pub(crate) const LARGEST_NUMBER: i64 = (1 << 52) - 1;

impl<T> Slot<T> {
    /// As a command of the right type sees it.
    pub(crate) fn read(&self) -> Result<Option<&T>, String> {
        match self {
            Self::Nothing => Ok(None),
            Self::Other => Err(WRONG_TYPE.to_owned()),
            Self::Holds(value, _) => Ok(Some(value)),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    pub(crate) fn expire(&mut self, at: Span) {
        if let Self::Holds(_, ends) = self {
            *ends = Some(at);
        }
    }
}

impl Slot<Held> {
    /// The owner that has the lock.
    pub(crate) fn owner(&self) -> Option<&str> {
        match self {
            Self::Holds(Held::By(owner, _), _) => Some(owner),
            _ => None,
        }
    }
}

impl Slot<Members> {
    pub(crate) fn score(&self, member: &str) -> Result<Option<Span>, String> {
        let found = self.read()?.and_then(|members| members.iter().find(|(name, _)| name == member));
        Ok(found.map(|(_, score)| *score))
    }

    pub(crate) fn first(&self) -> Result<Option<String>, String> {
        Ok(self.read()?.and_then(|members| members.first()).map(|(name, _)| name.clone()))
    }

    /// For sets whose order is of no meaning.
    fn by_name(&self) -> Self {
        let mut sorted = self.clone();
        if let Self::Holds(members, _) = &mut sorted {
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        sorted
    }

    /// A set without members is gone.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, Span) -> bool) -> Result<(), String> {
        self.read()?;
        if let Self::Holds(members, _) = self {
            members.retain(|(name, score)| keep(name, *score));
            if members.is_empty() {
                *self = Self::Nothing;
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, member: &str) -> Result<(), String> {
        self.retain(|name, _| name != member)
    }

    /// Puts the member where its score belongs, and away from where it was.
    pub(crate) fn put(&mut self, member: &str, score: Span) -> Result<(), String> {
        let mut members = self.read()?.cloned().unwrap_or_default();
        members.retain(|(name, _)| name != member);
        members.push((member.to_owned(), score));
        members.sort_by(|(one, at), (other, then)| (at.from, one).cmp(&(then.from, other)));
        let ends = if let Self::Holds(_, ends) = self { *ends } else { None };
        *self = Self::Holds(members, ends);
        Ok(())
    }
}

/// Equality, with numbers between their bounds.
pub(crate) trait Agrees {
    fn agrees(&self, other: &Self) -> bool;
}

impl Agrees for Span {
    fn agrees(&self, other: &Self) -> bool {
        self.overlaps(*other)
    }
}

impl Agrees for String {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

impl<T: Agrees> Agrees for Vec<T> {
    fn agrees(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(one, other)| one.agrees(other))
    }
}

impl<A: Agrees, B: Agrees> Agrees for (A, B) {
    fn agrees(&self, other: &Self) -> bool {
        self.0.agrees(&other.0) && self.1.agrees(&other.1)
    }
}

impl<A: Agrees, B: Agrees> Agrees for Result<A, B> {
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Ok(one), Ok(other)) => one.agrees(other),
            (Err(one), Err(other)) => one.agrees(other),
            _ => false,
        }
    }
}

impl Agrees for Held {
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::By(one, number), Self::By(other, same)) => one == other && number.agrees(same),
            _ => self == other,
        }
    }
}

impl Agrees for Number {
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Is(one), Self::Is(other)) => one.agrees(other),
            _ => self == other,
        }
    }
}

impl Agrees for Marker {
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Until(server, one), Self::Until(same, other)) => server == same && one.agrees(other),
            _ => self == other,
        }
    }
}

impl<T: Agrees> Agrees for Slot<T> {
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, Self::Nothing) | (Self::Other, Self::Other) => true,
            (Self::Holds(one, ends), Self::Holds(other, end)) => {
                let together = match (ends, end) {
                    (Some(ends), Some(end)) => ends.widened().agrees(end),
                    (ends, end) => ends == end,
                };
                one.agrees(other) && together
            }
            _ => false,
        }
    }
}

impl Agrees for State {
    fn agrees(&self, other: &Self) -> bool {
        self.lock.agrees(&other.lock)
            && self.queue.agrees(&other.queue)
            && self.counter.agrees(&other.counter)
            && self.fence.agrees(&other.fence)
            && self.marks.by_name().agrees(&other.marks.by_name())
            && self.marker.agrees(&other.marker)
    }
}

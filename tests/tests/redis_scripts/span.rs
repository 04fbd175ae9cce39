//! Numbers that depend on the server's clock: known only between two bounds, so that nothing here reads a clock.

/// A number between two bounds, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    pub(crate) fn exactly(number: i64) -> Self {
        Self { from: number, to: number }
    }

    pub(crate) fn plus(self, number: i64) -> Self {
        Self { from: self.from + number, to: self.to + number }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { from: self.from - other.to, to: self.to - other.from }
    }

    pub(crate) fn negated(self) -> Self {
        Self { from: -self.to, to: -self.from }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.max(other.to) }
    }

    /// Both ends rounded down to a thousandth: of microseconds, the milliseconds.
    pub(crate) fn thousandths(self) -> Self {
        Self { from: self.from.div_euclid(1000), to: self.to.div_euclid(1000) }
    }

    /// The steps of a test lie hours apart or are done with, so that no answer hangs on a moment.
    pub(crate) fn is_after(self, other: Self) -> bool {
        self.from > other.to
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// For times to live: the server reckons with a time in ms that it read a little before.
    pub(crate) fn widened(self) -> Self {
        Self { from: self.from - 2, to: self.to + 2 }
    }
}

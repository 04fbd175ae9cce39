//! What is seen of a lock from outside.

use super::share::Share;
use crate::label::Label;
use crate::lease::FencingToken;
use std::time::Duration;

/// The holders and the waiters of a lock, as the backend saw them at one moment. They may have changed since.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Inspection {
    /// The holders. A lock that is free has none.
    pub holders: Vec<HolderView>,
    /// The waiters in the order in which they are to be served, as far as the backend keeps one, and the first thousand at
    /// most. With hand-over a process waits once for each key and label, whatever the number of its tasks.
    pub waiters: Vec<WaiterView>,
    /// Where the acquisition stands that asked, from 1, if it waits.
    pub place: Option<usize>,
}

impl Inspection {
    /// Whether no owner has the lock or waits for it.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.holders.is_empty() && self.waiters.is_empty()
    }
}

/// Which program has a lock, or waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ClientKind {
    /// dlock.
    Dlock,
    /// Another library, or a build of dlock that writes its owners in another form.
    Foreign,
    /// The backend cannot tell: on ZooKeeper dlock's nodes look like those of Apache Curator.
    #[default]
    Unknown,
}

/// A holder, as others see it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HolderView {
    /// What it calls itself.
    pub label: Option<Label>,
    /// How much of the key it has: a reader, a writer, or permits.
    pub share: Share,
    /// The first of its tokens.
    pub token: Option<FencingToken>,
    /// How many tokens are its own, from that one on. A process hands the lock over under one after the other, so the guard's
    /// token may be any of them.
    pub tokens: u32,
    /// For how long it has held the lock, by the server's clock. On ZooKeeper it is the time since the holder asked for the lock,
    /// by the clocks of the server and of this machine.
    pub held_for: Option<Duration>,
    /// How long it will hold the lock if it is not renewed. `None` if the backend does not know, as on ZooKeeper, or if the
    /// lock never expires.
    pub remaining: Option<Duration>,
    /// What sort of client it is.
    pub client: ClientKind,
    /// Whether the lock was [taken away](crate::LockAdmin::force_release) from it, and stays closed until its guard is over
    /// for certain.
    pub is_taken_away: bool,
}

impl HolderView {
    /// A holder of which no more is known.
    #[must_use]
    pub fn new(client: ClientKind) -> Self {
        Self { client, ..Self::default() }
    }

    /// Whether `token` is one of this holder's.
    #[must_use]
    pub fn has_token(&self, token: FencingToken) -> bool {
        let distance = |first: FencingToken| token.as_u64().checked_sub(first.as_u64());
        self.token.and_then(distance).is_some_and(|distance| distance < u64::from(self.tokens.max(1)))
    }
}

/// A waiter, as others see it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WaiterView {
    /// What it calls itself.
    pub label: Option<Label>,
    /// How much of the key it waits for.
    pub share: Share,
    /// For how long it has waited, by the same clocks as [`HolderView::held_for`].
    pub waiting_for: Option<Duration>,
    /// What sort of client it is.
    pub client: ClientKind,
}

impl WaiterView {
    /// A waiter of which no more is known.
    #[must_use]
    pub fn new(client: ClientKind) -> Self {
        Self { client, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_its_first_token_and_those_of_its_block() {
        let holder = |token, tokens| HolderView { token, tokens, ..HolderView::default() };
        let (token, block) = (FencingToken::new, holder(Some(FencingToken::new(64)), 64));
        assert!(block.has_token(token(64)) && block.has_token(token(127)));
        assert!(!block.has_token(token(63)) && !block.has_token(token(128)));
        assert!(holder(Some(token(7)), 0).has_token(token(7)));
        assert!(!holder(None, 64).has_token(token(0)));
    }
}

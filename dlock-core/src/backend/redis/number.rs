//! The numbers of grants. Pure.

use crate::lease::FencingToken;
use std::fmt;

/// What the servers number a grant with, and the block of tokens that comes of it.
///
/// Numbers are counted by scripts, which are exact up to 2^53 only. Each stands for a block of 64 tokens, for the process
/// hands the lock over to as many of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GrantNumber(u64);

/// In the block of each grant.
pub(super) const TOKENS: u32 = 64;

impl GrantNumber {
    /// No grant has it, and all have a greater one.
    pub(super) const NONE: Self = Self(0);

    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(super) const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number whose block this token is in.
    pub(super) fn of_token(token: FencingToken) -> Self {
        Self(token.as_u64() / u64::from(TOKENS))
    }

    /// The first token of the block.
    pub(super) fn token(self) -> FencingToken {
        FencingToken::new(self.0.saturating_mul(u64::from(TOKENS)))
    }
}

impl fmt::Display for GrantNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! What a backend grants.

use crate::lease::FencingToken;
use crate::time::Moment;

/// The backend's word that an owner has the key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Grant {
    /// The fencing token of the grant.
    pub token: FencingToken,
    /// How many tokens this grant has, from `token` on; no other grant of the key has any of them. So this many holders
    /// of one process can have the lock one after the other, each under a token of its own.
    pub tokens: u32,
    /// Until when the grant is valid without a renewal.
    pub valid_until: Moment,
}

impl Grant {
    /// A grant with `token`, valid until `valid_until`.
    #[must_use]
    pub fn new(token: FencingToken, valid_until: Moment) -> Self {
        Self { token, tokens: 1, valid_until }
    }

    /// The same with as many tokens.
    #[must_use]
    pub fn with_tokens(self, tokens: u32) -> Self {
        Self { tokens, ..self }
    }
}

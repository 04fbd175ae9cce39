//! How the scripts are to act.

use std::time::Duration;

/// How the scripts are to act, the same in every call of one backend value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ScriptOptions {
    /// Whether a free lock goes to whoever asks first.
    pub(super) barging: bool,
    /// How long a server grants nothing after it was started or promoted.
    pub(super) quarantine: Duration,
    /// How often, and for how long, a lock with waiters is left free for clients of other libraries.
    pub(super) gap: Option<Gap>,
}

/// Every `between` at most, for `length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) between: Duration,
    pub(super) length: Duration,
}

//! What a layer does about a lock that is held, lost or out of reach.

/// Until when a request holds its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HoldUntil {
    /// Until the response's body is at its end, fails or is dropped. A body that is one piece is at its end
    /// as soon as the server took the piece, however slowly the client reads.
    #[default]
    BodyEnd,
    /// Until the handler has returned: what a streamed body still does is not under the lock.
    Head,
}

/// What happens to a request whose lock is lost while it is handled, or held for longer than
/// [`LockLayer::max_hold`](crate::LockLayer::max_hold).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnLost {
    /// The handler is dropped at its next await and the request answered 500 `lock_lost`; if the head is out
    /// already, the body ends with an error.
    #[default]
    Abort,
    /// The handler and its body go on without the lock. [`Locked::lost`](crate::Locked::lost) tells them.
    Finish,
}

/// What happens to a request while the backend cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// It is answered 503.
    #[default]
    Reject,
    /// It is handled without a lock, with a warning in the log. The handler sees `Option<Locked>` as `None`.
    /// For work that may run twice at once when things go badly, and no other.
    Proceed,
}

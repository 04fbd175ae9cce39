//! Which way a lock is kept in Redis.

pub(crate) mod plain;
pub(crate) mod queue;
pub(crate) mod timestamp;

/// Which way a [`RedisBackend`](crate::RedisBackend) keeps its locks.
///
/// All but [`Timestamp`](Recipe::Timestamp) keep the lock as the same plain string key with an expiry, so they
/// exclude each other, and every client that locks with `SET key value NX PX`. Processes that lock the same
/// keys should use the same recipe all the same: a fair queue is fair only if everybody keeps to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Recipe {
    /// First come, first served: who releases the lock grants it to the next waiter, who is told by a push.
    /// A try does not pass the waiters. The default.
    #[default]
    Fair,
    /// A free lock goes to the first to ask; one waiter is woken when it becomes free. More changes of hands
    /// per second, as a lock need not wait for the process whose turn it is, but no order, and a waiter may be
    /// passed by any number of times.
    Barging,
    /// For servers that forbid scripts, or publishing, and for proxies that refuse the protocol RESP3: `SET NX PX` and
    /// compare-and-delete, no queue, no push.
    /// Waiters ask about every 100 ms, in no order.
    ///
    /// The comparison is done by `DELEX` and `SET IFEQ` where the server has them, else by a script, else by
    /// `WATCH` on a connection of its own. Tokens are the server's time in microseconds: they rise as long as
    /// that clock does not step back. A request that arrives late, after its caller gave up, costs one lease.
    Plain,
    /// The recipe from before Redis could expire a key it sets: the value is the time when the lock ends, in
    /// milliseconds since 1970, and a client that finds that time passed replaces the value. Only for sharing keys with
    /// services that still lock this way.
    ///
    /// **It depends on the clocks of all clients**, ours and theirs, since nothing else says when a lock is over:
    /// one whose clock is ahead by more than what is left of a lease takes a lock that is held. So exclusion
    /// holds only while all clocks agree better than the margin that the shortest lease leaves, and there is
    /// nothing the server could do about it. The owner is known by the time alone, which two clients may
    /// choose alike, so after a lost answer an owner does not believe to have the lock: it is free when its
    /// time is over. Foreign clients that use the bare `GETSET` overwrite the value even when they lose the
    /// race for a stale lock; a holder whose value was overwritten has lost the lock.
    ///
    /// Values in seconds are understood, as is a fraction; ours are whole milliseconds.
    Timestamp,
}

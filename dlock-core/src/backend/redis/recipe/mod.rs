//! The ways a lock is kept in Redis.

pub(crate) mod plain;
pub(crate) mod queue;
pub(crate) mod timestamp;

/// Which way a [`RedisBackend`](crate::RedisBackend) keeps its locks.
///
/// All but [`Timestamp`](Recipe::Timestamp) keep the lock as the same plain string key with an expiry, so they
/// exclude each other, and every client that locks with `SET key value NX PX`. Processes that lock the same keys should
/// still use the same recipe: a fair queue is fair only if all clients use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Recipe {
    /// First come, first served: who releases the lock grants it to the next waiter, who is told by a push.
    /// A try does not pass the waiters. The default.
    #[default]
    Fair,
    /// A free lock goes to the first to ask; one waiter is woken when it becomes free. A lock changes hands more often
    /// per second, since it need not wait for the process whose turn it is. But there is no order, and a waiter may be
    /// passed any number of times.
    Barging,
    /// For servers that forbid scripts or publishing, and for proxies that refuse the protocol RESP3. It is `SET NX PX`
    /// and compare-and-delete, without a queue and without a push. Waiters ask about every 100 ms, in no order.
    ///
    /// The comparison is done by `DELEX` and `SET IFEQ` where the server has them, else by a script, else by
    /// `WATCH` on a connection of its own. Tokens are the server's time in microseconds: they rise as long as
    /// that clock does not step back. A request that arrives late, after its caller gave up, costs one lease.
    Plain,
    /// The recipe from before Redis could set a key with an expiry. The value is the time when the lock ends, in
    /// milliseconds since 1970. A client that finds that this time has passed replaces the value. Only for sharing keys
    /// with services that still lock this way.
    ///
    /// **It depends on the clocks of all clients**, dlock's and others', since nothing else says when a lock is over. A
    /// client whose clock is ahead by more than what is left of a lease takes a lock that is held. So exclusion holds
    /// only while all clocks agree better than the margin that the shortest lease leaves. The server cannot prevent
    /// that. The value names no owner, only a time, and two clients may choose the same one. So after a lost answer,
    /// the owner does not assume that it has the lock, which is free when its time is over. Foreign clients that use
    /// the bare `GETSET` overwrite the value even when they lose the race for a stale lock. A holder whose value was
    /// overwritten has lost the lock.
    ///
    /// Values in seconds, and with a fraction, are understood. dlock writes whole milliseconds.
    Timestamp,
}

//! What backends promise, as values.

use std::fmt;

bitflags::bitflags! {
    /// What a backend promises, under the assumptions that its page lists: a set.
    ///
    /// [`LockManager::guarantees`](crate::LockManager::guarantees) tells it, and
    /// [`LockManagerBuilder::require`](crate::LockManagerBuilder::require) refuses a backend that promises less than a
    /// program needs. A promise that depends on settings of the servers that dlock cannot see is not in the set.
    ///
    /// ```
    /// use dlock_core::{EmbeddedBackend, ErrorKind, Guarantees, LockManager};
    ///
    /// let needs = Guarantees::QUEUE | Guarantees::ACROSS_PROCESSES;
    /// let refused = LockManager::builder(EmbeddedBackend::new()).require(needs).build().unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Unsupported);
    /// assert_eq!(refused.missing_guarantees(), Guarantees::ACROSS_PROCESSES);
    /// ```
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
    pub struct Guarantees: u32 {
        /// Locks exclude other processes, on other machines too.
        const ACROSS_PROCESSES = 1;
        /// At most one guard of a key is valid, also when a server restarts and has lost its memory.
        const ACROSS_RESTARTS = 1 << 1;
        /// At most one guard of a key is valid, also when another server takes over.
        const ACROSS_FAILOVERS = 1 << 2;
        /// At most one guard of a key is valid, whatever a clock of the time of day shows, on servers and clients.
        const WITHOUT_WALL_CLOCKS = 1 << 3;
        /// Fencing tokens rise while the servers keep their memory, also where clocks are wrong by up to a week.
        const RISING_TOKENS = 1 << 4;
        /// Fencing tokens rise also after servers lost their memory, whatever their clocks show.
        const TOKENS_AFTER_DATA_LOSS = 1 << 5;
        /// Waiters are served in the order in which they came, and a try does not pass them.
        const QUEUE = 1 << 6;
        /// A grant has a block of tokens. So a lock is [handed over](crate::HandOver) inside a process without a request.
        const TOKEN_BLOCKS = 1 << 7;
        /// A key can be held in parts: by readers, and by the permits of a semaphore.
        const SHARES = 1 << 8;
    }
}

/// The names, as in an option of a URL: `queue,across_restarts`.
impl fmt::Display for Guarantees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
        f.write_str(&names.join(","))
    }
}

impl Guarantees {
    /// The ones that these names say.
    pub(crate) fn parse(names: &str) -> Option<Self> {
        names.split(',').map(|name| Self::from_name(&name.to_ascii_uppercase())).collect()
    }

    /// What to do where these are missing.
    pub(crate) fn remedies(self) -> String {
        let remedies: Vec<_> = REMEDIES.iter().filter(|(of, _)| self.intersects(*of)).collect();
        remedies
            .iter()
            .map(|(of, remedy)| format!("for {} {remedy}", *of & self))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

const REMEDIES: &[(Guarantees, &str)] = &[
    (Guarantees::ACROSS_PROCESSES, "use Redis or ZooKeeper"),
    (
        Guarantees::ACROSS_RESTARTS,
        "use ZooKeeper, or Redis by Recipe::Fair or Recipe::Barging with quarantine",
    ),
    (Guarantees::ACROSS_FAILOVERS.union(Guarantees::WITHOUT_WALL_CLOCKS), "use ZooKeeper"),
    (
        Guarantees::RISING_TOKENS,
        "use ZooKeeper, a majority of Redis servers, or Redis by Recipe::Fair or Recipe::Barging",
    ),
    (Guarantees::TOKENS_AFTER_DATA_LOSS, "use ZooKeeper"),
    (Guarantees::QUEUE, "use Redis by Recipe::Fair, or ZooKeeper by Recipe::Sequential"),
    (
        Guarantees::TOKEN_BLOCKS,
        "use ZooKeeper, a majority of Redis servers, or Redis by Recipe::Fair or Recipe::Barging",
    ),
    (Guarantees::SHARES, "use EmbeddedBackend, Redis by Recipe::Fair, or ZooKeeper by Recipe::Sequential"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let some = Guarantees::QUEUE | Guarantees::ACROSS_RESTARTS;
        assert_eq!(some.to_string(), "across_restarts,queue");
        assert_eq!(Guarantees::parse("queue,across_restarts"), Some(some));
        assert_eq!(Guarantees::parse("queue,"), None);
        assert_eq!(Guarantees::parse("quorum"), None);
    }

    #[test]
    fn each_has_a_remedy() {
        for (name, guarantee) in Guarantees::all().iter_names() {
            let remedy = guarantee.remedies();
            assert!(
                remedy.contains(&name.to_ascii_lowercase()) && remedy.contains("use "),
                "{name}: {remedy}"
            );
        }
    }
}

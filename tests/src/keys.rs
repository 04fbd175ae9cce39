//! Names no other test uses.

use crate::servers::random_u64;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A key never used before, by this process or an earlier one: `prefix`, a number drawn at random per
/// process, and a count.
pub fn fresh_key(prefix: &str) -> String {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{:016x}-{count}", *PROCESS)
}

static PROCESS: LazyLock<u64> = LazyLock::new(random_u64);
static COUNT: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_key_comes_twice() {
        let keys: HashSet<String> = (0..1000).map(|_| fresh_key("order")).collect();
        assert_eq!(keys.len(), 1000);
        assert!(keys.iter().all(|key| key.starts_with("order-")));
    }
}

//! What is looked at once, when a backend is built: settings of the server that can break a promise.

use super::connection::Connection;

/// Warns if the server may throw locks away when its memory is full. An account that may not ask is not
/// warned.
pub(super) async fn check(connection: &Connection) {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    match connection.call::<String>(&info).await {
        Ok(info) => {
            if let Some(policy) = evicting(&info.value) {
                tracing::warn!(
                    backend = "redis",
                    policy,
                    "the server may evict locks when its memory is full, and grant them twice; set \
                     maxmemory-policy to noeviction"
                );
            }
        }
        Err(_) => tracing::debug!(backend = "redis", "the account may not ask for the eviction policy"),
    }
}

/// The policy by which a server with this `INFO memory` evicts keys, if it can come to that. Every lock has an
/// expiry, so the volatile policies hit locks too.
fn evicting(info: &str) -> Option<&str> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let policy = field("maxmemory_policy")?;
    (policy != "noeviction" && field("maxmemory") != Some("0")).then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_evicts_if_it_has_a_limit_and_a_policy() {
        let info = |limit, policy| {
            format!("# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_human:x\r\nmaxmemory_policy:{policy}\r\n")
        };
        assert_eq!(evicting(&info("100", "allkeys-lru")), Some("allkeys-lru"));
        assert_eq!(evicting(&info("100", "volatile-ttl")), Some("volatile-ttl"));
        assert_eq!(evicting(&info("100", "noeviction")), None);
        assert_eq!(evicting(&info("0", "allkeys-lru")), None, "no limit");
        assert_eq!(evicting("what else there may be"), None);
    }
}

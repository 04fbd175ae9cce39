//! What an error of the client library means. Pure.

use crate::error::{ErrorKind, LockError};
use redis::{RedisError, ServerErrorKind};

/// The error of this crate for one of the client library. Its text never holds the URL.
pub(super) fn classify(cause: RedisError) -> LockError {
    let (kind, detail) = meaning(&cause);
    LockError::new(kind, detail).with_source(cause)
}

fn meaning(cause: &RedisError) -> (ErrorKind, &'static str) {
    match cause.code() {
        Some("NOAUTH" | "WRONGPASS") => {
            (ErrorKind::Auth, "the server refused the user or password; check the URL")
        }
        Some("NOPERM") => (
            ErrorKind::Auth,
            "the user lacks a right; it needs the keys, the keys dlock:* and the channels dlock:i:* (or all of a namespace \
             that the builder is told), and the commands of the scripts",
        ),
        Some("WRONGTYPE") => (
            ErrorKind::Corrupt,
            "a key of this lock is of another type; another program uses the name, choose another one",
        ),
        Some("DLOCKCORRUPT") => (
            ErrorKind::Corrupt,
            "the fence of this lock (dlock:f:…) holds no token; delete it once no token of it is in use",
        ),
        Some("CROSSSLOT") => (ErrorKind::Unsupported, "the server put the lock's keys into different slots"),
        Some("READONLY") => (
            ErrorKind::Unavailable,
            "the server is a replica; name the primary, or the sentinels (redis+sentinel://)",
        ),
        Some("MOVED" | "ASK") => (
            ErrorKind::Unsupported,
            "the server is a node of a cluster; use redis+cluster:// and name some of its nodes",
        ),
        Some("NOREPLICAS") => (
            ErrorKind::Unavailable,
            "the primary has fewer good replicas than min-replicas-to-write; check the replicas",
        ),
        Some("MISCONF") => {
            (ErrorKind::Unavailable, "the server cannot save its data and refuses writes; check its disk")
        }
        Some("OOM") => (ErrorKind::Unavailable, "the server is out of memory; raise maxmemory or free some"),
        _ => meaning_by_text(cause).unwrap_or_else(|| meaning_by_kind(cause)),
    }
}

/// What servers say that have no code of their own for it.
fn meaning_by_text(cause: &RedisError) -> Option<(ErrorKind, &'static str)> {
    let text = cause.to_string().to_ascii_lowercase();
    if text.contains("cluster support disabled") {
        let detail = "the server is not part of a cluster; use redis:// instead of redis+cluster://";
        return Some((ErrorKind::InvalidOption, detail));
    }
    if text.contains("acl failure") || text.contains("the user executing the script") {
        let detail = "the user lacks a right that the scripts need; grant those listed at RedisBackend";
        return Some((ErrorKind::Auth, detail));
    }
    if text.contains("refused to switch database") {
        return Some(match text.contains("permission") {
            true => (ErrorKind::Auth, "the user lacks the right to choose a database; grant +select"),
            false => (
                ErrorKind::InvalidOption,
                "the server has no such database; in a cluster there is only 0, except on Valkey 9 with \
                 cluster-databases",
            ),
        });
    }
    if text.contains("unknown command") && text.contains("script") {
        let detail = "the server knows no scripts; for a sentinel use redis+sentinel://, else Recipe::Plain";
        return Some((ErrorKind::InvalidOption, detail));
    }
    None
}

fn meaning_by_kind(cause: &RedisError) -> (ErrorKind, &'static str) {
    match cause.kind() {
        redis::ErrorKind::AuthenticationFailed => {
            (ErrorKind::Auth, "the server refused the user or password; check the URL")
        }
        redis::ErrorKind::InvalidClientConfig => (
            ErrorKind::InvalidOption,
            "the URL is not of the form redis://[user:password@]host[:port][/db], or rediss:// without `redis-tls`",
        ),
        redis::ErrorKind::RESP3NotSupported => {
            (ErrorKind::Unsupported, "the server does not speak RESP3; use Redis 6.2 or newer")
        }
        redis::ErrorKind::UnexpectedReturnType | redis::ErrorKind::Parse => (
            ErrorKind::Unsupported,
            "the server gave an answer that Redis does not give; check what listens there",
        ),
        redis::ErrorKind::Server(ServerErrorKind::ResponseError) => {
            (ErrorKind::Unsupported, "the server refused the command; use Redis 6.2 or newer")
        }
        _ if cause.is_timeout() => (ErrorKind::Unavailable, "the server did not answer in time"),
        _ => (ErrorKind::Unavailable, "the server could not be reached or does not serve now"),
    }
}

/// Whether the connection is of no use any more. A reply that did not come in time counts: what answers later
/// could be taken for the reply to something else. So does a primary that became a replica: another server is
/// the primary by now.
pub(super) fn breaks_connection(cause: &RedisError) -> bool {
    let demoted = cause.kind() == ServerErrorKind::ReadOnly.into();
    demoted || cause.is_timeout() || cause.is_unrecoverable_error() || cause.is_connection_dropped()
}

/// Whether the server did not carry out the request, and may do so in a moment.
pub(super) fn is_passing(cause: &RedisError) -> bool {
    matches!(cause.code(), Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY"))
}

/// Whether the request surely met a dead connection, so that a new one is worth one try at once.
pub(super) fn met_dead_connection(cause: &RedisError) -> bool {
    cause.is_connection_dropped() && !cause.is_timeout()
}

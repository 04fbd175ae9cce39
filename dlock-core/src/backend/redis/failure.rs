//! What an error of the client library means. Pure.

use super::words::words;
use crate::error::{ErrorKind, LockError};
use redis::{RedisError, ServerErrorKind};
use std::error::Error as _;

/// The error of this crate for one of the client library. Its text never holds the URL. The words of the server or the
/// system are part of the text, so they are not a source as well.
pub(super) fn classify(cause: RedisError) -> LockError {
    let (kind, detail) = meaning(&cause);
    match words(&cause) {
        Some(words) => LockError::new(kind, format!("{detail} (the server says: {words})")),
        None => with_words_of_system(kind, detail, cause),
    }
}

fn with_words_of_system(kind: ErrorKind, detail: &'static str, cause: RedisError) -> LockError {
    match words_of_system(&cause) {
        Some(words) => LockError::new(kind, format!("{detail} (cause: {words})")),
        None => LockError::new(kind, detail).with_source(cause),
    }
}

/// The same for a connection that could not be made.
pub(super) fn classify_greeting(cause: RedisError) -> LockError {
    if !was_hung_up(&cause) {
        return classify(cause);
    }
    let detail = "the server ended the connection when it was greeted (HELLO 3); if it goes on, check that Redis listens \
                  there, with TLS if the URL asks for it (rediss) and else without, and no proxy that does not know HELLO";
    with_words_of_system(ErrorKind::Unavailable, detail, cause)
}

/// Whether there was a server, and it ended the connection.
fn was_hung_up(cause: &RedisError) -> bool {
    cause.is_connection_dropped() && !cause.is_connection_refusal()
}

/// What the system says about a connection that failed. A timeout is dlock's own, and has words already.
fn words_of_system(cause: &RedisError) -> Option<String> {
    let is_ours = !cause.is_io_error() || cause.is_timeout();
    (!is_ours).then(|| cause.source().map_or_else(|| cause.to_string(), ToString::to_string))
}

fn meaning(cause: &RedisError) -> (ErrorKind, &'static str) {
    match cause.code() {
        Some("NOAUTH" | "WRONGPASS") => {
            (ErrorKind::Auth, "the server refused the user or password; check the URL")
        }
        Some("NOPERM") => (
            ErrorKind::Auth,
            "the user lacks a right; it needs the locks' keys, the keys dlock:* and the channels dlock:i:* \
             (or all of the namespace that is set on the builder), and the commands of the scripts",
        ),
        Some("WRONGTYPE") => (
            ErrorKind::Corrupt,
            "a key of this lock is of another type; another program uses the name, choose another one",
        ),
        Some("DLOCKCORRUPT") => (
            ErrorKind::Corrupt,
            "no token can be made: the server's clock is past the year 2112, or, with a majority of servers, the fence of this \
             lock (dlock:r:…) holds no number; set the clock, or delete the fence once none of its tokens is in use",
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
        Some("NOPROTO") => (ErrorKind::Unsupported, NO_RESP3),
        Some("DENIED") => {
            (ErrorKind::Auth, "the server accepts no clients from this address; check its protected mode")
        }
        Some("OOM") => (ErrorKind::Unavailable, "the server is out of memory; raise maxmemory or free some"),
        _ => meaning_of_connecting(cause)
            .or_else(|| meaning_by_text(cause))
            .unwrap_or_else(|| meaning_by_kind(cause)),
    }
}

/// `Fair` and `Barging` hear hand-offs by its pushes.
const NO_RESP3: &str = "the server, or a proxy in front of it, refuses the protocol RESP3 (HELLO 3); connect to the \
     server itself, or use Recipe::Plain, which works over RESP2, too";

/// Why a handshake failed, of TLS or of the client library.
fn meaning_of_connecting(cause: &RedisError) -> Option<(ErrorKind, &'static str)> {
    let text = cause.to_string().to_ascii_lowercase();
    let says = |words: &str| text.contains(words);
    if cause.is_io_error() && says("invalid peer certificate") {
        let detail = "the server's certificate is not trusted; check root_certificates, and the name in the \
                      certificate (tls_server_name)";
        return Some((ErrorKind::Unavailable, detail));
    }
    if cause.is_io_error() && says("received fatal alert") && (says("certificate") || says("unknownca")) {
        let detail =
            "the server refuses this client's certificate, or asks for one; check client_certificate";
        return Some((ErrorKind::Auth, detail));
    }
    if says("refused to switch database") && says("permission") {
        return Some((ErrorKind::Auth, "the user lacks the right to choose a database; grant +select"));
    }
    says("refused to switch database").then_some((
        ErrorKind::InvalidOption,
        "the server has no such database; in a cluster there is only 0, except on Valkey 9 with cluster-databases",
    ))
}

/// What servers say that have no code of their own for it.
fn meaning_by_text(cause: &RedisError) -> Option<(ErrorKind, &'static str)> {
    let text = cause.to_string().to_ascii_lowercase();
    if has_too_many_clients(&text) {
        let detail =
            "the server has as many clients as it accepts; raise its maxclients, or close idle clients";
        return Some((ErrorKind::Unavailable, detail));
    }
    if is_unknown_hello(&text) {
        return Some((ErrorKind::Unsupported, NO_RESP3));
    }
    if text.contains("cluster support disabled") {
        let detail = "the server is not part of a cluster; write redis:// instead of redis+cluster://";
        return Some((ErrorKind::InvalidOption, detail));
    }
    if text.contains("acl failure") || text.contains("the user executing the script") {
        let detail = "the user lacks a right that the scripts need; grant those listed at RedisBackend";
        return Some((ErrorKind::Auth, detail));
    }
    is_unknown_command(&text).then(|| meaning_of_unknown_command(&text)).flatten()
}

/// Servers put the name between quotes of one kind or the other.
fn meaning_of_unknown_command(text: &str) -> Option<(ErrorKind, &'static str)> {
    let names =
        |command: &str| text.contains(&format!("'{command}'")) || text.contains(&format!("`{command}`"));
    let detail = if names("sentinel") {
        "the server is not a sentinel; name the sentinels, usually at port 26379, or use redis:// for one server"
    } else if names("cluster") {
        "the server has no command CLUSTER; use redis+cluster:// only for nodes of a cluster"
    } else if text.contains("script") {
        "the server has no scripts; for a sentinel use redis+sentinel://, else Recipe::Plain"
    } else {
        return None;
    };
    Some((ErrorKind::InvalidOption, detail))
}

fn is_unknown_command(text: &str) -> bool {
    text.contains("unknown command")
}

fn has_too_many_clients(text: &str) -> bool {
    text.contains("max number of clients")
}

/// Whether the server, or a proxy, has no such command: each says so in words of its own.
fn is_unknown_hello(text: &str) -> bool {
    let refuses = ["unknown", "unsupported", "not supported", "invalid", "not allowed", "not implemented"];
    text.contains("hello") && refuses.iter().any(|word| text.contains(word))
}

fn meaning_by_kind(cause: &RedisError) -> (ErrorKind, &'static str) {
    match cause.kind() {
        redis::ErrorKind::AuthenticationFailed => {
            (ErrorKind::Auth, "the server refused the user or password; check the URL")
        }
        redis::ErrorKind::InvalidClientConfig => {
            (ErrorKind::InvalidOption, "the URL is not of the form redis://[user:password@]host[:port][/db]")
        }
        redis::ErrorKind::RESP3NotSupported => (ErrorKind::Unsupported, NO_RESP3),
        redis::ErrorKind::UnexpectedReturnType | redis::ErrorKind::Parse => {
            (ErrorKind::Unsupported, "the answer is not one of Redis; check what listens there")
        }
        redis::ErrorKind::Server(ServerErrorKind::ResponseError) => (
            ErrorKind::Unsupported,
            "the server refused a command that dlock needs; Redis 6.2 and newer know them",
        ),
        _ if cause.is_timeout() => (ErrorKind::Unavailable, "the server did not answer in time"),
        _ if was_hung_up(cause) => {
            (ErrorKind::Unavailable, "the connection to the server broke; check the server and the network")
        }
        _ if cause.is_io_error() => (
            ErrorKind::Unavailable,
            "the server cannot be reached; check the address, the server and the network",
        ),
        _ => (ErrorKind::Unavailable, "the server cannot serve requests for now"),
    }
}

/// Whether the connection must be replaced. It must be after a reply that did not come in time: when that reply comes
/// later, it could be taken for the reply to something else. It must be replaced, too, when a primary became a replica:
/// another server is the primary by now. The same holds when a server demands a new login, which a new connection
/// makes.
pub(super) fn breaks_connection(cause: &RedisError) -> bool {
    let demoted = cause.kind() == ServerErrorKind::ReadOnly.into();
    let dead = cause.is_timeout() || cause.is_unrecoverable_error() || cause.is_connection_dropped();
    demoted || dead || is_logged_out(cause)
}

/// Whether to try RESP2 after this refusal of RESP3. If something else is wrong, the server says so again.
pub(super) fn may_be_no_resp3(cause: &RedisError) -> bool {
    let kind = cause.kind();
    kind == redis::ErrorKind::RESP3NotSupported
        || kind == ServerErrorKind::ResponseError.into() && !has_too_many_clients(&cause.to_string())
        || kind == ServerErrorKind::NoPerm.into()
        || cause.code() == Some("NOPROTO")
}

/// Whether the server did not carry out the request, and may do so in a moment.
pub(super) fn is_passing(cause: &RedisError) -> bool {
    matches!(cause.code(), Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY"))
}

/// Whether the request certainly met a dead connection, so that one try over a new one is worthwhile at once.
pub(super) fn met_dead_connection(cause: &RedisError) -> bool {
    cause.is_connection_dropped() && !cause.is_timeout() || is_logged_out(cause)
}

/// Whether the connection's login is over. Redis ends such connections itself, and some proxies only say so.
fn is_logged_out(cause: &RedisError) -> bool {
    cause.code() == Some("NOAUTH")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::script_error::of_line;
    use std::io;

    fn error(line: &str) -> RedisError {
        of_line(line).unwrap()
    }

    #[test]
    fn refusals_of_resp3_are_told_apart_and_name_the_recipe_that_needs_none() {
        for line in [
            "NOPROTO unsupported protocol version",
            "NOPROTO sorry, this protocol version is not supported.",
            "ERR unknown command 'HELLO', with args beginning with: '3' ",
            "ERR unknown command `hello`",
            "ERR unsupported command 'hello'",
            "ERR invalid command: HELLO",
        ] {
            let (refused, cause) = (classify(error(line)), error(line));
            assert_eq!(refused.kind(), ErrorKind::Unsupported, "{line}");
            assert!(refused.to_string().contains("Recipe::Plain"), "{refused}");
            assert!(may_be_no_resp3(&cause), "{line}");
        }
        let login = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time";
        assert_eq!(classify(error(login)).kind(), ErrorKind::Auth);
        assert!(!may_be_no_resp3(&error(login)) && !may_be_no_resp3(&error("LOADING soon")));
    }

    #[test]
    fn what_the_server_says_is_a_part_of_the_error() {
        for (line, kind) in [
            ("ERR max number of clients reached", ErrorKind::Unavailable),
            ("ERR max number of clients + cluster connections reached", ErrorKind::Unavailable),
            ("DENIED Redis is running in protected mode", ErrorKind::Auth),
            ("UPSTREAM failure of a proxy", ErrorKind::Unavailable),
            ("ERR no such thing", ErrorKind::Unsupported),
        ] {
            let error = classify(error(line));
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(line) && error.source().is_none(), "{error}");
        }
    }

    #[test]
    fn what_the_system_says_is_a_part_of_the_error() {
        let refused = classify(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        assert!(refused.to_string().contains("cannot be reached"), "{refused}");
        assert!(refused.to_string().contains("connection refused"), "{refused}");
        assert!(refused.source().is_none(), "it is said once");
        let broken = classify(io::Error::from(io::ErrorKind::BrokenPipe).into());
        assert!(broken.to_string().contains("the connection to the server broke"), "{broken}");
    }

    #[test]
    fn a_server_of_another_kind_is_called_by_its_kind() {
        for (line, remedy) in [
            (
                "ERR unknown command 'SENTINEL', with args beginning with: 'GET-MASTER-ADDR-BY-NAME' 'main' ",
                "not a sentinel",
            ),
            ("ERR unknown command `SENTINEL`, with args beginning with: `x`", "not a sentinel"),
            ("ERR unknown command 'CLUSTER', with args beginning with: 'SLOTS' ", "nodes of a cluster"),
            ("ERR unknown command 'SCRIPT', with args beginning with: 'LOAD' ", "redis+sentinel://"),
        ] {
            let refused = classify(error(line));
            assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{refused}");
            assert!(refused.to_string().contains(remedy), "{refused}");
            assert!(!refused.to_string().contains("6.2"), "{refused}");
        }
    }
}

//! A server's own words about a refusal, made safe to show. Pure.

use redis::{RedisError, make_extension_error};

/// So much of it is shown.
const LONGEST: usize = 200;

/// The server's own words, if the server refused: its code and its text. Nothing of the caller's may be in them: a
/// server that does not know a command repeats its arguments, and with them passwords.
pub(super) fn words(cause: &RedisError) -> Option<String> {
    let code = cause.code()?;
    let detail = cause.detail().unwrap_or_default();
    let said = detail.split_once(" with args beginning with").map_or(detail, |(said, _)| said);
    let said = without_place(said).trim_end().trim_end_matches(',');
    let said = if said.starts_with(code) { said.to_owned() } else { format!("{code} {said}") };
    let plain = said.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(plain.take(LONGEST).collect())
}

/// An error from inside of a script ends with its hash and its line.
fn without_place(said: &str) -> &str {
    match said.rsplit_once(" script: ") {
        Some((said, place)) if place.contains("@user_script") => said,
        _ => said,
    }
}

/// The same error without `secret`, which the server may have repeated.
pub(super) fn without_secret(cause: RedisError, secret: Option<&str>) -> RedisError {
    let (Some(secret), Some(code)) = (secret.filter(|it| !it.is_empty()), cause.code()) else { return cause };
    match cause.detail() {
        Some(detail) if detail.contains(secret) => {
            let detail = detail.replace(secret, "***");
            match cause.kind() {
                redis::ErrorKind::Extension => make_extension_error(code.to_owned(), Some(detail)),
                kind => (kind, "the server refused a command", detail).into(),
            }
        }
        _ => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::script_error::of_line;

    fn error(line: &str) -> RedisError {
        of_line(line).unwrap()
    }

    #[test]
    fn what_a_server_says_is_shown_with_its_code() {
        for line in [
            "ERR max number of clients reached",
            "NOPROTO unsupported protocol version",
            "DENIED protected mode",
        ] {
            assert_eq!(words(&error(line)).as_deref(), Some(line));
        }
        assert_eq!(words(&error("ERR")).as_deref(), Some("ERR"));
        let in_script = "WRONGTYPE the wrong kind of value script: 33d277a4, on @user_script:71.";
        assert_eq!(words(&error(in_script)).as_deref(), Some("WRONGTYPE the wrong kind of value"));
        let of_a_right = "ERR ACL failure in script: User me has no permissions";
        assert_eq!(words(&error(of_a_right)).as_deref(), Some(of_a_right));
        assert_eq!(words(&std::io::Error::other("no server").into()), None);
    }

    #[test]
    fn arguments_that_a_server_repeats_are_not_shown() {
        let line = "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'me' 'marker-secret' ";
        assert_eq!(words(&error(line)).as_deref(), Some("ERR unknown command 'HELLO'"));
        for line in ["ERR what is HELLO 3 AUTH me marker-secret", "NOPROTO marker-secret?"] {
            let hidden = without_secret(error(line), Some("marker-secret"));
            let shown = words(&hidden).unwrap();
            assert!(!shown.contains("marker") && shown.contains("***"), "{shown}");
            assert_eq!((hidden.kind(), hidden.code().is_some()), (error(line).kind(), true));
        }
        assert!(without_secret(error("ERR no"), Some("")).to_string().contains("no"));
    }

    #[test]
    fn no_more_is_shown_than_fits() {
        let shown = words(&error(&format!("ERR {}", "é".repeat(1_000)))).unwrap();
        assert_eq!(shown.chars().count(), LONGEST);
    }
}

//! Errors inside a script, in one form for all servers. Pure.
//!
//! Since Redis 7.0 such an error begins with its code and ends with its place: `READONLY You can't write against a read
//! only replica. script: HASH, on @user_script:LINE.` (Valkey leaves out the hash). Older servers have the code in the
//! middle of the text, in one of three forms behind `ERR Error running script (call to f_HASH): @user_script:LINE: `:
//!
//! - `WRONGTYPE Operation against …`, the answer to a command
//! - `@user_script: LINE: -READONLY You can't …`, a command that the server does not carry out
//! - `@user_script: LINE: The user executing the script …`, the same without a code

use redis::{RedisError, parse_redis_value};

/// The error with its code first and without its place in the script; any other error as it is.
pub(super) fn told_by_its_code(cause: RedisError) -> RedisError {
    let retold = match (cause.code(), cause.detail()) {
        (Some(code), Some(detail)) if !is_redirection(code) => retold(code, detail),
        _ => None,
    };
    retold.unwrap_or(cause)
}

fn retold(code: &str, detail: &str) -> Option<RedisError> {
    let old = if code == GENERAL { inside(detail) } else { None };
    let (code, text) = old.or_else(|| Some((code, without_place(detail)?)))?;
    server_error(code, text)
}

/// What a script was told of a command that it made by `pcall`, without the name of the script.
pub(super) fn told_to_a_script(text: &str) -> Option<RedisError> {
    let (code, text) = of_a_command(text)?;
    server_error(code, text)
}

/// The code and the text of an error inside a script.
fn inside(detail: &str) -> Option<(&str, &str)> {
    let (hash, rest) = detail.strip_prefix("Error running script (call to f_")?.split_once("): ")?;
    behind_place(rest, "@user_script:").filter(|_| is_hash(hash)).and_then(of_a_command)
}

/// The same of a text that begins with the error itself.
fn of_a_command(text: &str) -> Option<(&str, &str)> {
    let Some(refused) = behind_place(text, "@user_script: ") else {
        return Some(coded(text).unwrap_or((GENERAL, text)));
    };
    match refused.strip_prefix('-') {
        Some(line) => coded(line),
        None => Some((GENERAL, refused)),
    }
}

/// What follows `PLACE<number>: `.
fn behind_place<'text>(text: &'text str, place: &str) -> Option<&'text str> {
    let (line, rest) = text.strip_prefix(place)?.split_once(": ")?;
    is_number(line).then_some(rest)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hash(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A code and the text behind it. A script is sent nowhere else from within, so the codes of that are none here.
fn coded(line: &str) -> Option<(&str, &str)> {
    let (code, text) = line.split_once(' ')?;
    let is_code = code.len() > 1 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_code && !is_redirection(code)).then_some((code, text))
}

fn is_redirection(code: &str) -> bool {
    matches!(code, "MOVED" | "ASK")
}

/// A text without the place in a script that it ends with; `None` if it ends with none.
fn without_place(text: &str) -> Option<&str> {
    let (text, place) = text.rsplit_once(" script: ")?;
    let place = place.split_once(", ").filter(|(hash, _)| is_hash(hash)).map_or(place, |(_, place)| place);
    let line = place.strip_prefix("on @user_script:")?.strip_suffix('.')?;
    is_number(line).then_some(text)
}

/// What the client library makes of a server's line with this code and text.
fn server_error(code: &str, text: &str) -> Option<RedisError> {
    of_line(&format!("{code} {}", text.lines().next().unwrap_or_default()))
}

/// What the client library makes of a line that a server refuses something with.
pub(super) fn of_line(line: &str) -> Option<RedisError> {
    parse_redis_value(format!("-{line}\r\n").as_bytes()).ok()?.extract_error().err()
}

/// The code of errors without a code of their own.
const GENERAL: &str = "ERR";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::failure::{breaks_connection, classify, is_passing};
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    const BEFORE: &str =
        "Error running script (call to f_0e9e7e911d304f62ad9a28c839e27b4f79e70f95): @user_script:12: ";

    fn told(line: &str) -> RedisError {
        told_by_its_code(answered(line))
    }

    fn answered(line: &str) -> RedisError {
        of_line(line).unwrap()
    }

    fn wrapped(inner: &str) -> RedisError {
        told(&format!("ERR {BEFORE}{inner}"))
    }

    #[track_caller]
    fn assert_told(inner: &str, code: &str, text: &str) {
        let error = wrapped(inner);
        assert_eq!((error.code(), error.detail()), (Some(code), Some(text)));
        assert_eq!(error.to_string(), answered(&format!("{code} {text}")).to_string());
    }

    #[test]
    fn the_answer_to_a_command_has_its_code() {
        assert_told("WRONGTYPE wrong kind of value", "WRONGTYPE", "wrong kind of value");
        assert_told("ERR value is not an integer", "ERR", "value is not an integer");
    }

    #[test]
    fn a_command_that_is_not_carried_out_has_its_code() {
        assert_told("@user_script: 12: -READONLY You can't write", "READONLY", "You can't write");
        assert_told("@user_script: 1: -OOM command not allowed", "OOM", "command not allowed");
    }

    #[test]
    fn what_has_no_code_is_a_general_error() {
        let right = "The user executing the script can't run this command or subcommand";
        assert_told(&format!("@user_script: 12: {right}"), "ERR", right);
        assert_told("user_script:2: attempt to call nil", "ERR", "user_script:2: attempt to call nil");
        assert_told("Script killed by user", "ERR", "Script killed by user");
    }

    #[test]
    fn the_place_in_the_script_is_left_out() {
        let hash = "0e9e7e911d304f62ad9a28c839e27b4f79e70f95";
        for place in [format!("{hash}, on @user_script:71."), "on @user_script:71.".to_owned()] {
            for line in ["WRONGTYPE wrong kind of value", "ERR ACL failure in script: x", "OOM full"] {
                let error = told(&format!("{line} script: {place}"));
                assert_eq!(error.to_string(), answered(line).to_string(), "{place}");
                assert_eq!(error.code(), answered(line).code());
            }
        }
        for other in
            ["on @another:1.", "on @user_script:1", "on @user_script:.", "f00, on @user_script:1.", ""]
        {
            let line = format!("ERR x script: {other}");
            assert_eq!(told(&line).to_string(), answered(&line).to_string());
        }
        let moved = told("MOVED 1 10.0.0.5:7000 script: on @user_script:1.");
        assert_eq!(moved.code(), Some("MOVED"), "as the server says it");
    }

    #[test]
    fn what_a_script_was_told_is_the_same_error() {
        let told = |text| told_to_a_script(text).map(|error| error.code().map(str::to_owned));
        let code = |code: &str| Some(Some(code.to_owned()));
        assert_eq!(told("NOREPLICAS Not enough good replicas to write."), code("NOREPLICAS"));
        assert_eq!(told("@user_script: 14: -OOM command not allowed"), code("OOM"));
        assert_eq!(told("@user_script: 14: The user executing the script can't"), code("ERR"));
        assert_eq!(told("@user_script: 14: -MOVED 1 evil:1"), None);
    }

    #[test]
    fn errors_of_old_and_new_servers_are_classified_alike() {
        for line in [
            "READONLY You can't write against a read only replica.",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk.",
            "NOREPLICAS Not enough good replicas to write.",
            "NOPERM this user has no permissions to run the 'set' command",
            "DLOCKCORRUPT the fence holds no token",
        ] {
            let new = told(line);
            for old in [wrapped(line), wrapped(&format!("@user_script: 12: -{line}"))] {
                assert_eq!(is_passing(&old), is_passing(&new), "{line}");
                assert_eq!(breaks_connection(&old), breaks_connection(&new), "{line}");
                let (old, new) = (classify(old), classify(new.clone()));
                assert_eq!((old.kind(), old.to_string()), (new.kind(), new.to_string()));
                assert_ne!(old.kind(), ErrorKind::Unsupported, "{line}");
            }
        }
    }

    #[test]
    fn no_text_sends_a_request_elsewhere() {
        for inner in ["MOVED 1 evil:1", "ASK 1 evil:1", "@user_script: 1: -MOVED 1 evil:1"] {
            let error = wrapped(inner);
            assert_eq!((error.code(), error.redirect_node()), (Some("ERR"), None), "{inner}");
        }
    }

    #[test]
    fn a_text_that_only_looks_like_it_stays_what_it_is() {
        let hash = "0e9e7e911d304f62ad9a28c839e27b4f79e70f95";
        for line in [
            "ERR unknown command `READONLY`, with args beginning with: `-OOM x`".to_owned(),
            format!("ERR x {BEFORE}READONLY x"),
            format!("WRONGTYPE {BEFORE}READONLY x"),
            format!("ERR Error running script (call to f_{hash}0): @user_script:1: READONLY x"),
            format!("ERR Error running script (call to f_{}): @user_script:1: READONLY x", "g".repeat(40)),
            format!("ERR Error running script (call to f_{hash}): @user_script:: READONLY x"),
            format!("ERR Error running script (call to f_{hash}): @user_script:-1: READONLY x"),
            format!("ERR Error running script (call to f_{hash}): @another:1: READONLY x"),
            format!("ERR Error running script (call to f_{hash})"),
        ] {
            let error = told(&line);
            let (code, text) = line.split_once(' ').unwrap();
            assert_eq!((error.code(), error.detail()), (Some(code), Some(text)));
        }
    }

    #[test]
    fn one_layer_is_taken_off_and_no_more() {
        assert_told(&format!("ERR {BEFORE}READONLY x"), "ERR", &format!("{BEFORE}READONLY x"));
        assert_told("@user_script: 1: @user_script: 2: -OOM x", "ERR", "@user_script: 2: -OOM x");
    }

    #[test]
    fn a_second_line_is_no_answer_of_its_own() {
        let text = format!("ERR {BEFORE}READONLY one\r\n-NOAUTH two");
        let answer = parse_redis_value(format!("!{}\r\n{text}\r\n", text.len()).as_bytes()).unwrap();
        let error = told_by_its_code(answer.extract_error().unwrap_err());
        assert_eq!((error.code(), error.detail()), (Some("READONLY"), Some("one")));
    }

    proptest! {
        #[test]
        fn whatever_the_text_is_it_is_an_error_that_leads_nowhere(text in ".{0,80}", form in 0..3) {
            let place = ["", "@user_script: 3: ", "@user_script: 3: -"][usize::try_from(form).unwrap()];
            let line = format!("ERR {BEFORE}{place}{text}").replace(['\r', '\n'], " ");
            prop_assert!(told(&line).redirect_node().is_none());
        }
    }
}

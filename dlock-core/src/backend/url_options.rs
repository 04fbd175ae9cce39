//! The options in a URL's query: their names, and how their values are written. Pure.

use super::durations;
use crate::error::{ErrorKind, LockError};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::time::Duration;

/// What is wrong with a value, and how it is to be written, without the value itself: it may be a password.
pub(crate) type Wrong = Cow<'static, str>;

/// An option of a URL: its name, and what its value sets.
pub(crate) struct UrlOption<T> {
    name: &'static str,
    set: fn(&mut T, &str) -> Result<(), Wrong>,
}

impl<T> UrlOption<T> {
    pub(crate) const fn new(name: &'static str, set: fn(&mut T, &str) -> Result<(), Wrong>) -> Self {
        Self { name, set }
    }
}

/// The names of a table.
pub(crate) fn names<T>(table: &[UrlOption<T>]) -> Vec<&'static str> {
    table.iter().map(|option| option.name).collect()
}

/// The options that one URL gives, decoded.
#[derive(Default)]
pub(crate) struct GivenOptions(Vec<(String, String)>);

/// Takes a URL apart: what stands before the question mark, and the options after it.
///
/// # Errors
/// [`ErrorKind::InvalidOption`] if it has a fragment, or if what stands after the question mark are no options. What is
/// in the URL is never part of the error: behind a question mark that was not encoded it may be the end of a password.
pub(crate) fn split(url: &str) -> Result<(&str, GivenOptions), LockError> {
    if url.contains('#') {
        return Err(invalid("the URL has a # in it; write %23 in a password, and options as ?name=value"));
    }
    let Some((before, query)) = url.split_once('?') else { return Ok((url, GivenOptions::default())) };
    if query.contains('@') {
        return Err(invalid("the URL has an @ behind a question mark; write %3F and %40 in a password"));
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(pair);
    Ok((before, GivenOptions(pairs.collect::<Result<_, _>>()?)))
}

fn pair(text: &str) -> Result<(String, String), LockError> {
    let decoded = |text| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    let (name, value) = text.split_once('=').ok_or_else(nameless)?;
    match (is_name(name), decoded(value)) {
        (true, Ok(value)) => Ok((name.to_owned(), value)),
        _ => Err(nameless()),
    }
}

/// Makes sure that only a name is shown of a URL.
fn is_name(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn nameless() -> LockError {
    invalid(
        "an option of the URL is not of the form name=value; write & between options, and %25 for a percent sign",
    )
}

impl GivenOptions {
    /// Sets the options that `table` names, and gives back the others.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if a value is wrong, or an option is there twice.
    pub(crate) fn apply<T>(self, table: &[UrlOption<T>], target: &mut T) -> Result<Self, LockError> {
        self.refuse_twins()?;
        let mut others = Vec::new();
        for (name, value) in self.0 {
            match table.iter().find(|option| option.name == name) {
                Some(option) => (option.set)(target, &value).map_err(|wrong| wrong_value(&name, &wrong))?,
                None => others.push((name, value)),
            }
        }
        Ok(Self(others))
    }

    fn refuse_twins(&self) -> Result<(), LockError> {
        let mut names: Vec<_> = self.0.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        match names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first()).flatten())
        {
            Some(twin) => Err(invalid(format!("the URL has the option {twin} twice"))),
            None => Ok(()),
        }
    }

    /// Refuses what is left when all tables were applied. `known` are the names in them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if something is left.
    pub(crate) fn refuse_others(&self, known: &[&str]) -> Result<(), LockError> {
        let Some((name, _)) = self.0.first() else { return Ok(()) };
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(invalid(format!("the URL has an unknown option {name}; known here: {known}")))
    }
}

fn wrong_value(name: &str, wrong: &str) -> LockError {
    invalid(format!("the URL's option {name}: {wrong}"))
}

fn invalid(detail: impl Into<Cow<'static, str>>) -> LockError {
    LockError::new(ErrorKind::InvalidOption, detail)
}

/// `30s`.
pub(crate) fn duration(value: &str) -> Result<Duration, Wrong> {
    durations::parse(value).ok_or_else(|| "write a number and a unit, such as 500ms, 30s, 5m or 1h".into())
}

/// `3`.
pub(crate) fn number<T: std::str::FromStr>(value: &str) -> Result<T, Wrong> {
    value.parse().map_err(|_| "write a whole number, such as 3".into())
}

/// `true` or `false`.
#[cfg(any(feature = "redis", feature = "zookeeper"))]
pub(crate) fn flag(value: &str) -> Result<bool, Wrong> {
    value.parse().map_err(|_| "write true or false".into())
}

/// What a file holds.
#[cfg(any(feature = "redis-tls", feature = "zookeeper-tls"))]
pub(crate) fn file(value: &str) -> Result<Vec<u8>, Wrong> {
    std::fs::read(value).map_err(|cause| format!("the file cannot be read: {}", cause.kind()).into())
}

/// What two files hold: a certificate, and its key.
#[cfg(any(feature = "redis-tls", feature = "zookeeper-tls"))]
pub(crate) fn two_files(value: &str) -> Result<(Vec<u8>, Vec<u8>), Wrong> {
    let (one, other) =
        value.split_once(',').ok_or("write two files in PEM, such as client.crt,client.key")?;
    Ok((file(one)?, file(other)?))
}

/// One of several words.
#[cfg(any(feature = "redis", feature = "zookeeper"))]
pub(crate) fn choice<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
    let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    chosen.map(|(_, choice)| *choice).ok_or_else(|| format!("write one of {}", words()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default, Debug, PartialEq)]
    struct Target {
        ttl: Duration,
        name: String,
    }

    const TABLE: &[UrlOption<Target>] = &[
        UrlOption::new("ttl", |target, value| {
            target.ttl = duration(value)?;
            Ok(())
        }),
        UrlOption::new("name", |target, value| {
            value.clone_into(&mut target.name);
            Ok(())
        }),
    ];

    fn read(url: &str) -> Result<(&str, Target), LockError> {
        let mut target = Target::default();
        let (before, options) = split(url)?;
        options.apply(TABLE, &mut target)?.refuse_others(&names(TABLE))?;
        Ok((before, target))
    }

    #[test]
    fn values_are_decoded_and_set() {
        let expected = Target { ttl: Duration::from_secs(30), name: "a+b ?&\u{fc}".to_owned() };
        assert_eq!(read("x://h/?ttl=30s&name=a+b%20%3F%26%C3%BC").unwrap(), ("x://h/", expected));
        assert_eq!(read("x://h").unwrap(), ("x://h", Target::default()));
        assert_eq!(read("x://h?").unwrap(), ("x://h", Target::default()));
        assert_eq!(read("x://h?&").unwrap(), ("x://h", Target::default()));
    }

    #[test]
    fn an_unknown_option_is_named_with_those_that_there_are() {
        let refused = read("x://h/?tll=30s&name=marker").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidOption);
        let text = refused.to_string();
        assert!(text.contains("tll") && text.contains("ttl, name") && !text.contains("marker"), "{text}");
    }

    #[test]
    fn a_wrong_value_is_told_by_its_name_and_the_right_form_and_never_shown() {
        let text = read("x://h/?ttl=marker").unwrap_err().to_string();
        assert!(text.contains("ttl") && text.contains("30s") && !text.contains("marker"), "{text}");
    }

    #[test]
    fn what_may_be_part_of_a_password_is_never_shown() {
        for url in [
            "x://me:pa?marker@h/",
            "x://me:pa?marker=marker@h/",
            "x://me:pa#marker@h/",
            "x://h/?marker",
            "x://h/?marker!=1",
            "x://h/?name=%FFmarker",
            "x://h/?name=marker&name=marker",
            "x://h/?ttl=30s#marker",
        ] {
            let refused = read(url).expect_err(url);
            assert_eq!(refused.kind(), ErrorKind::InvalidOption, "{url}");
            assert!(!format!("{refused} {refused:?}").contains("marker"), "{refused}");
        }
    }

    #[test]
    fn choices_are_read_in_any_case_and_listed() {
        let choices = [("fair", 1), ("plain", 2)];
        assert_eq!(choice("Plain", &choices), Ok(2));
        assert!(choice("marker", &choices).is_err_and(|wrong| wrong == "write one of fair, plain"));
        assert_eq!((flag("true"), flag("false")), (Ok(true), Ok(false)));
        assert!(flag("yes").is_err() && number::<usize>("-1").is_err());
    }

    proptest! {
        #[test]
        fn no_url_is_too_odd(url in ".{0,60}", query in "[a-z%&=?@]{0,20}") {
            let _ = read(&url);
            let _ = read(&format!("x://h/?{query}"));
        }
    }
}

//! The path of a URI, as text that is the same for every spelling of one resource.

use crate::key_error::KeyError;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The path of the request in its normal form.
pub(crate) fn resource_path(parts: &Parts) -> Result<Cow<'_, str>, KeyError> {
    match whole_path(parts) {
        Cow::Borrowed(path) => normal_form(path),
        Cow::Owned(path) => Ok(normal_form(&path)?.into_owned().into()),
    }
}

/// The path with the prefix that `nest` has cut off the request's own URI.
///
/// axum keeps the URI as it came, and the pattern that the router is nested at; that many segments were cut off. What
/// the request has left is what the handler is chosen by, even if a layer in between has written another URI.
#[cfg(feature = "axum")]
fn whole_path(parts: &Parts) -> Cow<'_, str> {
    use ::axum::extract::{NestedPath, OriginalUri};
    let path = parts.uri.path();
    let nested = parts.extensions.get::<OriginalUri>().zip(parts.extensions.get::<NestedPath>());
    let Some((original, pattern)) = nested else { return path.into() };
    let segments = pattern.as_str().trim_end_matches('/').matches('/').count();
    let (prefix, rest) = split_behind(original.path(), segments);
    if rest == path || rest.is_empty() && path == "/" {
        return original.path().into();
    }
    format!("{prefix}{path}").into()
}

#[cfg(not(feature = "axum"))]
fn whole_path(parts: &Parts) -> Cow<'_, str> {
    parts.uri.path().into()
}

/// The first segments of `path`, and the rest.
#[cfg(feature = "axum")]
fn split_behind(path: &str, segments: usize) -> (&str, &str) {
    let end = path.match_indices('/').nth(segments).map_or(path.len(), |(at, _)| at);
    path.split_at_checked(end).unwrap_or((path, ""))
}

/// `path` with escapes decoded and without empty segments, so that all spellings of one resource are one text.
///
/// A `/` or `%` that was decoded is written as an escape again. So the text shows where segments end, and the segments
/// can be read back from it. Most paths are in this form as they come.
///
/// # Errors
/// The client's fault, if a decoded segment is not UTF-8, or is `.` or `..`. Programs resolve those differently.
fn normal_form(path: &str) -> Result<Cow<'_, str>, KeyError> {
    // The URI `*` has no segments, and neither has that of a CONNECT.
    let Some(segments) = path.strip_prefix('/') else { return Ok(path.into()) };
    if segments.is_empty() || segments.split('/').all(is_normal) {
        return Ok(path.into());
    }
    let mut normal = String::with_capacity(path.len());
    for segment in segments.split('/').filter(|segment| !segment.is_empty()) {
        normal.push('/');
        push_escaped(&mut normal, &decode(segment)?);
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal.into())
}

fn is_normal(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains('%') && !is_dots(segment)
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// A `%` without two hexadecimal digits behind it stands for itself, as it does for axum.
fn decode(segment: &str) -> Result<Cow<'_, str>, KeyError> {
    let text = percent_decode_str(segment).decode_utf8();
    let text = text.map_err(|_| KeyError::client("URI path is not valid UTF-8 when it is decoded"))?;
    if is_dots(&text) {
        return Err(KeyError::client(format!("URI path has a segment `{text}`")));
    }
    Ok(text)
}

fn push_escaped(normal: &mut String, segment: &str) {
    for character in segment.chars() {
        match character {
            '%' => normal.push_str("%25"),
            '/' => normal.push_str("%2F"),
            other => normal.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::FromUtf8Error;

    fn assert_form(normal: &str, spellings: &[&str]) {
        for spelling in spellings {
            assert_eq!(normal_form(spelling).unwrap(), normal, "{spelling}");
        }
    }

    #[test]
    fn escapes_are_decoded_but_not_those_of_separators_and_percent_signs() {
        assert_form("/orders/42", &["/orders/42", "/orders/%34%32", "/%6Frders/4%32"]);
        assert_form("/a%2Fb", &["/a%2Fb", "/a%2fb", "/%61%2Fb"]);
        assert_form("/%2534", &["/%2534", "/%25%334"]);
        assert_form("/%25252F", &["/%25252F", "/%25%3252F"]);
        assert_form("/\u{fc}", &["/\u{fc}", "/%C3%BC", "/%c3%bc"]);
        assert_form("/a b+:;=~", &["/a%20b+:;=~", "/a%20b%2B%3A%3b%3D%7e"]);
        assert_form("/\0\\?#", &["/%00\\%3F%23", "/%00%5C%3f%23"]);
    }

    #[test]
    fn a_percent_sign_without_two_digits_stands_for_itself() {
        assert_form("/%25", &["/%", "/%25"]);
        assert_form("/%25g1", &["/%g1", "/%25g1", "/%25%67%31"]);
        assert_form("/%254", &["/%4", "/%254"]);
    }

    #[test]
    fn empty_segments_do_not_count() {
        assert_form("/", &["/", "//", "///"]);
        assert_form("/a/b", &["/a/b", "/a/b/", "/a/b//", "//a/b", "/a//b"]);
        assert_form("/a%2F/b", &["/a%2F/b", "/a%2f//b/"]);
    }

    #[test]
    fn what_has_no_segments_stays_as_it_is() {
        assert_form("*", &["*"]);
        assert_form("", &[""]);
    }

    #[test]
    fn a_path_without_one_meaning_is_refused() {
        for path in ["/.", "/..", "/a/./b", "/a/../b", "/a/%2e", "/%2E%2e/a", "/.%2E", "/a/..//"] {
            let error = normal_form(path).unwrap_err();
            assert!(error.is_client_fault() && error.to_string().contains("segment `."), "{path}: {error}");
        }
        for path in ["/%FF", "/a/%C3", "/%C3/%BC", "/%C0%AF", "/%ED%A0%80", "/\u{fc}%BC"] {
            let error = normal_form(path).unwrap_err();
            assert!(error.is_client_fault() && error.to_string().contains("UTF-8"), "{path}: {error}");
        }
        assert_form("/.a/b./...", &["/.a/b./...", "/%2Ea/b%2e/.%2E."]);
    }

    #[test]
    fn a_path_in_its_normal_form_is_not_copied() {
        for path in ["/", "*", "/orders/42", "/a+b/.c/\u{fc}"] {
            assert!(matches!(normal_form(path), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    /// The segments that a path names, decoded by hand.
    fn resource(path: &str) -> Result<Vec<String>, FromUtf8Error> {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        segments.map(|segment| String::from_utf8(decoded(segment.as_bytes()))).collect()
    }

    fn decoded(mut rest: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let [first, behind @ ..] = rest {
            let escaped = match rest {
                [b'%', high, low, ..] => char::from(*high).to_digit(16).zip(char::from(*low).to_digit(16)),
                _ => None,
            };
            match escaped {
                Some((high, low)) => {
                    bytes.push(u8::try_from(16 * high + low).unwrap());
                    rest = &behind[2..];
                }
                None => {
                    bytes.push(*first);
                    rest = behind;
                }
            }
        }
        bytes
    }

    /// Texts that meet often, as one resource and as several.
    fn path() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            "/", "/", "//", "a", "a", "%61", "%", "%25", "%2525", "2", "5", "F", "f", "%2F", "%2f", "%252F",
            ".", "%2E", "\u{fc}", "%C3%BC", "%c3%bc", "%C3", "%BC", ":", "%3A", "+", "%20",
        ];
        proptest::collection::vec(proptest::sample::select(PIECES), 0..5)
            .prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    /// `path` with some characters written as escapes.
    fn respelled(path: &str, escape: &[bool]) -> String {
        let mut text = String::new();
        for (character, escape) in path.chars().zip(escape.iter().cycle()) {
            if *escape && character != '/' {
                character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| text += &format!("%{byte:02x}"));
            } else if character == '%' {
                text += "%25";
            } else {
                text.push(character);
            }
        }
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn two_paths_are_one_text_exactly_if_they_are_one_resource(one in path(), other in path()) {
            if let (Ok(one_form), Ok(other_form)) = (normal_form(&one), normal_form(&other)) {
                prop_assert_eq!(one_form == other_form, resource(&one).unwrap() == resource(&other).unwrap());
            }
        }

        #[test]
        fn every_path_of_text_without_dot_segments_has_a_form(path in path()) {
            let has_meaning = resource(&path).is_ok_and(|segments| !segments.iter().any(|segment| is_dots(segment)));
            prop_assert_eq!(normal_form(&path).is_ok(), has_meaning);
        }

        #[test]
        fn a_form_is_its_own_form(path in path()) {
            if let Ok(form) = normal_form(&path) {
                prop_assert_eq!(&*normal_form(&form).unwrap(), &*form);
            }
        }

        #[test]
        fn a_text_has_one_form_in_every_spelling(
            text in "(/[^/]{1,5}){1,3}",
            escape in proptest::collection::vec(any::<bool>(), 1..8),
        ) {
            let (plain, spelled) = (respelled(&text, &[false]), respelled(&text, &escape));
            prop_assert_eq!(normal_form(&plain).ok(), normal_form(&spelled).ok());
        }
    }
}

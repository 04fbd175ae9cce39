//! Keys made of text and values.

use crate::error::{ErrorKind, LockError};
use crate::key::LockKey;
use std::fmt::{self, Write as _};

/// A key made of literal text and escaped values, so that no value can pass for a separator.
///
/// The annotation and the layer make their keys with this, so that both lock the same thing for the same
/// values.
///
/// ```
/// use dlock_core::KeyTemplate;
///
/// let key = KeyTemplate::new().literal("order:").value("acme:1").literal(":").value(&42).finish()?;
/// assert_eq!(key.as_bytes(), b"order:acme%3A1:42");
/// # Ok::<(), dlock_core::LockError>(())
/// ```
#[derive(Debug)]
#[must_use = "a template does nothing until `finish` is called"]
pub struct KeyTemplate {
    text: String,
    empty_value: bool,
}

/// An empty key.
impl Default for KeyTemplate {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyTemplate {
    /// An empty key.
    pub fn new() -> Self {
        /// A word and a UUID.
        const USUAL: usize = 64;
        Self { text: String::with_capacity(USUAL), empty_value: false }
    }

    /// Adds text as it is.
    pub fn literal(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds a value, with `%`, `:`, `/`, `{`, `}`, spaces and control characters escaped as `%XX`.
    pub fn value(mut self, value: &(impl fmt::Display + ?Sized)) -> Self {
        let before = self.text.len();
        // Writing to a string fails only if the value's own `Display` does; then the key is refused as empty.
        let failed = write!(Escaping(&mut self.text), "{value}").is_err();
        self.empty_value |= failed || self.text.len() == before;
        self
    }

    /// As [`value`](Self::value), for the annotation, whose messages name the placeholder.
    #[doc(hidden)]
    pub fn placeholder<Placeholder, T: KeyValue<Placeholder> + ?Sized>(self, value: &T) -> Self {
        value.add_to(self)
    }

    /// The key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if a value was empty, or the key is too long.
    pub fn finish(self) -> Result<LockKey, LockError> {
        if self.empty_value {
            let detail =
                format!("a value in the key \"{}\" is empty; it would lock another thing", self.text);
            return Err(LockError::new(ErrorKind::InvalidKey, detail));
        }
        LockKey::new(self.text)
    }
}

/// The value of a placeholder. `Placeholder` has its name.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the placeholder `{Placeholder}` of the lock key is of type `{Self}`, which has no `Display`",
    label = "a placeholder is written into the key with `Display`",
    note = "name a field or a method that has `Display`, such as `{{order.id}}`, or make the key with `key = …`"
)]
pub trait KeyValue<Placeholder> {
    /// `template` with the value.
    fn add_to(&self, template: KeyTemplate) -> KeyTemplate;
}

#[diagnostic::do_not_recommend]
impl<T: fmt::Display + ?Sized, Placeholder> KeyValue<Placeholder> for T {
    fn add_to(&self, template: KeyTemplate) -> KeyTemplate {
        template.value(self)
    }
}

/// Escapes what is written to it.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.write_char(character)?;
        }
        Ok(())
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        let reserved = matches!(character, '%' | ':' | '/' | '{' | '}');
        if !reserved && !character.is_whitespace() && !character.is_control() {
            self.0.push(character);
            return Ok(());
        }
        character.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| write!(self.0, "%{byte:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(parts: [&str; 2]) -> Result<LockKey, LockError> {
        KeyTemplate::new().literal("order:").value(parts[0]).literal(":").value(parts[1]).finish()
    }

    #[test]
    fn values_are_escaped_and_literals_are_not() {
        assert_eq!(key(["a:b", "c"]).unwrap().as_bytes(), b"order:a%3Ab:c");
        assert_eq!(key(["a", "b:c"]).unwrap().as_bytes(), b"order:a:b%3Ac");
        assert_eq!(key(["\u{a0}", "%{}/ \n"]).unwrap().as_bytes(), b"order:%C2%A0:%25%7B%7D%2F%20%0A");
    }

    #[test]
    fn an_empty_value_is_refused() {
        assert_eq!(key(["", "b"]).unwrap_err().kind(), ErrorKind::InvalidKey);
    }

    const SEPARATORS: [char; 2] = [':', '/'];

    /// Reads the values back out of a key. `literals` stand before, between and behind them.
    fn decode(literals: &[String], key: &str) -> Vec<String> {
        let separators = |text: &String| text.matches(SEPARATORS).count();
        let segments: Vec<&str> = key.split(SEPARATORS).collect();
        let mut at = 0;
        literals
            .windows(2)
            .map(|around| {
                at += separators(&around[0]);
                let before = around[0].rsplit(SEPARATORS).next().unwrap();
                let behind = around[1].split(SEPARATORS).next().unwrap();
                let value = segments[at].strip_prefix(before).unwrap().strip_suffix(behind).unwrap();
                unescape(value)
            })
            .collect()
    }

    fn unescape(value: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = value.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        /// One value more than separators: what an annotation accepts, with any text around each separator.
        #[test]
        fn the_values_can_be_read_back_out_of_a_key(
            first in "[a-z%{}-]{0,3}",
            between in proptest::collection::vec("[a-z%{}-]{0,3}[:/][a-z%{}:/-]{0,3}", 0..4),
            last in "[a-z%{}:/-]{0,3}",
            values in proptest::collection::vec("[ab%:/{} \\n\u{fc}-]{1,6}|.{1,6}", 5),
        ) {
            let literals: Vec<String> = [vec![first], between, vec![last]].concat();
            let values = &values[..literals.len() - 1];
            let start = KeyTemplate::new().literal(&literals[0]);
            let key = values.iter().zip(&literals[1..]).fold(start, |key, (value, text)| key.value(value).literal(text));
            let key = key.finish().unwrap();
            prop_assert_eq!(decode(&literals, std::str::from_utf8(key.as_bytes()).unwrap()), values);
        }

        #[test]
        fn different_values_never_give_one_key(a in ".{1,9}", b in ".{1,9}", c in ".{1,9}", d in ".{1,9}") {
            prop_assert_eq!(key([&a, &b]).unwrap() == key([&c, &d]).unwrap(), a == c && b == d);
        }
    }
}

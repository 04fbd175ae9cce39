//! `"order:{order.id}"`: the key's text, its placeholders, and the rules for both.

use crate::errors::Errors;
use crate::function::Function;
use crate::place::at;
use crate::similar::nearest;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use std::iter::Peekable;
use std::str::Chars;
use syn::{Expr, LitStr};

/// A key whose placeholders name parameters of the function.
pub(crate) struct Template(Vec<Part<Filled>>);

/// Text of the key, or a value to be filled in.
#[derive(Debug, PartialEq, Eq)]
enum Part<Value> {
    Text(String),
    Value(Value),
}

/// The value of a placeholder.
pub(crate) struct Filled {
    /// The type that has the placeholder's name: the compiler can show a type in its messages, and no text.
    name: Ident,
    value: TokenStream,
    place: Span,
}

impl Template {
    /// Without a function, placeholders name what is in scope where the key stands.
    pub(crate) fn parse(key: &LitStr, function: Option<&Function>) -> syn::Result<Self> {
        let parts = split(&key.value()).and_then(|parts| check(&parts).map(|()| parts));
        let parts = parts.map_err(|message| syn::Error::new(key.span(), message))?;
        let mut errors = Errors::default();
        let parts =
            parts.into_iter().filter_map(|part| errors.keep(part.resolve(key.span(), function))).collect();
        errors.into_result().map(|()| Self(parts))
    }

    /// An expression of type `Result<LockKey, LockError>`.
    pub(crate) fn to_expression(&self, krate: &TokenStream) -> TokenStream {
        let parts = self.0.iter().map(Part::to_call);
        let mut names: Vec<_> = self.0.iter().filter_map(Part::name).collect();
        names.sort_unstable();
        names.dedup();
        quote!({
            #(#[allow(dead_code, non_camel_case_types, uncommon_codepoints)] enum #names {})*
            #krate::__private::KeyTemplate::new() #(#parts)* .finish()
        })
    }
}

impl Part<String> {
    fn resolve(self, key: Span, function: Option<&Function>) -> syn::Result<Part<Filled>> {
        match self {
            Part::Text(text) => Ok(Part::Text(text)),
            Part::Value(inner) => resolve(&inner, key, function)
                .map(Part::Value)
                .map_err(|message| syn::Error::new(key, message)),
        }
    }
}

impl Part<Filled> {
    /// The call that adds it to the key.
    fn to_call(&self) -> TokenStream {
        match self {
            Self::Text(text) => quote!(.literal(#text)),
            Self::Value(Filled { name, value, place }) => {
                quote_spanned!(*place=> .placeholder::<#name, _>(&#value))
            }
        }
    }

    fn name(&self) -> Option<&Ident> {
        match self {
            Self::Text(_) => None,
            Self::Value(filled) => Some(&filled.name),
        }
    }
}

/// Cuts a key into its parts; a value is what stands between its braces.
fn split(key: &str) -> Result<Vec<Part<String>>, String> {
    let mut parts = Vec::new();
    let mut rest = key.chars().peekable();
    while let Some(character) = rest.next() {
        let doubled = matches!(character, '{' | '}') && rest.next_if_eq(&character).is_some();
        match character {
            '{' if !doubled => parts.push(Part::Value(placeholder(&mut rest)?)),
            '}' if !doubled => {
                return Err("unmatched `}` in the lock key; write `}}` for a literal brace".to_owned());
            }
            character => push(&mut parts, character),
        }
    }
    Ok(parts)
}

fn push(parts: &mut Vec<Part<String>>, character: char) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push(character),
        _ => parts.push(Part::Text(character.into())),
    }
}

fn placeholder(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut inner = String::new();
    for character in rest {
        match character {
            '}' if inner.trim().is_empty() => {
                return Err("empty placeholder `{}` in the lock key; name a parameter, such as `{order_id}`"
                    .to_owned());
            }
            '}' => return Ok(inner),
            '{' => break,
            character => inner.push(character),
        }
    }
    Err("unclosed `{` in the lock key; write `{{` for a literal brace".to_owned())
}

/// The rules that need no function: characters, length, and separators.
fn check(parts: &[Part<String>]) -> Result<(), String> {
    check_text(parts)?;
    let mut not_separated_from: Option<&String> = None;
    for part in parts {
        match (part, not_separated_from) {
            (Part::Text(text), _) if text.contains([':', '/']) => not_separated_from = None,
            (Part::Text(_), _) => {}
            (Part::Value(value), Some(previous)) => return Err(not_separated(previous, value)),
            (Part::Value(value), None) => not_separated_from = Some(value),
        }
    }
    Ok(())
}

fn check_text(parts: &[Part<String>]) -> Result<(), String> {
    let length: usize = parts.iter().map(Part::least_len).sum();
    match parts
        .iter()
        .filter_map(Part::text)
        .flat_map(str::chars)
        .find(|c| c.is_whitespace() || c.is_control())
    {
        _ if parts.is_empty() => Err("the lock key is empty".to_owned()),
        _ if length > MAX_LEN => Err(format!("the lock key is longer than {MAX_LEN} bytes")),
        Some(' ') => Err("the lock key contains a space; use letters, digits and `:._-/`".to_owned()),
        Some(other) => Err(format!("the lock key contains {other:?}; use letters, digits and `:._-/`")),
        None => Ok(()),
    }
}

impl Part<String> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Value(_) => None,
        }
    }

    /// The fewest bytes it adds to a key; an empty value is refused when the key is made.
    fn least_len(&self) -> usize {
        self.text().map_or(1, str::len)
    }
}

fn not_separated(one: &str, other: &str) -> String {
    format!(
        "put `:` or `/` between `{{{one}}}` and `{{{other}}}`; any other character may occur in the values, so \
         two different pairs could give one key"
    )
}

fn resolve(inner: &str, key: Span, function: Option<&Function>) -> Result<Filled, String> {
    let value: Expr = syn::parse_str(inner).map_err(|_| not_a_value(inner))?;
    let root = root(&value).ok_or_else(|| not_a_value(inner))?;
    let root = match function {
        None => with_span(root, key),
        Some(function) => {
            let parameter = function.parameter(root).ok_or_else(|| not_a_parameter(root, function))?;
            // What the name means in the signature, where the key stands.
            with_span(&parameter.name, parameter.name.span().located_at(key))
        }
    };
    let value = place(value.to_token_stream(), root, key);
    Ok(Filled { name: type_name(inner), value, place: at(key) })
}

/// `order·id` for `order.id`: a name cannot have a full stop in it.
fn type_name(inner: &str) -> Ident {
    let names = inner.split(|character: char| !character.is_alphanumeric() && character != '_');
    let name = names.filter(|name| !matches!(*name, "" | "r")).collect::<Vec<_>>().join("\u{b7}");
    // `self` cannot be the name of a type, nor can `gen` in every edition.
    let parsed = syn::parse_str(&name).ok().filter(|_| name != "gen");
    parsed.unwrap_or_else(|| Ident::new(&format!("{name}\u{b7}"), Span::mixed_site()))
}

fn with_span(name: &Ident, span: Span) -> Ident {
    let mut name = name.clone();
    name.set_span(span);
    name
}

/// The parameter at the beginning of `a`, `a.b`, `a.0` and `a.b()`; nothing else may stand in a placeholder.
fn root(value: &Expr) -> Option<&Ident> {
    match value {
        Expr::Path(path) if path.qself.is_none() => path.path.get_ident(),
        Expr::Field(field) => root(&field.base),
        Expr::MethodCall(call) if call.args.is_empty() && call.turbofish.is_none() => root(&call.receiver),
        _ => None,
    }
}

fn not_a_value(inner: &str) -> String {
    if inner.contains(':') && !inner.contains("::") {
        return format!(
            "format options such as `{{{inner}}}` are not supported in lock keys; a placeholder is written with \
             `Display`"
        );
    }
    format!(
        "`{{{inner}}}` is not a parameter, or a field or method of one, such as `{{order.id}}` or `{{order.id()}}`"
    )
}

fn not_a_parameter(name: &Ident, function: &Function) -> String {
    let names = || function.parameters.iter().map(|parameter| parameter.name.to_string());
    let hint = match nearest(&name.to_string(), names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if function.parameters.is_empty() => "it has none".to_owned(),
        None => format!("it has `{}`", names().collect::<Vec<_>>().join("`, `")),
    };
    format!("`{name}` is not a parameter of `{}`; {hint}", function.name())
}

/// Gives the tokens of a placeholder the place of the key's literal, because a string cannot be pointed into.
///
/// They do not get the literal's own span: the compiler would offer to replace the whole key.
fn place(value: TokenStream, root: Ident, key: Span) -> TokenStream {
    let rest = value.into_iter().skip(1).map(|token| place_token(token, at(key)));
    std::iter::once(root.into()).chain(rest).collect()
}

fn place_token(mut token: TokenTree, span: Span) -> TokenTree {
    match &token {
        TokenTree::Group(group) => token = Group::new(group.delimiter(), group.stream()).into(),
        // Generated code is of this crate's edition, where that is no name; in the caller's it may be one.
        TokenTree::Ident(name) if name == "gen" => token = Ident::new_raw("gen", span).into(),
        _ => {}
    }
    token.set_span(span);
    token
}

/// `dlock_core::LockKey::MAX_LEN`.
const MAX_LEN: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part<String> {
        Part::Text(text.to_owned())
    }

    fn value(value: &str) -> Part<String> {
        Part::Value(value.to_owned())
    }

    #[test]
    fn a_key_is_cut_at_single_braces() {
        assert_eq!(split("order").unwrap(), [text("order")]);
        assert_eq!(
            split("a:{b}/{c.d}e").unwrap(),
            [text("a:"), value("b"), text("/"), value("c.d"), text("e")]
        );
        assert_eq!(split("{{a}}:{b}}}").unwrap(), [text("{a}:"), value("b"), text("}")]);
        for wrong in ["{", "}", "a{b", "a}b", "{a{b}}", "{}", "{ }", "{{{}}}"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_separated_by_what_no_value_holds() {
        for right in ["{a}", "x{a}y", "{a}:{b}", "{a}-/-{b}", "{a}:{b}/{c}"] {
            assert!(check(&split(right).unwrap()).is_ok(), "{right}");
        }
        for wrong in ["{a}{b}", "{a}-{b}", ":{a}{b}:", "{a}:{b}{c}", "{a}{{{b}", "{a}%3A{b}"] {
            assert!(check(&split(wrong).unwrap()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_has_a_length_and_no_white_space() {
        let longest = "k".repeat(MAX_LEN - 1);
        assert!(check(&split(&format!("{longest}{{a}}")).unwrap()).is_ok());
        for wrong in
            ["", "a b", "a\tb", "a\u{a0}b", "a\0b", &format!("{longest}kk"), &format!("{longest}k{{a}}")]
        {
            assert!(check(&split(wrong).unwrap()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_placeholder_is_a_place_or_a_method_of_one() {
        let is_value = |inner: &str| syn::parse_str(inner).is_ok_and(|value| root(&value).is_some());
        for right in ["a", "a.b", "a.0.1", "a.b()", "a.b().c", "self", "self.a", "r#type"] {
            assert!(is_value(right), "{right}");
        }
        for wrong in
            ["1", "a + 1", "a::b", "a(b)", "a.b(c)", "a.b::<c>()", "a?", "a.await", "&a", "(a)", "a[0]", "*a"]
        {
            assert!(!is_value(wrong), "{wrong}");
        }
    }
}

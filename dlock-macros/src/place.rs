//! Where the compiler's messages point.

use proc_macro2::Span;
use quote::ToTokens;

/// Where `tokens` begin and end. What is generated between these two is reported there, but means what
/// generated code means.
pub(crate) fn ends(tokens: impl ToTokens) -> (Span, Span) {
    let mut spans = tokens.into_token_stream().into_iter().map(|token| token.span());
    let first = spans.next().unwrap_or_else(Span::call_site);
    let last = spans.last().unwrap_or(first);
    (at(first), at(last))
}

/// The place of `span` for generated code.
///
/// With `span` itself, the compiler would take the generated code for the user's, and offer to change it.
pub(crate) fn at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

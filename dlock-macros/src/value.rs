//! The value of an option, behind its `=`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use std::fmt::Display;
use std::time::Duration;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path, Token};

/// What stands behind `name =`; `example` says what should.
pub(crate) fn value<T: Parse>(input: ParseStream<'_>, name: &Ident, example: &str) -> syn::Result<T> {
    if !input.peek(Token![=]) || input.peek2(Token![,]) || is_last(input) {
        return Err(syn::Error::new(name.span(), format!("`{name}` needs a value: `{example}`")));
    }
    input.parse::<Token![=]>()?;
    input.parse().map_err(|error| {
        // What ends too early is not wrong at any of its tokens.
        let place = if input.is_empty() { name.span() } else { error.span() };
        syn::Error::new(place, format!("{error}; write `{example}`"))
    })
}

/// Whether at most one more token stands in `input`.
fn is_last(input: ParseStream<'_>) -> bool {
    input.cursor().token_tree().is_none_or(|(_, rest)| rest.eof())
}

/// `"30s"`, or an expression; an expression of type `Duration`.
pub(crate) fn duration(
    input: ParseStream<'_>,
    name: &Ident,
    example: &str,
    parse: fn(&str) -> Result<Duration, String>,
) -> syn::Result<TokenStream> {
    match &ungrouped(value(input, name, &format!("{name} = \"{example}\""))?) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            let millis = parse(&text.value()).map_err(|message| syn::Error::new(text.span(), message))?;
            let millis = u64::try_from(millis.as_millis()).unwrap_or(u64::MAX);
            Ok(quote!(::core::time::Duration::from_millis(#millis)))
        }
        Expr::Lit(ExprLit { lit: lit @ (Lit::Int(_) | Lit::Float(_)), .. }) => {
            Err(syn::Error::new(lit.span(), without_unit(name, &lit.to_token_stream())))
        }
        expression => Ok(expression.to_token_stream()),
    }
}

fn without_unit(name: &Ident, number: &impl Display) -> String {
    format!("`{name} = {number}` has no unit; write `{name} = \"{number}s\"` or `{name} = \"{number}ms\"`")
}

/// A path as in `use`, where `crate` and `self` may stand.
pub(crate) struct ModPath(pub(crate) Path);

impl Parse for ModPath {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        input.call(Path::parse_mod_style).map(Self)
    }
}

/// One of `choices`, the first being the default, in quotes.
pub(crate) fn choice<T: Copy>(
    input: ParseStream<'_>,
    name: &Ident,
    choices: [(&str, T); 2],
) -> syn::Result<T> {
    let [(default, _), (other, _)] = choices;
    let text: LitStr = value(input, name, &format!("{name} = \"{other}\""))?;
    let chosen = choices.into_iter().find(|(choice, _)| *choice == text.value());
    chosen.map(|(_, chosen)| chosen).ok_or_else(|| {
        let message =
            format!("unknown `{name} = \"{}\"`; expected \"{default}\" or \"{other}\"", text.value());
        syn::Error::new(text.span(), message)
    })
}

/// A key that is computed; not a string, in which placeholders would stand for nothing.
pub(crate) fn computed_key(input: ParseStream<'_>, name: &Ident) -> syn::Result<Expr> {
    match ungrouped(value(input, name, "key = order.lock_key()")?) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Err(syn::Error::new(text.span(), KEY_IS_COMPUTED)),
        expression => Ok(expression),
    }
}

/// A literal that came through a `macro_rules` variable stands in a group.
fn ungrouped(mut value: Expr) -> Expr {
    while let Expr::Group(group) = value {
        value = *group.expr;
    }
    value
}

const KEY_IS_COMPUTED: &str = "`key` takes an expression; a string goes first, without `key =`: \
    `#[distributed_lock(\"order:{order_id}\")]`";

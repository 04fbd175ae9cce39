//! What stands in the attribute's parentheses: the key, then options.

use crate::duration;
use crate::errors::Errors;
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use std::fmt::Display;
use std::time::Duration;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path, Token, token};

/// The arguments that could be read.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) key: Option<LitStr>,
    /// Expressions of type `Duration`.
    pub(crate) ttl: Option<TokenStream>,
    pub(crate) wait: Option<TokenStream>,
    pub(crate) locks: Option<Expr>,
    pub(crate) guard: Option<Ident>,
    pub(crate) krate: Option<Path>,
    /// Whether something stood where the key belongs, right or wrong.
    key_seen: bool,
}

impl Args {
    /// Reads them all; a wrong one does not hide the next.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let everything = |input: ParseStream<'_>| {
            args.read(input, errors);
            Ok(())
        };
        // The closure consumes the whole input and notes the errors itself.
        let _ = everything.parse2(tokens);
        if !args.key_seen {
            errors.push(syn::Error::new(Span::call_site(), MISSING_KEY));
        }
        args
    }

    /// Where the code that is generated finds dlock-core.
    pub(crate) fn krate(&self) -> TokenStream {
        self.krate.as_ref().map_or_else(|| quote!(::dlock_core), ToTokens::to_token_stream)
    }

    fn read(&mut self, input: ParseStream<'_>, errors: &mut Errors) {
        let mut first = true;
        while !input.is_empty() {
            let read = if is_key(input) { self.read_key(input, first) } else { self.read_option(input) };
            let read = read.and_then(|()| end_of_argument(input));
            if errors.keep(read).is_none() {
                skip_argument(input);
            }
            first = false;
        }
    }

    fn read_key(&mut self, input: ParseStream<'_>, first: bool) -> syn::Result<()> {
        let again = std::mem::replace(&mut self.key_seen, true);
        if input.peek(token::Bracket) {
            return Err(not_supported(input.span(), "a list of keys"));
        }
        match input.parse::<Lit>()? {
            Lit::Str(key) if first => self.key = Some(key),
            Lit::Str(key) if again => return Err(not_supported(key.span(), "a second key")),
            Lit::Str(key) => return Err(syn::Error::new(key.span(), KEY_GOES_FIRST)),
            other => return Err(syn::Error::new(other.span(), KEY_IS_A_STRING)),
        }
        Ok(())
    }

    fn read_option(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let name = input.call(Ident::parse_any)?;
        match name.to_string().as_str() {
            "ttl" => once(&mut self.ttl, &name, duration(input, &name, "30s", duration::parse_ttl)),
            "wait" => once(&mut self.wait, &name, duration(input, &name, "2s", duration::parse)),
            "locks" => once(&mut self.locks, &name, value(input, &name, "locks = self.locks")),
            "guard" => once(&mut self.guard, &name, value(input, &name, "guard = lock")),
            "crate" => {
                let path = value(input, &name, "crate = ::dlock").map(|ModPath(path)| path);
                once(&mut self.krate, &name, path)
            }
            "key" => {
                self.key_seen = true;
                Err(not_supported(name.span(), "`key`"))
            }
            "on_busy" | "map_err" | "on_lost" | "release" | "shared" => {
                Err(not_supported(name.span(), &format!("`{name}`")))
            }
            unknown => Err(unknown_option(&name, unknown)),
        }
    }
}

fn is_key(input: ParseStream<'_>) -> bool {
    input.peek(Lit) || input.peek(token::Bracket)
}

/// The one place that puts an option into its slot.
fn once<T>(slot: &mut Option<T>, name: &Ident, value: syn::Result<T>) -> syn::Result<()> {
    let value = value?;
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(syn::Error::new(name.span(), format!("`{name}` is given twice"))),
    }
}

fn value<T: Parse>(input: ParseStream<'_>, name: &Ident, example: &str) -> syn::Result<T> {
    if !input.peek(Token![=]) || input.peek2(Token![,]) || is_last(input) {
        return Err(syn::Error::new(name.span(), format!("`{name}` needs a value: `{example}`")));
    }
    input.parse::<Token![=]>()?;
    let wrong = |error: syn::Error| syn::Error::new(error.span(), format!("{error}; write `{example}`"));
    input.parse().map_err(wrong)
}

/// Whether at most one more token stands in `input`.
fn is_last(input: ParseStream<'_>) -> bool {
    input.cursor().token_tree().is_none_or(|(_, rest)| rest.eof())
}

fn duration(
    input: ParseStream<'_>,
    name: &Ident,
    example: &str,
    parse: fn(&str) -> Result<Duration, String>,
) -> syn::Result<TokenStream> {
    let mut value = value(input, name, &format!("{name} = \"{example}\""))?;
    while let Expr::Group(group) = value {
        // A literal that came through a `macro_rules` variable.
        value = *group.expr;
    }
    match &value {
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
struct ModPath(Path);

impl Parse for ModPath {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        input.call(Path::parse_mod_style).map(Self)
    }
}

fn end_of_argument(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() { Ok(()) } else { input.parse::<Token![,]>().map(|_| ()) }
}

/// Goes on behind the next comma.
fn skip_argument(input: ParseStream<'_>) {
    while let Ok(token) = input.parse::<TokenTree>() {
        if matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',') {
            return;
        }
    }
}

fn not_supported(span: Span, what: &str) -> syn::Error {
    syn::Error::new(
        span,
        format!("{what} is not supported yet; take the lock in the body with `LockManager::lock`"),
    )
}

fn unknown_option(name: &Ident, text: &str) -> syn::Error {
    let hint = match text {
        "timeout" => "`wait` limits the waiting, `ttl` the lease",
        "lease" | "expire" => "the length of the lease is `ttl`",
        "manager" | "client" => "the lock manager is `locks`",
        "name" => "put the key first: `#[distributed_lock(\"order:{order_id}\")]`",
        _ => "expected `ttl`, `wait`, `locks`, `guard` or `crate`",
    };
    syn::Error::new(name.span(), format!("unknown option `{text}`; {hint}"))
}

const MISSING_KEY: &str = "missing lock key; write `#[distributed_lock(\"order:{order_id}\")]`\n\
    the function's name is not used as a key: renaming it during a rolling deploy would split the lock";
const KEY_GOES_FIRST: &str = "the lock key goes first, before the options";
const KEY_IS_A_STRING: &str = "the lock key is a string, such as \"order:{order_id}\"";

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(arguments: &str) -> Vec<String> {
        let mut errors = Errors::default();
        Args::parse(arguments.parse().unwrap(), &mut errors);
        errors.into_result().err().into_iter().flatten().map(|error| error.to_string()).collect()
    }

    #[test]
    fn an_option_that_is_to_come_is_told_from_one_that_is_unknown() {
        for name in ["key", "on_busy", "map_err", "on_lost", "release", "shared"] {
            let message =
                format!("`{name}` is not supported yet; take the lock in the body with `LockManager::lock`");
            assert_eq!(messages(&format!("\"k\", {name} = x")), [message.as_str()]);
            assert_eq!(messages(&format!("\"k\", {name}")), [message.as_str()]);
        }
        assert_eq!(messages("key = x").len(), 1, "no missing key on top");
    }

    #[test]
    fn a_likely_name_leads_to_the_right_one() {
        for (name, right) in [
            ("timeout", "`wait`"),
            ("lease", "`ttl`"),
            ("expire", "`ttl`"),
            ("manager", "`locks`"),
            ("client", "`locks`"),
        ] {
            let found = messages(&format!("\"k\", {name} = x"));
            assert!(matches!(&found[..], [one] if one.contains(right)), "{found:?}");
        }
    }

    #[test]
    fn a_mistake_does_not_hide_the_next() {
        let found = messages("ttl = 30, colour = red, wait, locks = , \"k\", guard = 7 crate = ::x");
        assert_eq!(found.len(), 6, "{found:#?}");
    }

    #[test]
    fn a_comma_may_stand_at_the_end() {
        assert_eq!(messages("\"k\",").len(), 0);
        assert_eq!(messages("\"k\", ttl = \"30s\",").len(), 0);
    }
}

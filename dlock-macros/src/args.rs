//! The attribute's arguments: the key, then options.

use crate::duration;
use crate::errors::Errors;
use crate::value::{ModPath, choice, computed_key, duration, value};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, Lit, LitStr, Path, Token, token};

/// The arguments that could be read.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) key: Option<Key>,
    /// Expressions of type `Duration`.
    pub(crate) ttl: Option<TokenStream>,
    pub(crate) wait: Option<TokenStream>,
    pub(crate) max_hold: Option<TokenStream>,
    pub(crate) locks: Option<Expr>,
    pub(crate) guard: Option<Ident>,
    /// The output if the lock was busy.
    pub(crate) on_busy: Option<Expr>,
    /// From the `LockError` to the function's error.
    pub(crate) map_err: Option<Expr>,
    pub(crate) on_lost: Option<OnLost>,
    pub(crate) release: Option<Release>,
    pub(crate) krate: Option<Path>,
    /// Whether something stood where the key belongs, right or wrong.
    key_seen: bool,
}

/// What is locked.
pub(crate) enum Key {
    Template(LitStr),
    Computed(Expr),
}

/// What becomes of the work when the lock is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnLost {
    Abort,
    Finish,
}

/// Whether the function returns before or after the release.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Await,
    Detach,
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
            Lit::Str(key) if first => self.key = Some(Key::Template(key)),
            Lit::Str(key) if again => return Err(not_supported(key.span(), "a second key")),
            Lit::Str(key) => return Err(syn::Error::new(key.span(), KEY_GOES_FIRST)),
            other => return Err(syn::Error::new(other.span(), KEY_IS_A_STRING)),
        }
        Ok(())
    }

    fn read_option(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let name = input.call(Ident::parse_any)?;
        match name.to_string().as_str() {
            "key" => self.read_computed_key(input, &name),
            "ttl" => once(&mut self.ttl, &name, duration(input, &name, "30s", duration::parse_ttl)),
            "wait" => once(&mut self.wait, &name, duration(input, &name, "2s", duration::parse)),
            "max_hold" => {
                once(&mut self.max_hold, &name, duration(input, &name, "10m", duration::parse_max_hold))
            }
            "locks" => once(&mut self.locks, &name, value(input, &name, "locks = self.locks")),
            "guard" => once(&mut self.guard, &name, value(input, &name, "guard = lock")),
            "on_busy" => {
                once(&mut self.on_busy, &name, value(input, &name, "on_busy = Ok(Outcome::Skipped)"))
            }
            "map_err" => once(&mut self.map_err, &name, value(input, &name, "map_err = AppError::locked")),
            "on_lost" => {
                let choices = [("abort", OnLost::Abort), ("finish", OnLost::Finish)];
                once(&mut self.on_lost, &name, choice(input, &name, choices))
            }
            "release" => {
                let choices = [("await", Release::Await), ("detach", Release::Detach)];
                once(&mut self.release, &name, choice(input, &name, choices))
            }
            "crate" => {
                let path = value(input, &name, "crate = ::dlock").map(|ModPath(path)| path);
                once(&mut self.krate, &name, path)
            }
            "shared" => Err(syn::Error::new(name.span(), NO_READERS)),
            unknown => Err(unknown_option(&name, unknown)),
        }
    }

    fn read_computed_key(&mut self, input: ParseStream<'_>, name: &Ident) -> syn::Result<()> {
        let again = std::mem::replace(&mut self.key_seen, true);
        let key = computed_key(input, name)?;
        if again {
            return Err(syn::Error::new(name.span(), "the lock key is given twice"));
        }
        self.key = Some(Key::Computed(key));
        Ok(())
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
        _ => {
            "expected `key`, `ttl`, `wait`, `max_hold`, `locks`, `guard`, `on_busy`, `map_err`, `on_lost`, `release` or `crate`"
        }
    };
    syn::Error::new(name.span(), format!("unknown option `{text}`; {hint}"))
}

const MISSING_KEY: &str = "missing lock key; write `#[distributed_lock(\"order:{order_id}\")]`\n\
    the function's name is not used as a key: renaming it during a rolling deploy would split the lock";
const NO_READERS: &str = "`shared` is not supported yet; without it the lock is exclusive";
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
        for arguments in ["\"k\", shared", "\"k\", shared = true", "[\"a\", \"b\"]", "\"a\", \"b\""] {
            let found = messages(arguments);
            assert!(matches!(&found[..], [one] if one.contains("is not supported yet")), "{found:?}");
        }
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
        let found = messages("key = \"k\", on_lost = \"x\", release = detach, on_busy, map_err = , key");
        assert_eq!(found.len(), 6, "{found:#?}");
    }

    #[test]
    fn there_is_one_key() {
        for right in ["\"k\"", "key = k", "ttl = \"1s\", key = k"] {
            assert_eq!(messages(right).len(), 0, "{right}");
        }
        for wrong in ["\"k\", key = k", "key = k, key = k", "key = k, \"k\"", "key = \"k\"", ""] {
            assert_eq!(messages(wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_comma_may_stand_at_the_end() {
        assert_eq!(messages("\"k\",").len(), 0);
        assert_eq!(messages("\"k\", ttl = \"30s\",").len(), 0);
    }
}

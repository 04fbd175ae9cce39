//! The code that takes the place of the function's body.

use crate::args::{Args, Key, OnLost, Release};
use crate::errors::Errors;
use crate::function::{Function, Parameter};
use crate::place::ends;
use crate::template::Template;
use crate::work::Work;
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Expr;

/// The function under a lock; or what is wrong, beside the function as it is.
pub(crate) fn attribute(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(args, &mut errors);
    let function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#item #error);
        }
    };
    match Lock::new(&args, &function, &mut errors) {
        Some(lock) if errors.is_empty() => function.with_body(&lock.work.replace(lock.expand())),
        _ => unlocked(&args, &function, &errors),
    }
}

/// The plain function beside the mistakes. So its callers compile, and a variable that only the key or the guard uses
/// causes no further messages.
fn unlocked(args: &Args, function: &Function, errors: &Errors) -> TokenStream {
    let (krate, body, errors) = (args.krate(), &function.body, errors.to_compile_errors());
    let guard = args.guard.as_ref().filter(|name| function.parameter(name).is_none());
    let guard =
        guard.map(|name| quote!(let #name = ::core::option::Option::None::<&#krate::LockGuard>.unwrap();));
    let function = function.with_body(&quote!(#guard #body));
    quote!(#[allow(unused_variables)] #function #errors)
}

/// Everything that the expansion is made of.
struct Lock<'a> {
    args: &'a Args,
    function: &'a Function,
    krate: TokenStream,
    /// An expression of type `Result<LockKey, LockError>`.
    key: TokenStream,
    work: Work,
}

impl<'a> Lock<'a> {
    fn new(args: &'a Args, function: &'a Function, errors: &mut Errors) -> Option<Self> {
        let krate = args.krate();
        let key = args.key.as_ref().and_then(|key| errors.keep(key_expression(key, function, &krate)));
        let work = errors.keep(Work::of(function));
        errors.keep(check_guard(args, function));
        Some(Self { args, function, krate, key: key?, work: work? })
    }

    fn expand(&self) -> TokenStream {
        let (acquire, busy, run, failure) = (self.acquire(), self.busy(), self.run(), self.failure());
        let release = self.release();
        quote! {
            #acquire
            let __dlock_done = match __dlock_acquired {
                ::core::result::Result::Ok(__dlock_guard) => {
                    let __dlock_done = #run;
                    #release
                    __dlock_done
                }
                #busy
                ::core::result::Result::Err(__dlock_error) => ::core::result::Result::Err(__dlock_error),
            };
            match __dlock_done {
                ::core::result::Result::Ok(__dlock_output) => __dlock_output,
                ::core::result::Result::Err(__dlock_error) => #failure,
            }
        }
    }

    /// Everything that the user wrote is evaluated in statements of its own: nothing of it lives across the
    /// wait for the lock.
    fn acquire(&self) -> TokenStream {
        let (krate, locks, key) = (&self.krate, self.locks(), &self.key);
        let (ttl, set_ttl) = self.option("ttl", self.args.ttl.as_ref());
        let (wait, set_wait) = self.option("wait", self.args.wait.as_ref());
        let (max_hold, set_max_hold) = self.option("max_hold", self.args.max_hold.as_ref());
        let set = quote!(#set_ttl #set_wait #set_max_hold);
        quote! {
            let __dlock_locks = #locks;
            let __dlock_key = #key;
            #ttl
            #wait
            #max_hold
            let __dlock_acquired = match (__dlock_locks, __dlock_key) {
                (::core::result::Result::Ok(__dlock_locks), ::core::result::Result::Ok(__dlock_key)) => {
                    #krate::LockManager::lock(&__dlock_locks, __dlock_key) #set .acquire().await
                }
                (::core::result::Result::Err(__dlock_error), _)
                | (_, ::core::result::Result::Err(__dlock_error)) => {
                    ::core::result::Result::Err(__dlock_error)
                }
            };
        }
    }

    /// The arm for a lock that is busy, which may still use every parameter.
    fn busy(&self) -> Option<TokenStream> {
        let (krate, value) = (&self.krate, self.args.on_busy.as_ref()?);
        Some(quote! {
            ::core::result::Result::Err(__dlock_error) if #krate::__private::is_busy(&__dlock_error) => {
                return #value;
            }
        })
    }

    /// Ends the hold of the lock. The output is at hand meanwhile, so an awaited release asks it to be `Send`.
    /// A lock that was lost is not waited for.
    fn release(&self) -> TokenStream {
        let krate = &self.krate;
        match self.args.release {
            Some(Release::Detach) => quote!(::core::mem::drop(__dlock_guard);),
            Some(Release::Await) | None => quote! {
                if ::core::result::Result::is_ok(&__dlock_done) {
                    #krate::__private::release(__dlock_guard).await;
                }
            },
        }
    }

    /// An expression of type `Result<LockManager, LockError>`.
    fn locks(&self) -> TokenStream {
        let krate = &self.krate;
        let Some(locks) = &self.args.locks else { return quote!(#krate::LockManager::current()) };
        let argument = reference(locks);
        quote!(::core::result::Result::Ok::<_, #krate::LockError>(#krate::__private::manager(#argument)))
    }

    /// A duration: the statement that evaluates it, and the call that sets it.
    fn option(&self, name: &str, value: Option<&TokenStream>) -> (TokenStream, TokenStream) {
        let Some(value) = value else { return Default::default() };
        let (setter, local) = (Ident::new(name, Span::call_site()), format_ident!("__dlock_{name}"));
        (quote!(let #local: ::core::time::Duration = #value;), quote!(.#setter(#local)))
    }

    /// Runs the work. Its block is pinned in place: handed to a function by value, it would lie in the future
    /// once more.
    ///
    /// The scope ends the borrow of the guard, and with it the parameters' lives, before the release.
    fn run(&self) -> TokenStream {
        let (krate, work, type_hint) = (&self.krate, &self.work.block, self.type_hint());
        let guard = self.args.guard.as_ref().map(|name| quote!(let #name = &__dlock_guard;));
        let run = match self.args.on_lost {
            Some(OnLost::Finish) => quote!(finish),
            Some(OnLost::Abort) | None => quote!(run),
        };
        quote! {{
            #guard
            let mut __dlock_work = ::core::pin::pin!(async move {
                #type_hint
                #work
            });
            #krate::__private::#run(&__dlock_guard, __dlock_work.as_mut()).await
        }}
    }

    /// Never runs: tells the compiler what the block returns, which it would have to guess from a `?`, and that
    /// the block takes the parameters whole.
    fn type_hint(&self) -> TokenStream {
        let (output, taken) = (&self.work.output, self.taken());
        quote! {
            #[allow(unreachable_code, clippy::all, clippy::pedantic, clippy::nursery)]
            if false {
                #taken
                let __dlock_output: #output = loop {};
                return __dlock_output;
            }
        }
    }

    /// Moves the parameters into the block that runs under the lock, so that they are dropped in the order of the plain
    /// function. So a transaction, for example, ends before the lock is released.
    ///
    /// A parameter that the body does not mention is left out: the compiler shall call it unused.
    fn taken(&self) -> Option<TokenStream> {
        let taken = self.function.parameters.iter().rev().filter(|parameter| self.is_taken(parameter));
        let names: Vec<_> = taken.map(|parameter| &parameter.name).collect();
        (!names.is_empty()).then(|| quote!(let _ = (#(&#names,)*);))
    }

    fn is_taken(&self, parameter: &Parameter) -> bool {
        let name = parameter.name.to_string();
        !parameter.has_attributes
            && (name.starts_with('_') || name == "self" || mentions(&self.work.block, &parameter.name))
    }

    /// What is returned instead of the output. A return type that cannot hold it is reported here, so this has
    /// the place of the return type.
    fn failure(&self) -> TokenStream {
        let (krate, output) = (&self.krate, &self.work.output);
        let (start, end) = self.work.output_place;
        let open = quote_spanned!(start=> <);
        let close = match &self.args.map_err {
            None => quote_spanned! {end=>
                as #krate::__private::LockedOutput>::from_lock_error(__dlock_error)
            },
            Some(map_err) => quote_spanned! {end=>
                as #krate::__private::LockedResult>::from_mapped(__dlock_error, #map_err)
            },
        };
        quote!(#open #output #close)
    }
}

/// An expression of type `Result<LockKey, LockError>`.
fn key_expression(key: &Key, function: &Function, krate: &TokenStream) -> syn::Result<TokenStream> {
    match key {
        Key::Template(key) => {
            Template::parse(key, Some(function)).map(|template| template.to_expression(krate))
        }
        Key::Computed(key) => {
            let (start, end) = ends(key);
            let call = quote_spanned!(start=> #krate::__private::key);
            let mut argument = Group::new(Delimiter::Parenthesis, key.to_token_stream());
            argument.set_span(end);
            Ok(quote!(#call #argument))
        }
    }
}

fn check_guard(args: &Args, function: &Function) -> syn::Result<()> {
    match args.guard.as_ref().filter(|name| function.parameter(name).is_some()) {
        Some(name) => {
            Err(syn::Error::new(name.span(), format!("`guard = {name}` would hide the parameter `{name}`")))
        }
        None => Ok(()),
    }
}

fn mentions(tokens: &TokenStream, name: &Ident) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// `&(value)`, in the place of the value, for the compiler's messages about its type.
fn reference(value: &Expr) -> TokenStream {
    let (start, end) = ends(value);
    let (borrow, mut inner) =
        (quote_spanned!(start=> &), Group::new(Delimiter::Parenthesis, value.to_token_stream()));
    inner.set_span(end);
    quote!(#borrow #inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../dlock-core/docs/distributed_lock.md");

    /// The tokens of `text` as a reader needs them: without paths that are absolute, prefixes and lint levels.
    fn readable(text: &str) -> String {
        let tokens: TokenStream = text.parse().unwrap();
        let mut text = tokens.to_string().split_whitespace().collect::<String>();
        for unread in [
            "::core::result::Result::",
            "::core::result::",
            "::core::time::",
            "::core::pin::",
            "::dlock_core::__private::",
            "::dlock_core::",
            "__dlock_",
            "#[allow(unreachable_code,clippy::all,clippy::pedantic,clippy::nursery)]",
        ] {
            text = text.replace(unread, "");
        }
        // What gives a placeholder its name in a message is no part of what happens.
        let text = without(&text, "placeholder::<", ">").replace(".(&", ".value(&");
        let text = without(&text, "#[allow(dead_code,", "{}");
        text.replace("is_ok(", "Result::is_ok(")
            .replace("Result::Result::", "Result::")
            .replace([',', ';'], "")
    }

    /// The text without what stands between the two, and them.
    fn without(text: &str, begin: &str, end: &str) -> String {
        let mut pieces = text.split(begin);
        let first = pieces.next().unwrap_or_default().to_owned();
        let rest = pieces.filter_map(|piece| Some(piece.split_once(end)?.1));
        rest.fold(first, |text, rest| text + rest)
    }

    #[test]
    fn the_listing_on_the_reference_page_is_what_the_example_expands_to() {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let listing = page.split("<!-- expansion -->\n```text").nth(1).unwrap().split("```").next().unwrap();
        let arguments = page.split("#[distributed_lock(").nth(1).unwrap().split(")]").next().unwrap();
        let item = "async fn settle(&self, order: &Order) -> Result<String, LockError> { self; order }";
        let expanded = attribute(arguments.parse().unwrap(), &item.parse().unwrap()).to_string();
        let listing = readable(&listing.replace("/* the body */", "self; order"));
        // A match arm that is one expression may stand in braces or not.
        let plain = |text: String| text.replace(['{', '}'], "");
        assert_eq!(plain(readable(&expanded)), plain(listing));
    }
}

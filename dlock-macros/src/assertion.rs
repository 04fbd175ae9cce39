//! `assert_locked!`: its key is made like that of an annotation.

use crate::template::Template;
use proc_macro2::{Group, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::{Expr, LitStr, Token};

/// `[the path of dlock-core] "order:{id}"`, or an expression in the place of the string.
pub(crate) fn assertion(tokens: TokenStream) -> TokenStream {
    parse.parse2(tokens).unwrap_or_else(|error| error.to_compile_error())
}

fn parse(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    let krate = input.parse::<Group>()?.stream();
    let key = if input.peek(LitStr) {
        Template::parse(&input.parse()?, None)?.to_expression(&krate)
    } else if input.is_empty() {
        return Err(input.error("missing lock key; write `assert_locked!(\"order:{order_id}\")`"));
    } else {
        let key: Expr = input.parse()?;
        quote!(#krate::__private::key(#key))
    };
    input.parse::<Option<Token![,]>>()?;
    if !input.is_empty() {
        return Err(input.error("`assert_locked!` takes one key"));
    }
    // In a release build nothing of it is evaluated.
    Ok(quote_spanned! {proc_macro2::Span::mixed_site()=>
        if ::core::cfg!(debug_assertions) {
            let __dlock_locked = #krate::__private::is_locked(#key);
            ::core::assert!(
                ::core::result::Result::is_ok(&__dlock_locked),
                "{}",
                __dlock_locked.err().unwrap_or_default(),
            );
        }
    })
}

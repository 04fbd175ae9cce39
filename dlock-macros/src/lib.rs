//! The attribute `#[distributed_lock]`. Use it through dlock-core's feature `macros`.

mod args;
mod assertion;
mod duration;
mod errors;
mod expand;
mod function;
mod place;
mod similar;
mod template;
mod value;
mod work;

use proc_macro::TokenStream;

/// The attribute. Its reference page stands where dlock-core re-exports it.
#[proc_macro_attribute]
pub fn distributed_lock(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(args.into(), &item.into()).into()
}

/// What `dlock_core::assert_locked!` is made of.
#[doc(hidden)]
#[proc_macro]
pub fn assert_locked(tokens: TokenStream) -> TokenStream {
    assertion::assertion(tokens.into()).into()
}

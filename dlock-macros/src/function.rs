//! The annotated function, its parameters, and its body as it was written.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::visit::{self, Visit};
use syn::{Attribute, FnArg, Ident, PatIdent, Signature, Token, Visibility, braced, token};

/// A function whose body is not parsed: it may be incomplete while it is being typed.
pub(crate) struct Function {
    pub(crate) signature: Signature,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) braces: token::Brace,
    pub(crate) body: TokenStream,
    attributes: Vec<Attribute>,
    visibility: Visibility,
    inner_attributes: Vec<Attribute>,
}

/// A name that the pattern of a parameter binds.
pub(crate) struct Parameter {
    pub(crate) name: Ident,
    /// Whether an attribute stands there: `#[cfg]` may take the parameter away.
    pub(crate) has_attributes: bool,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let start = input.fork();
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        if !is_signature(input) {
            let item: TokenStream = start.parse()?;
            input.parse::<TokenStream>()?;
            return Err(syn::Error::new_spanned(item, NOT_A_FUNCTION));
        }
        let signature: Signature = input.parse()?;
        if input.parse::<Option<Token![;]>>()?.is_some() {
            return Err(syn::Error::new_spanned(signature, NO_BODY));
        }
        let content;
        let braces = braced!(content in input);
        let inner_attributes = content.call(Attribute::parse_inner)?;
        let body = content.parse()?;
        let parameters = parameters(&signature);
        Ok(Self { signature, parameters, braces, body, attributes, visibility, inner_attributes })
    }
}

impl Function {
    pub(crate) fn name(&self) -> &Ident {
        &self.signature.ident
    }

    pub(crate) fn parameter(&self, name: &Ident) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == *name)
    }

    /// # Errors
    /// If the attribute stands there a second time.
    pub(crate) fn check_once(&self) -> syn::Result<()> {
        match self.attributes.iter().find(|attribute| is_lock(attribute)) {
            Some(second) => Err(syn::Error::new_spanned(second, GIVEN_TWICE)),
            None => Ok(()),
        }
    }

    /// The function with another body. The braces stay the user's: with braces of ours, the compiler would
    /// not report the function as dead code.
    pub(crate) fn with_body(&self, body: &TokenStream) -> TokenStream {
        let Self { attributes, visibility, signature, inner_attributes, .. } = self;
        let mut tokens = quote!(#(#attributes)* #visibility #signature);
        self.braces.surround(&mut tokens, |inside| inside.extend(quote!(#(#inner_attributes)* #body)));
        tokens
    }
}

/// Whether a function follows, as far as its `fn`.
fn is_signature(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    while let Ok(word) = ahead.call(Ident::parse_any) {
        match word.to_string().as_str() {
            "fn" => return true,
            "const" | "async" | "unsafe" | "safe" => {}
            "extern" => drop(ahead.parse::<Option<syn::LitStr>>()),
            _ => return false,
        }
    }
    false
}

fn is_lock(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "distributed_lock")
}

fn parameters(signature: &Signature) -> Vec<Parameter> {
    let mut found = Bindings { parameters: Vec::new(), has_attributes: false };
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                found.has_attributes = !receiver.attrs.is_empty();
                found.push(&Ident::from(receiver.self_token));
            }
            FnArg::Typed(typed) => {
                found.has_attributes = !typed.attrs.is_empty();
                found.visit_pat(&typed.pat);
            }
        }
    }
    found.parameters
}

/// Collects the names that patterns bind.
struct Bindings {
    parameters: Vec<Parameter>,
    has_attributes: bool,
}

impl Bindings {
    fn push(&mut self, name: &Ident) {
        // `A(x) | B(x)` binds one name in two places.
        if self.parameters.iter().all(|known| known.name != *name) {
            self.parameters.push(Parameter { name: name.clone(), has_attributes: self.has_attributes });
        }
    }
}

impl<'a> Visit<'a> for Bindings {
    fn visit_pat_ident(&mut self, pattern: &'a PatIdent) {
        self.push(&pattern.ident);
        visit::visit_pat_ident(self, pattern);
    }
}

const NOT_A_FUNCTION: &str = "`#[distributed_lock]` can only be put on an `async fn`";
const NO_BODY: &str = "this method has no body; put `#[distributed_lock]` on the implementation";
const GIVEN_TWICE: &str = "`#[distributed_lock]` is given twice on this function; take the second lock in the body \
    with `LockManager::lock`";

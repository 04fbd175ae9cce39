//! The part of a function that runs under the lock.

use crate::function::Function;
use crate::place::{at, ends};
use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{AssocType, Block, Expr, ExprAsync, ReturnType, Stmt, Type, parse_quote, parse_quote_spanned};

/// What the lock is held for, and what stands around it.
pub(crate) struct Work {
    /// Its type, as far as it can be written: what was `impl Trait` is `_`.
    pub(crate) output: Type,
    /// Where the type stands; the name of the function if it stands nowhere.
    pub(crate) output_place: (Span, Span),
    /// Its block, with the braces.
    pub(crate) block: TokenStream,
    around: Option<Boxed>,
}

/// `…; Box::pin(async move { … })`, what `async_trait` makes of an `async fn`.
struct Boxed {
    before: Vec<Stmt>,
    pin: Expr,
    future: ExprAsync,
}

impl Work {
    /// # Errors
    /// If the function is of a form that cannot take a lock.
    pub(crate) fn of(function: &Function) -> syn::Result<Self> {
        function.check_once()?;
        if function.signature.asyncness.is_some() {
            return Self::of_async(function);
        }
        Self::of_boxed(function).ok_or_else(|| syn::Error::new(function.signature.fn_token.span, NOT_ASYNC))
    }

    /// The body of the function once `locked` stands where the work stood.
    pub(crate) fn replace(&self, locked: TokenStream) -> TokenStream {
        let Some(Boxed { before, pin, future }) = &self.around else { return locked };
        let ExprAsync { async_token, capture, .. } = future;
        quote!(#(#before)* #pin(#async_token #capture { #locked }))
    }

    fn of_async(function: &Function) -> syn::Result<Self> {
        let (mut output, output_place) = match &function.signature.output {
            ReturnType::Default => {
                let name = ends(function.name());
                (parse_quote_spanned!(name.0=> ()), name)
            }
            ReturnType::Type(_, output) => ((**output).clone(), ends(output)),
        };
        if let Type::ImplTrait(_) = output {
            return Err(syn::Error::new_spanned(output, NO_VALUE_WITHOUT_LOCK));
        }
        Erase.visit_type_mut(&mut output);
        // With braces of the user's the compiler would call those of `{ Ok(x) }` unnecessary: it stands in a block of ours.
        let mut block = Group::new(Delimiter::Brace, function.body.clone());
        block.set_span(at(function.braces.span.join()));
        Ok(Self { output, output_place, block: TokenTree::from(block).into(), around: None })
    }

    fn of_boxed(function: &Function) -> Option<Self> {
        let output = future_output(&function.signature.output)?;
        let mut before = Block::parse_within.parse2(function.body.clone()).ok()?;
        let Some(Stmt::Expr(Expr::Call(call), None)) = before.pop() else { return None };
        let Some(Expr::Async(future)) = call.args.into_iter().next() else { return None };
        let is_boxed = future.capture.is_some() && is_box_pin(&call.func);
        let (output_place, block) = (ends(&output), future.block.to_token_stream());
        let around = Some(Boxed { before, pin: *call.func, future });
        is_boxed.then_some(Self { output, output_place, block, around })
    }
}

fn is_box_pin(function: &Expr) -> bool {
    let Expr::Path(path) = function else { return false };
    let mut names = path.path.segments.iter().rev().map(|segment| &segment.ident);
    names.next().is_some_and(|name| name == "pin") && names.next().is_some_and(|name| name == "Box")
}

/// `T` of `Pin<Box<dyn Future<Output = T>>>`.
fn future_output(output: &ReturnType) -> Option<Type> {
    let mut found = Output(None);
    found.visit_return_type(output);
    found.0
}

struct Output(Option<Type>);

impl<'a> Visit<'a> for Output {
    fn visit_assoc_type(&mut self, assigned: &'a AssocType) {
        if assigned.ident == "Output" && self.0.is_none() {
            self.0 = Some(assigned.ty.clone());
        }
        visit::visit_assoc_type(self, assigned);
    }
}

/// Puts `_` in the place of every `impl Trait`, which may not stand in a body.
struct Erase;

impl VisitMut for Erase {
    fn visit_type_mut(&mut self, node: &mut Type) {
        match node {
            Type::ImplTrait(_) => *node = parse_quote!(_),
            other => visit_mut::visit_type_mut(self, other),
        }
    }
}

const NOT_ASYNC: &str = "`#[distributed_lock]` needs an `async fn`: the lock is taken with `.await`";
const NO_VALUE_WITHOUT_LOCK: &str = "this return type has no value for the case that the lock is not acquired; \
    return `Result<impl Trait, E>` with `E: From<LockError>`";

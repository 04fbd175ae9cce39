//! The paths that code names, and which code is for tests alone.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemFn, Macro, Meta, Path};

/// A path as it is written: `crate`, `super` or a name first.
pub(crate) type Written = Vec<String>;

/// Every path that the item names, and what looks like a path inside its macros.
pub(crate) fn paths(item: &Item) -> BTreeSet<Written> {
    let mut found = Paths::default();
    found.visit_item(item);
    found.0
}

/// Whether these attributes keep what they stand at out of everything but tests.
pub(crate) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => needs_test(list.tokens.clone()),
        meta => meta.path().is_ident("test"),
    })
}

/// `test`, or `all(…)` with `test` among its conditions.
fn needs_test(condition: TokenStream) -> bool {
    let tokens: Vec<_> = condition.into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(all), TokenTree::Group(conditions)] if all == "all" => conditions
            .stream()
            .into_iter()
            .any(|token| matches!(token, TokenTree::Ident(condition) if condition == "test")),
        [TokenTree::Ident(condition)] => condition == "test",
        _ => false,
    }
}

#[derive(Default)]
struct Paths(BTreeSet<Written>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            self.0.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        if !is_test_only(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_test_only(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }
}

impl Paths {
    /// What looks like `a::b` among the tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Written::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Punct(colon) if colon.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.end(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Written) {
        if !path.is_empty() {
            self.0.insert(std::mem::take(path));
        }
    }
}

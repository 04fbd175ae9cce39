//! Files that only decide: they neither wait nor look at a clock.

use crate::references::{Written, paths};
use crate::source::{Crate, Module};
use syn::visit::{self, Visit};
use syn::{ExprAsync, ExprAwait, Signature};

/// What the code of `file` does that a pure file does not. `None` if there is no such file.
pub(crate) fn impurities(of: &Crate, file: &str) -> Option<Vec<String>> {
    let modules: Vec<_> = of.modules.values().filter(|module| module.file == file).collect();
    (!modules.is_empty()).then(|| modules.into_iter().flat_map(in_module).collect())
}

/// Whether the code of `file` names `name` anywhere in a path.
pub(crate) fn named(of: &Crate, file: &str, name: &str) -> bool {
    let modules = of.modules.values().filter(|module| module.file == file);
    modules.flat_map(all_paths).any(|path| path.iter().any(|part| part == name))
}

fn all_paths(module: &Module) -> impl Iterator<Item = Written> {
    let imported = module.imports.iter().map(|import| import.path.clone());
    imported.chain(module.items.iter().flat_map(paths))
}

fn in_module(module: &Module) -> Vec<String> {
    let mut waits = Waits::default();
    module.items.iter().for_each(|item| waits.visit_item(item));
    waits.0.extend(all_paths(module).filter(|path| is_impure(path)).map(|path| path.join("::")));
    waits.0
}

/// A clock, or a runtime.
fn is_impure(path: &[String]) -> bool {
    let reads_clock = path.ends_with(&["Moment".to_owned(), "now".to_owned()]);
    reads_clock || path.first().is_some_and(|name| name == "tokio" || name == "tokio_util")
}

#[derive(Default)]
struct Waits(Vec<String>);

impl<'ast> Visit<'ast> for Waits {
    fn visit_signature(&mut self, signature: &'ast Signature) {
        if signature.asyncness.is_some() {
            self.0.push(format!("async fn {}", signature.ident));
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast ExprAsync) {
        self.0.push("async block".to_owned());
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, expression: &'ast ExprAwait) {
        self.0.push(".await".to_owned());
        visit::visit_expr_await(self, expression);
    }
}

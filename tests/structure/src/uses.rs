//! Which file uses which.

use crate::references::{Written, paths};
use crate::source::{Crate, Module, ModulePath};
use std::collections::BTreeSet;

/// One file uses another, by the item that it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The file that names the item.
    pub from: String,
    /// The file that defines the item.
    pub to: String,
    /// The item.
    pub item: String,
}

/// Every use of one file by another file of the crate.
pub fn uses(of: &Crate) -> BTreeSet<Use> {
    let mut found = BTreeSet::new();
    for (path, module) in &of.modules {
        let imported = module.imports.iter().filter(|import| !import.is_reexport);
        let imported = imported.map(|import| (import.path.clone(), import.name == "*"));
        let named = module.items.iter().flat_map(paths).map(|written| (written, false));
        for (written, is_glob) in imported.chain(named) {
            let Some(target) = of.resolve(path, &written, MOST_STEPS) else { continue };
            let to = match target {
                Target::Item(file) => file,
                // A module that is named by itself is a way to its items, which are then named through it.
                Target::Module(module) if is_glob => &module.file,
                Target::Module(_) => continue,
            };
            if *to != module.file {
                found.insert(Use {
                    from: module.file.clone(),
                    to: to.clone(),
                    item: written.last().cloned().unwrap_or_default(),
                });
            }
        }
    }
    found
}

/// Imports may lead to imports; this many in a row are followed.
const MOST_STEPS: u32 = 32;

enum Target<'a> {
    /// The file that defines the item.
    Item(&'a String),
    Module(&'a Module),
}

impl Crate {
    /// What `written` means in the module at `from`. `None` if it is not of this crate.
    fn resolve(&self, from: &ModulePath, written: &Written, steps: u32) -> Option<Target<'_>> {
        let steps = steps.checked_sub(1)?;
        let (mut at, mut rest) = (from.clone(), written.as_slice());
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => at = ModulePath::new(),
                "self" => {}
                "super" => _ = at.pop(),
                _ => break,
            }
            rest = after;
        }
        self.walk(at, rest, steps)
    }

    fn walk(&self, mut at: ModulePath, rest: &[String], steps: u32) -> Option<Target<'_>> {
        let module = self.modules.get(&at)?;
        let Some((name, after)) = rest.split_first() else { return Some(Target::Module(module)) };
        at.push(name.clone());
        if self.modules.contains_key(&at) {
            return self.walk(at, after, steps);
        }
        at.pop();
        if module.names.contains(name) {
            return Some(Target::Item(&module.file));
        }
        let imports = module.imports.iter().filter(|import| import.name == *name || import.name == "*");
        imports.into_iter().find_map(|import| {
            let skip = usize::from(import.name != "*");
            let path = [import.path.as_slice(), rest.get(skip..)?].concat();
            (path.first() != Some(name)).then(|| self.resolve(&at, &path, steps))?
        })
    }
}

//! Names that several types have.

use crate::source::Crate;
use std::collections::BTreeMap;
use syn::Item;

/// The types of some crates whose names are not theirs alone.
#[derive(Debug)]
pub struct SharedNames {
    /// How many types there are.
    pub types: usize,
    /// The files of each name that stands for more than one type.
    pub shared: BTreeMap<String, Vec<String>>,
}

impl SharedNames {
    /// How many of a hundred types share their name with another type.
    pub fn percent(&self) -> f64 {
        let sharing: usize = self.shared.values().map(Vec::len).sum();
        100.0 * sharing as f64 / self.types.max(1) as f64
    }
}

/// The names of types that the crates give more than once.
pub fn shared_names<'a>(crates: impl IntoIterator<Item = &'a Crate>) -> SharedNames {
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in crates.into_iter().flat_map(|it| it.modules.values()) {
        for name in module.items.iter().filter_map(type_name) {
            named.entry(name).or_default().push(module.file.clone());
        }
    }
    let types = named.values().map(Vec::len).sum();
    named.retain(|_, files| files.len() > 1);
    SharedNames { types, shared: named }
}

fn type_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Enum(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

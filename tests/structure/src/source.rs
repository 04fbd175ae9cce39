//! A crate as its modules and the items they define.

use crate::references::is_test_only;
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::{Attribute, Expr, Item, ItemMod, Lit, Meta, UseTree, Visibility};

/// The path of a module, without the crate's name.
pub(crate) type ModulePath = Vec<String>;

/// A crate that was read.
#[derive(Debug)]
pub struct Crate {
    pub(crate) modules: BTreeMap<ModulePath, Module>,
}

/// A module, in a file of its own or inline.
#[derive(Debug)]
pub(crate) struct Module {
    /// Relative to the directory of the crate's sources, with `/` between its parts.
    pub(crate) file: String,
    /// What it defines, tests left out.
    pub(crate) items: Vec<Item>,
    pub(crate) names: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
}

/// One name that a `use` brings into a module.
#[derive(Debug)]
pub(crate) struct Import {
    /// The name, or `*`.
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
    pub(crate) is_reexport: bool,
}

impl Crate {
    /// Reads the crate whose sources are in `directory`.
    ///
    /// # Errors
    /// If a file cannot be read or is not Rust.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut reading = Reading { directory, modules: BTreeMap::new() };
        reading.file("lib.rs", Vec::new())?;
        Ok(Self { modules: reading.modules })
    }

    /// Every file, relative to the directory of the sources.
    pub fn files(&self) -> BTreeSet<&str> {
        self.modules.values().map(|module| module.file.as_str()).collect()
    }
}

struct Reading<'a> {
    directory: &'a Path,
    modules: BTreeMap<ModulePath, Module>,
}

impl Reading<'_> {
    fn file(&mut self, file: &str, path: ModulePath) -> Result<()> {
        let text =
            fs::read_to_string(self.directory.join(file)).with_context(|| format!("reading {file}"))?;
        let syntax = syn::parse_file(&text).with_context(|| format!("parsing {file}"))?;
        self.module(file, path, syntax.items)
    }

    fn module(&mut self, file: &str, path: ModulePath, items: Vec<Item>) -> Result<()> {
        let mut module =
            Module { file: file.to_owned(), items: Vec::new(), names: BTreeSet::new(), imports: Vec::new() };
        for item in items {
            match item {
                item if is_test_only(attributes(&item)) => {}
                Item::Mod(child) => self.child(file, &path, child)?,
                Item::Use(import) => {
                    let is_reexport = !matches!(import.vis, Visibility::Inherited);
                    flatten(&import.tree, &mut Vec::new(), is_reexport, &mut module.imports);
                }
                item => {
                    module.names.extend(name(&item));
                    module.items.push(item);
                }
            }
        }
        self.modules.insert(path, module);
        Ok(())
    }

    fn child(&mut self, file: &str, parent: &ModulePath, child: ItemMod) -> Result<()> {
        let name = child.ident.to_string();
        let path = [parent.as_slice(), std::slice::from_ref(&name)].concat();
        match child.content {
            Some((_, items)) => self.module(file, path, items),
            None => self.file(&self.file_of(file, &name, &child.attrs)?, path),
        }
    }

    /// The file of the module `name` that `parent` declares.
    fn file_of(&self, parent: &str, name: &str, attributes: &[Attribute]) -> Result<String> {
        let parent = Path::new(parent);
        let directory = parent.parent().unwrap_or(Path::new("")).to_owned();
        let below = match parent.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "mod") | None => directory.clone(),
            Some(stem) => directory.join(stem),
        };
        let named = attributes.iter().find_map(path_attribute).map(|path| directory.join(path));
        let candidates =
            [named.unwrap_or_default(), below.join(format!("{name}.rs")), below.join(name).join("mod.rs")];
        let found = candidates.into_iter().find(|file| !file.as_os_str().is_empty() && self.exists(file));
        let found =
            found.with_context(|| format!("no file for the module {name} of {}", parent.display()))?;
        Ok(found.to_string_lossy().replace('\\', "/"))
    }

    fn exists(&self, file: &PathBuf) -> bool {
        self.directory.join(file).is_file()
    }
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        Expr::Lit(value) if pair.path.is_ident("path") => match &value.lit {
            Lit::Str(path) => Some(path.value()),
            _ => None,
        },
        _ => None,
    }
}

fn flatten(tree: &UseTree, prefix: &mut Vec<String>, is_reexport: bool, imports: &mut Vec<Import>) {
    let mut add = |name: String, last: Option<String>| {
        let path = prefix.iter().cloned().chain(last).collect();
        imports.push(Import { name, path, is_reexport });
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, is_reexport, imports);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => add(prefix.last().cloned().unwrap_or_default(), None),
        UseTree::Name(name) => add(name.ident.to_string(), Some(name.ident.to_string())),
        UseTree::Rename(rename) => add(rename.rename.to_string(), Some(rename.ident.to_string())),
        UseTree::Glob(_) => add("*".to_owned(), None),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, prefix, is_reexport, imports));
        }
    }
}

fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

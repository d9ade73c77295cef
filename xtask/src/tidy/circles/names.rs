//! The names that a Rust file uses: its imports, what it hands on, and every path in its code.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMod, ItemUse, UseTree, Visibility};

/// A path as it is written, and the name by which the file calls its end.
pub struct Import {
    pub path: Vec<String>,
    pub name: String,
}

/// What one file, or one module in it, says of others.
#[derive(Default)]
pub struct Names {
    /// `use` without `pub`.
    pub imports: Vec<Import>,
    /// `pub use`; a glob has the name `*`.
    pub handed_on: Vec<Import>,
    /// Paths of two parts and more in code.
    pub paths: Vec<Vec<String>>,
    /// Names that stand alone in code: they may be imported ones.
    pub used: BTreeSet<String>,
    /// Names of the items that it defines.
    pub defined: BTreeSet<String>,
    /// Modules within the file.
    pub inner: Vec<(String, Names)>,
}

impl Names {
    pub fn of(file: &File) -> Self {
        let mut names = Self::default();
        file.items.iter().for_each(|item| names.visit_item(item));
        names
    }

    fn add(&mut self, item: &ItemUse) {
        let mut found = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut found);
        match item.vis {
            Visibility::Inherited => self.imports.append(&mut found),
            _ => self.handed_on.append(&mut found),
        }
    }
}

fn flatten(tree: &UseTree, before: &mut Vec<String>, found: &mut Vec<Import>) {
    let mut end = |last: Option<String>, name: String| {
        let path = before.iter().cloned().chain(last).collect();
        found.push(Import { path, name });
    };
    match tree {
        UseTree::Name(name) if name.ident == "self" => {
            end(None, before.last().cloned().unwrap_or_default());
        }
        UseTree::Name(name) => end(Some(name.ident.to_string()), name.ident.to_string()),
        UseTree::Rename(rename) => end(Some(rename.ident.to_string()), rename.rename.to_string()),
        UseTree::Glob(_) => end(None, "*".to_owned()),
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, found)),
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if attribute.path().is_ident("cfg") => {
            list.tokens.to_string() == "test"
        }
        _ => attribute.path().is_ident("test"),
    })
}

fn described(item: &Item) -> (&[Attribute], Option<&syn::Ident>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(&item.ident)),
        Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        Item::Impl(item) => (&item.attrs, None),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        Item::Mod(item) => (&item.attrs, Some(&item.ident)),
        Item::Static(item) => (&item.attrs, Some(&item.ident)),
        Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        Item::Type(item) => (&item.attrs, Some(&item.ident)),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = described(item);
        if !is_for_tests(attributes) {
            self.defined.extend(name.map(ToString::to_string));
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add(item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if let Some((_, items)) = &item.content {
            let mut inner = Self::default();
            items.iter().for_each(|item| inner.visit_item(item));
            self.inner.push((item.ident.to_string(), inner));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.used.extend(parts.first().cloned());
        if parts.len() > 1 && path.leading_colon.is_none() {
            self.paths.push(parts);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        // What a macro is given is often code.
        add_words(called.tokens.clone(), &mut self.used);
    }
}

fn add_words(tokens: proc_macro2::TokenStream, used: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            proc_macro2::TokenTree::Ident(word) => drop(used.insert(word.to_string())),
            proc_macro2::TokenTree::Group(group) => add_words(group.stream(), used),
            _ => {}
        }
    }
}

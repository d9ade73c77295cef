//! The modules of a crate, and which file a path in one of them leads to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::graph::Imports;
use super::names::{Import, Names};

type ModulePath = Vec<String>;

/// Re-exports of re-exports that are followed.
const STEPS_MAX: usize = 16;

/// Every module by its path from the crate's root.
pub struct Modules(BTreeMap<ModulePath, Module>);

struct Module {
    file: PathBuf,
    names: Names,
}

impl Modules {
    pub fn parse(files: &BTreeMap<PathBuf, &str>) -> Result<Self> {
        let mut modules = Self(BTreeMap::new());
        for (file, text) in files {
            let Some(path) = module_path(file) else { continue };
            let parsed =
                syn::parse_file(text).with_context(|| format!("parse {}", file.display()))?;
            modules.add(path, file, Names::of(&parsed));
        }
        Ok(modules)
    }

    fn add(&mut self, path: ModulePath, file: &Path, mut names: Names) {
        for (name, inner) in std::mem::take(&mut names.inner) {
            let path = path.iter().cloned().chain([name]).collect();
            self.add(path, file, inner);
        }
        self.0.insert(path, Module { file: file.to_owned(), names });
    }

    /// What each file imports of others. A name that a file only hands on is no import of it.
    pub fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (path, module) in &self.0 {
            let entry = imports.entry(module.file.clone()).or_default();
            let mut add = |target: Option<(PathBuf, String)>| {
                if let Some((file, name)) = target.filter(|(file, _)| *file != module.file) {
                    entry.entry(file).or_default().insert(name);
                }
            };
            let names = &module.names;
            let handed_on = names.handed_on.iter().filter(|one| names.used.contains(&one.name));
            for import in names.imports.iter().chain(handed_on) {
                let end = (import.name == "*").then(|| "*".to_owned());
                add(self.target(path, &import.path, end));
            }
            for written in &names.paths {
                let called = names.imports.iter().chain(&names.handed_on);
                let called = called.into_iter().find(|import| import.name == written[0]);
                match called {
                    Some(import) => {
                        let whole: Vec<_> =
                            import.path.iter().chain(&written[1..]).cloned().collect();
                        add(self.target(path, &whole, None));
                    }
                    None => add(self.target(path, written, None)),
                }
            }
        }
        imports
    }

    /// The file that a path leads to, and the name that it has there.
    fn target(
        &self,
        from: &[String],
        path: &[String],
        end: Option<String>,
    ) -> Option<(PathBuf, String)> {
        let absolute = self.absolute(from, path)?;
        self.follow(&absolute, 0).map(|(file, name)| (file, end.unwrap_or(name)))
    }

    /// The path from the crate's root; none if it leads out of the crate.
    fn absolute(&self, from: &[String], path: &[String]) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        let mut absolute = match first.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => from.to_vec(),
            name => {
                let child: ModulePath = from.iter().cloned().chain([name.to_owned()]).collect();
                self.0.contains_key(&child).then(|| from.to_vec())?
            }
        };
        if !["crate", "self", "super"].contains(&first.as_str()) {
            absolute.push(first.clone());
        }
        if first == "super" {
            absolute.pop()?;
        }
        let mut rest = rest;
        while let Some((_, after)) = rest.split_first().filter(|(part, _)| *part == "super") {
            absolute.pop()?;
            rest = after;
        }
        absolute.extend(rest.iter().cloned());
        Some(absolute)
    }

    fn follow(&self, absolute: &[String], steps: usize) -> Option<(PathBuf, String)> {
        if steps > STEPS_MAX {
            return None;
        }
        let depth = (0..=absolute.len()).rev().find(|&n| self.0.contains_key(&absolute[..n]))?;
        let (path, module) = self.0.get_key_value(&absolute[..depth])?;
        let Some((name, after)) = absolute[depth..].split_first() else {
            return Some((module.file.clone(), path.last().cloned().unwrap_or_default()));
        };
        let names = &module.names;
        let onward = |import: &Import| -> Option<(PathBuf, String)> {
            let mut whole = self.absolute(path, &import.path)?;
            if import.name == "*" {
                whole.push(name.clone());
            }
            whole.extend(after.iter().cloned());
            self.follow(&whole, steps + 1)
        };
        let by_name = names.handed_on.iter().chain(&names.imports).find(|one| one.name == *name);
        if let Some(import) = by_name {
            return onward(import);
        }
        for glob in names.handed_on.iter().filter(|one| one.name == "*") {
            let defines = self.absolute(path, &glob.path).and_then(|path| self.0.get(&path));
            // The glob is the only way to a name that its module has and this one does not.
            if defines.is_some_and(|module| module.names.defined.contains(name)) {
                return onward(glob);
            }
        }
        Some((module.file.clone(), name.clone()))
    }
}

/// The path of the module that a file is; none for programs next to the library.
fn module_path(file: &Path) -> Option<ModulePath> {
    let mut parts: ModulePath =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match parts.last().map(String::as_str) {
        Some("lib" | "main") if parts.len() == 1 => parts.clear(),
        Some("mod") => drop(parts.pop()),
        _ if parts.first().is_some_and(|part| part == "bin") => return None,
        _ => {}
    }
    Some(parts)
}

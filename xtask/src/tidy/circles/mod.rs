//! Files of a crate import one another in one direction: a circle of files is one thing in several
//! places, and none of them can be read first.

mod graph;
mod modules;
mod names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::source::Source;
use crate::workspace::Workspace;
use modules::Modules;

/// Crates whose files form no circle but those listed.
const CHECKED: [&str; 7] = [
    "tine-fs",
    "tine-fuse",
    "tine-memory",
    "tine-service",
    "tine-store",
    "tine-sys",
    "tine-values",
];

/// Circles that stay, by their files' paths from the crate's `src`, each with its reason.
const LISTED: &[(&str, &[&str], &str)] = &[
    ("tine-store", &["table/cursor.rs", "table/diff.rs", "table/read.rs"], CONTAINER),
    ("tine-values", &["engine/iter.rs", "engine/tree.rs"], CONTAINER),
    ("tine-values", &["engine/node.rs", "engine/shape.rs"], "a node and the trait of its shapes"),
    ("tine-values", &["hash/entry.rs", "hash/map.rs"], CONTAINER),
    ("tine-values", &["ord/entry.rs", "ord/iter.rs", "ord/map.rs"], CONTAINER),
    ("tine-values", &["seq/iter.rs", "seq/mod.rs"], CONTAINER),
];

const CONTAINER: &str = "a container and its iterator";

/// One finding a circle that is not listed, and one a listed circle that is gone.
pub fn check(workspace: &Workspace, sources: &[Source]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for member in workspace.members().filter(|member| CHECKED.contains(&member.name())) {
        let directory = member.directory().strip_prefix(&workspace.root)?.join("src");
        let files: BTreeMap<PathBuf, &str> = sources
            .iter()
            .filter(|source| source.is_rust())
            .filter_map(|source| {
                let path = source.path.strip_prefix(&directory).ok()?;
                Some((path.to_owned(), source.text.as_str()))
            })
            .collect();
        findings.extend(of_crate(member.name(), &files)?);
    }
    Ok(findings)
}

fn of_crate(name: &str, files: &BTreeMap<PathBuf, &str>) -> Result<Vec<String>> {
    let modules = Modules::parse(files)?;
    let imports = modules.imports();
    let mut listed: Vec<_> =
        LISTED.iter().filter(|(of, files, _)| *of == name && !files.is_empty()).collect();
    let mut findings = Vec::new();
    for circle in graph::circles(&imports) {
        let known = listed.iter().position(|(_, files, _)| {
            circle.iter().map(|file| file.as_path()).eq(files.iter().map(Path::new))
        });
        match known {
            Some(at) => drop(listed.swap_remove(at)),
            None => findings.push(finding(name, &circle, &imports)),
        }
    }
    findings.extend(listed.iter().map(|(_, files, _)| {
        format!("{name}: {} are listed as a circle and form none; unlist them", files.join(", "))
    }));
    Ok(findings)
}

/// Names the imports within the circle, so that one of them can be chosen to go.
fn finding(name: &str, circle: &[&PathBuf], imports: &graph::Imports) -> String {
    let mut text = format!("{name}: {} files import one another in a circle:", circle.len());
    for from in circle {
        for (to, names) in imports[*from].iter().filter(|(to, _)| circle.contains(to)) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            text.push_str(&format!(
                "\n    {} -> {} ({})",
                from.display(),
                to.display(),
                names.join(", ")
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
        of_crate("a-crate", &files).unwrap()
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let found = findings(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B; fn f(_: &super::a::A) {}"),
        ]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("a.rs -> b.rs (B)"), "{found:?}");
        assert!(found[0].contains("b.rs -> a.rs (A)"), "{found:?}");
    }

    #[test]
    fn a_name_that_is_handed_on_leads_to_the_file_that_defines_it() {
        let handed_on = "mod c; mod d; pub use d::D; pub use c::*;";
        let d = "use super::C; pub struct D(C);";
        let straight = findings(&[
            ("lib.rs", "mod m;"),
            ("m/mod.rs", handed_on),
            ("m/c.rs", "pub struct C;"),
            ("m/d.rs", d),
        ]);
        assert!(straight.is_empty(), "{straight:?}");
        let round = findings(&[
            ("lib.rs", "mod m;"),
            ("m/mod.rs", handed_on),
            ("m/c.rs", "use crate::m::D; pub struct C(Option<D>);"),
            ("m/d.rs", d),
        ]);
        assert_eq!(round.len(), 1);
    }

    #[test]
    fn tests_and_modules_of_one_file_are_no_circle() {
        let found = findings(&[
            ("lib.rs", "mod a; mod b; mod inner { use super::x; } fn x() {}"),
            ("a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }"),
            ("b.rs", "use crate::a::A; pub struct B(A);"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}

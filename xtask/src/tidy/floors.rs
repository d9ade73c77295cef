//! A part of `tine-service` imports only parts on lower floors.
//!
//! The lists of allowed imports are stricter than an order: a command's process reaches the store
//! through `client` alone, and `copy` is for the holder.

use std::path::Component;

use super::source::{Source, code_only};

const ROOT: &str = "crates/service/src";

/// Each part and what it may import, from the ground up.
const FLOORS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("machine", &["protocol"]),
    ("patch", &["protocol"]),
    ("postgres", &["protocol", "machine"]),
    ("copy", &["protocol", "machine", "postgres"]),
    ("holder", &["protocol", "machine", "copy"]),
    ("client", &["protocol", "machine", "holder"]),
    ("commands", &["protocol", "machine", "patch", "postgres", "client"]),
];

/// One finding an import of a part that is not below, and one a part without a floor.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust() && source.is_under(&[ROOT])) {
        let Some(part) = part(source) else { continue };
        let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == part) else {
            findings.push(format!(
                "{}: `{part}` has no floor; give it one in xtask/src/tidy/floors.rs and ARCHITECTURE.md",
                source.path.display()
            ));
            continue;
        };
        for (line, imported) in imports(&source.text) {
            if imported != part && is_part(&imported) && !below.contains(&imported.as_str()) {
                findings.push(format!(
                    "{}:{line}: `{part}` imports `{imported}`, which is not below it; move what both need down",
                    source.path.display()
                ));
            }
        }
    }
    findings
}

/// The directory below the root that a file lies in; none for the files of the root itself.
fn part(source: &Source) -> Option<String> {
    let below = source.path.strip_prefix(ROOT).ok()?;
    let mut components = below.components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(directory)), Some(_)) => {
            Some(directory.to_string_lossy().into_owned())
        }
        _ => None,
    }
}

fn is_part(name: &str) -> bool {
    FLOORS.iter().any(|(part, _)| *part == name)
}

/// The first segments of paths from the crate's root, with their lines. What the root re-exports
/// counts as the part `client`, `holder` or `protocol` by its name there, so that files name parts.
fn imports(text: &str) -> Vec<(usize, String)> {
    let code = code_only(text);
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        for after in line.split("crate::").skip(1) {
            let names = after.trim_start_matches('{').split(',').map(str::trim);
            for name in names.take(if after.starts_with('{') { usize::MAX } else { 1 }) {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
                let name = &name[..end.unwrap_or(name.len())];
                let part = match name {
                    "Context" | "Execute" => "holder",
                    "Client" | "Access" | "Connection" => "client",
                    name => name,
                };
                found.push((index + 1, part.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&[Source { path: path.into(), text: text.into() }]).len()
    }

    #[test]
    fn commands_reach_a_store_through_the_client_alone() {
        let command = "crates/service/src/commands/branch.rs";
        assert_eq!(findings(command, "use crate::client::Client;\nuse crate::protocol::Ask;"), 0);
        assert_eq!(findings(command, "use crate::holder::Context;"), 1);
        assert_eq!(findings(command, "use crate::{Context, protocol};"), 1);
        assert_eq!(findings(command, "// crate::holder is elsewhere"), 0);
    }

    #[test]
    fn the_holder_knows_no_commands_and_a_new_part_needs_a_floor() {
        let holder = "crates/service/src/holder/serve.rs";
        assert_eq!(findings(holder, "fn f() { crate::commands::servers::list() }"), 1);
        assert_eq!(findings("crates/service/src/extra/a.rs", ""), 1);
        assert_eq!(findings("crates/service/src/lib.rs", "use crate::commands;"), 0);
    }
}

//! `unsafe` is allowed in three places and two files, each use with its reason. Every other crate
//! forbids it.

use std::path::Path;

use super::source::{Source, code_only};
use crate::workspace::Workspace;

const ALLOWED: [&str; 5] = [
    "crates/sys",
    "crates/memory",
    "python",
    // Peers of the benchmarks whose own calls are `unsafe`.
    "crates/bench/src/kv/peers/open.rs",
    "crates/bench/src/memory/peers.rs",
];
const FORBID: &str = "#![forbid(unsafe_code)]";
/// For a crate in which single files allow it.
const DENY: &str = "#![deny(unsafe_code)]";

/// Findings about stray `unsafe`, missing reasons and crates that do not forbid it.
pub fn check(workspace: &Workspace, sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        if source.is_under(&ALLOWED) {
            findings.extend(without_reason(source));
        } else {
            findings.extend(stray(source));
        }
    }
    for member in workspace.members() {
        for root in member.crate_roots() {
            let path = root.strip_prefix(&workspace.root).unwrap_or(root);
            if ALLOWED.iter().any(|allowed| path.starts_with(allowed)) {
                continue;
            }
            let lint = if has_exception(path) { DENY } else { FORBID };
            let has_lint =
                |source: &Source| source.text.contains(FORBID) || source.text.contains(lint);
            if !sources.iter().any(|source| source.path == path && has_lint(source)) {
                findings.push(format!("{}: lacks `{lint}`", path.display()));
            }
        }
    }
    findings
}

/// Returns `true` if a file beneath the directory of a crate root is allowed to have `unsafe`.
fn has_exception(root: &Path) -> bool {
    root.parent().is_some_and(|directory| {
        ALLOWED.iter().any(|allowed| Path::new(allowed).starts_with(directory))
    })
}

fn stray(source: &Source) -> Vec<String> {
    let code = code_only(&source.text);
    lines_with_unsafe(&code)
        .map(|(number, _)| {
            format!(
                "{}:{}: `unsafe` outside {}",
                source.path.display(),
                number + 1,
                ALLOWED.join(", ")
            )
        })
        .collect()
}

/// Declarations, whose `# Safety` section is the compiler's lint.
const DOCUMENTED: [&str; 3] = ["unsafe fn", "unsafe extern", "unsafe trait"];

/// Blocks and implementations need a `SAFETY:` comment above.
fn without_reason(source: &Source) -> Vec<String> {
    let code = code_only(&source.text);
    let text: Vec<&str> = source.text.lines().collect();
    lines_with_unsafe(&code)
        .filter(|(_, line)| !DOCUMENTED.iter().any(|declared| line.contains(declared)))
        .filter(|(number, _)| !has_reason(&text, *number))
        .map(|(number, _)| {
            format!(
                "{}:{}: `unsafe` without a `// SAFETY:` above it",
                source.path.display(),
                number + 1
            )
        })
        .collect()
}

/// Whether the comment just above the statement around this line has the reason. The statement may
/// have begun a few lines earlier.
fn has_reason(text: &[&str], number: usize) -> bool {
    const STATEMENT_LINES: usize = 4;
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    if text[number].contains("SAFETY:") {
        return true;
    }
    let mut above = number;
    for _ in 0..STATEMENT_LINES {
        if above == 0 {
            return false;
        }
        above -= 1;
        if is_comment(text[above]) {
            let first = (0..=above).rev().take_while(|&line| is_comment(text[line])).last();
            return text[first.unwrap_or(above)..=above]
                .iter()
                .any(|line| line.contains("SAFETY:"));
        }
    }
    false
}

fn lines_with_unsafe(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.lines()
        .enumerate()
        .filter(move |(_, line)| line.split(|c| !is_word(c)).any(|word| word == "unsafe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_crate_with_files_that_are_listed_may_deny_instead_of_forbid() {
        assert!(has_exception(Path::new("crates/bench/src/main.rs")));
        assert!(!has_exception(Path::new("crates/store/src/lib.rs")));
    }

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn unsafe_in_code_is_found_but_not_in_words_about_it() {
        let text = "// unsafe\nlet s = \"unsafe\";\n#![forbid(unsafe_code)]\nunsafe { f() }\n";
        assert_eq!(stray(&source("crates/fs/src/a.rs", text)).len(), 1);
    }

    #[test]
    fn a_block_needs_its_reason_directly_above() {
        let with =
            "// SAFETY: the pointer is ours,\n// and aligned.\nlet a =\n    unsafe { f() };\n";
        let without = "// A note.\nlet a = unsafe { f() };\n";
        let far = "// SAFETY: of another.\nx();\n\n\n\n\nunsafe { f() };\n";
        assert!(without_reason(&source("crates/sys/src/a.rs", with)).is_empty());
        assert_eq!(without_reason(&source("crates/sys/src/a.rs", without)).len(), 1);
        assert_eq!(without_reason(&source("crates/sys/src/a.rs", far)).len(), 1);
    }
}

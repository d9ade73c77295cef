//! Source files as the rules see them: text, and Rust code with comments and strings blanked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// A text file of the repository.
pub struct Source {
    /// Relative to the root.
    pub path: PathBuf,
    /// As it is on disk.
    pub text: String,
}

impl Source {
    /// Reads every text file that git tracks or would track.
    pub fn load_all(workspace: &Workspace) -> Result<Vec<Self>> {
        let mut sources = Vec::new();
        for path in workspace.files()? {
            let bytes = std::fs::read(workspace.root.join(&path))
                .with_context(|| format!("read {}", path.display()))?;
            if let Ok(text) = String::from_utf8(bytes) {
                sources.push(Self { path, text });
            }
        }
        Ok(sources)
    }

    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }

    /// Whether it lies under one of the directories.
    pub fn is_under(&self, directories: &[&str]) -> bool {
        directories.iter().any(|directory| self.path.starts_with(Path::new(directory)))
    }
}

/// Rust code with every character of comments, strings and character literals made a blank; lines
/// stay.
pub fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal_length(rest, code.chars().next_back());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// Bytes of the comment or literal that `rest` begins with; 0 when it begins with code.
fn literal_length(rest: &str, before: Option<char>) -> usize {
    let is_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment_length(rest)
    } else if rest.starts_with('"') {
        string_length(rest)
    } else if rest.starts_with('\'') {
        character_length(rest)
    } else if rest.starts_with('r') && !is_word {
        raw_string_length(rest)
    } else {
        0
    }
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal; a lifetime is code.
fn character_length(rest: &str) -> usize {
    let inner = &rest[1..];
    if inner.starts_with('\\') {
        return inner[2.min(inner.len())..].find('\'').map_or(0, |end| end + 4);
    }
    match inner.chars().next() {
        Some(c) if inner[c.len_utf8()..].starts_with('\'') => c.len_utf8() + 2,
        _ => 0,
    }
}

fn raw_string_length(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|&byte| byte == b'#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let body = 2 + hashes;
    rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        let text = "let a = \"x // \\\" y\"; // note\n/* one /* two */ */ b('\\'', 'z', r#\"q\"#);\nfn f<'a>() {}";
        let code = code_only(text);
        assert_eq!(code.lines().count(), 3);
        assert!(!code.contains("note") && !code.contains('x') && !code.contains("one"));
        assert!(!code.contains('q') && !code.contains('z'));
        assert!(code.contains("fn f<'a>() {}") && code.contains("b(") && code.contains("let a ="));
    }
}

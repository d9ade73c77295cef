//! Comments wrap at 100 columns; rustfmt leaves them as they are.

use super::source::{Source, code_only};

const COLUMNS_MAX: usize = 100;

/// One finding a comment line of Rust or Python that is too wide.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        let rust = source.is_rust().then(|| code_only(&source.text));
        for (at, line) in source.text.lines().enumerate() {
            let is_comment = match &rust {
                // What is no code and begins with slashes is a comment, not a string.
                Some(code) => {
                    line.trim_start().starts_with("//")
                        && code.lines().nth(at).is_some_and(|code| code.trim().is_empty())
                }
                None => {
                    source.path.extension().is_some_and(|extension| extension == "py")
                        && line.trim_start().starts_with('#')
                }
            };
            let columns = line.chars().count();
            if is_comment && columns > COLUMNS_MAX {
                findings.push(format!(
                    "{}:{}: a comment of {columns} columns; wrap it at {COLUMNS_MAX}",
                    source.path.display(),
                    at + 1
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_comments_are_found_and_wide_code_is_left_to_rustfmt() {
        let wide = "x".repeat(COLUMNS_MAX);
        let text = format!("/// {wide}\nlet a = \"{wide}\";\nlet b = \"\n// {wide}\";\n// short");
        let found = check(&[Source { path: "src/a.rs".into(), text }]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("src/a.rs:1: a comment of 104 columns"), "{found:?}");
    }
}

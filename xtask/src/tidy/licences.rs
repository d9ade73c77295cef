//! Every dependency has a licence of the list in `deny.toml`, which cargo-deny reads as well.

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// One finding a package whose licence is not allowed, or that names none.
pub fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let path = workspace.root.join("deny.toml");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let allowed = allowed(&text)?;
    let mut findings = Vec::new();
    for package in workspace.packages() {
        let (name, version) = (package.name(), package.version());
        match package.licence() {
            Some(licence) if is_allowed(licence, &allowed) => {}
            Some(licence) => findings
                .push(format!("{name} {version}: licence `{licence}` is not allowed by deny.toml")),
            None => findings.push(format!("{name} {version}: names no licence")),
        }
    }
    Ok(findings)
}

/// The strings of the `allow = […]` list.
fn allowed(text: &str) -> Result<Vec<&str>> {
    let Some((_, list)) = text.split_once("\nallow = [") else {
        bail!("deny.toml has no list `allow = […]`");
    };
    let list = list.split(']').next().unwrap_or_default();
    Ok(list.split('"').skip(1).step_by(2).collect())
}

/// Evaluates an SPDX expression: OR binds weaker than AND, parentheses bind strongest. The old
/// `A/B` means OR.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, allowed };
    parser.any_of() && parser.tokens.is_empty()
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    allowed: &'a [&'a str],
}

impl Parser<'_> {
    fn any_of(&mut self) -> bool {
        let mut result = self.all_of();
        while self.accept("OR") {
            result |= self.all_of();
        }
        result
    }

    fn all_of(&mut self) -> bool {
        let mut result = self.one();
        while self.accept("AND") {
            result &= self.one();
        }
        result
    }

    fn one(&mut self) -> bool {
        if self.accept("(") {
            let result = self.any_of();
            return self.accept(")") && result;
        }
        let Some((licence, rest)) = self.tokens.split_first() else {
            return false;
        };
        self.tokens = rest;
        if self.accept("WITH") {
            let Some((exception, rest)) = self.tokens.split_first() else {
                return false;
            };
            self.tokens = rest;
            return self.allowed.contains(&format!("{licence} WITH {exception}").as_str());
        }
        self.allowed.contains(licence)
    }

    fn accept(&mut self, token: &str) -> bool {
        let found = self.tokens.first() == Some(&token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_alternative_is_enough_and_a_conjunction_needs_all() {
        let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        assert!(is_allowed("GPL-3.0 OR MIT", &allowed));
        assert!(is_allowed("MIT/Apache-2.0", &allowed));
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0", &allowed));
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception", &allowed));
        assert!(!is_allowed("MIT AND GPL-3.0", &allowed));
        assert!(!is_allowed("Apache-2.0", &allowed));
        assert!(!is_allowed("(MIT", &allowed));
        assert!(!is_allowed("", &allowed));
    }

    #[test]
    fn the_list_is_read_from_the_text_of_deny_toml() {
        let text = "[licenses]\nallow = [\n    \"MIT\", # as is\n    \"ISC\",\n]\n";
        assert_eq!(allowed(text).unwrap(), ["MIT", "ISC"]);
        assert!(allowed("[licenses]\n").is_err());
    }
}

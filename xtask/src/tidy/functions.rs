//! A function does one thing: more than 70 lines are two things, unless they are the arms of one
//! flat `match`.

use std::path::Path;

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Expr, ImplItemFn, ItemFn, ItemMod, Signature, Stmt, TraitItemFn};

use super::source::Source;

const LINES_MAX: usize = 70;

/// Lines of an arm of a flat `match`.
const ARM_LINES_MAX: usize = 12;

/// One finding a function outside of tests that is too long.
pub fn check(sources: &[Source]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let is_checked = |source: &&Source| {
        source.is_rust() && !source.path.iter().any(|part| part == "tests" || part == "fuzz")
    };
    for source in sources.iter().filter(is_checked) {
        let file = syn::parse_file(&source.text)
            .with_context(|| format!("parse {}", source.path.display()))?;
        let mut long = Long { path: &source.path, findings: &mut findings };
        long.visit_file(&file);
    }
    Ok(findings)
}

struct Long<'a> {
    path: &'a Path,
    findings: &'a mut Vec<String>,
}

impl Long<'_> {
    fn look(&mut self, signature: &Signature, block: &Block) {
        let lines = lines(block);
        if lines > LINES_MAX && !is_flat_match(block) {
            self.findings.push(format!(
                "{}:{}: `{}` has {lines} lines, more than {LINES_MAX}; split it by what it does",
                self.path.display(),
                signature.ident.span().start().line,
                signature.ident
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Long<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.look(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.look(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.look(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }
}

fn lines(spanned: &impl Spanned) -> usize {
    let span = spanned.span();
    span.end().line - span.start().line + 1
}

/// Whether all but one statement are short, and that one is a `match` of short arms.
fn is_flat_match(block: &Block) -> bool {
    let longest = block.stmts.iter().max_by_key(lines);
    let Some(Stmt::Expr(longest, _)) = longest else { return false };
    let found = match longest {
        Expr::Match(found) => found,
        Expr::Call(call) => match call.args.first() {
            Some(Expr::Match(found)) => found,
            _ => return false,
        },
        _ => return false,
    };
    lines(block) - lines(found) <= LINES_MAX
        && found.arms.iter().all(|arm| lines(arm) <= ARM_LINES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> usize {
        let text = format!("fn f() {{\n{body}\n}}\n");
        check(&[Source { path: "src/a.rs".into(), text }]).unwrap().len()
    }

    #[test]
    fn long_functions_are_found_and_flat_matches_are_not() {
        assert_eq!(found(&"step();\n".repeat(LINES_MAX - 3)), 0);
        assert_eq!(found(&"step();\n".repeat(LINES_MAX)), 1);
        let arms = "1 => step(),\n".repeat(LINES_MAX);
        assert_eq!(found(&format!("match x {{\n{arms}}}")), 0);
        let arm = format!("1 => {{\n{}}}\n", "step();\n".repeat(ARM_LINES_MAX));
        assert_eq!(found(&format!("match x {{\n{arms}{arm}}}")), 1);
    }
}

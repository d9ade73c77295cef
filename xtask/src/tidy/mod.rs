//! `cargo xtask tidy`: the rules that the compiler does not know.
//!
//! Each rule looks at the files of the repository or at the dependency graph and gives findings; a
//! finding names the place, what is wrong and what to do. No finding, no words.

mod circles;
mod cli_words;
mod comments;
mod floors;
mod functions;
mod layers;
mod length;
mod licences;
mod source;
mod unsafety;
mod words;

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;
use source::Source;

/// Checks every rule and prints the findings.
pub fn run() -> Result<ExitCode> {
    let findings = check()?;
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} findings", findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every finding of every rule.
pub fn check() -> Result<Vec<String>> {
    let workspace = Workspace::load()?;
    let sources = Source::load_all(&workspace)?;
    let mut findings = layers::check(&workspace);
    findings.extend(floors::check(&sources));
    findings.extend(cli_words::check(&sources));
    findings.extend(unsafety::check(&workspace, &sources));
    findings.extend(length::check(&sources));
    findings.extend(circles::check(&workspace, &sources)?);
    findings.extend(comments::check(&sources));
    findings.extend(functions::check(&sources)?);
    findings.extend(words::check(&sources));
    findings.extend(licences::check(&workspace)?);
    Ok(findings)
}

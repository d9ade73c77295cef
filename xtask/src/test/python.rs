//! The Python face: a virtual environment under `target/`, the module built into it, pytest.

use std::process::Command;

use anyhow::Result;

use super::programs;
use super::tally::{Report, Tally};
use crate::packages::{self, Program};
use crate::process;
use crate::workspace::Workspace;

const NEEDED: &[Program] = &[
    Program { name: "python3", package: "python3" },
    Program { name: "python3-config", package: "python3-dev" },
];

/// Builds and tests `python/`, or names it as not run.
pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let script = workspace.root.join("python/test.sh");
    if !script.is_file() {
        return Ok(());
    }
    println!("\nPython");
    let missing = packages::install(NEEDED);
    if !missing.is_empty() {
        tally.skip(&format!("python: {} could not be installed", missing.join(" ")));
        return Ok(());
    }
    let mut test = programs::limited(&script);
    test.current_dir(&workspace.root).env("CARGO_TARGET_DIR", &workspace.target);
    let start = std::time::Instant::now();
    let output = process::output(&mut test)?;
    let text = programs::text(&output);
    let mut report = parse(&text, start.elapsed().as_secs_f64());
    if !output.status.success() {
        println!("{text}");
        if report.failed.is_empty() {
            report.failed.push(format!(
                "{}: {}",
                process::show(&Command::new(&script)),
                output.status
            ));
        }
    }
    tally.add("python", report);
    Ok(())
}

/// Reads pytest's last line: `3 failed, 12 passed, 1 skipped in 0.12s`, with or without its frame.
fn parse(output: &str, seconds: f64) -> Report {
    let mut report = Report { seconds, ..Report::default() };
    let is_summary = |line: &&str| {
        line.contains(" in ") && (line.contains(" passed") || line.contains(" failed"))
    };
    let Some(summary) = output.lines().rev().find(is_summary) else {
        return report;
    };
    for part in
        summary.trim_matches('=').trim().split(" in ").next().unwrap_or_default().split(", ")
    {
        let Some((count, what)) = part.split_once(' ') else { continue };
        let count: u64 = count.parse().unwrap_or(0);
        match what {
            "passed" => report.passed = count,
            "failed" | "error" | "errors" => {
                report.failed.extend((0..count).map(|n| format!("{what} {}", n + 1)));
            }
            "skipped" => {
                report.skipped.extend((0..count).map(|n| format!("skipped by pytest, {}", n + 1)))
            }
            _ => {}
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_pytest_is_counted() {
        let report = parse("..F\n== 1 failed, 12 passed, 2 skipped in 0.12s ==\n", 1.0);
        assert_eq!((report.passed, report.failed.len(), report.skipped.len()), (12, 1, 2));
        assert_eq!(parse("5 passed in 1.00s\n", 1.0).passed, 5);
        assert_eq!(parse("nothing\n", 1.0).passed, 0);
    }
}

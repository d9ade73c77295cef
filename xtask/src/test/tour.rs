//! The tour in the README: every line works when pasted.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::workspace::{Workspace, cargo};

const HEADING: &str = "## Five minutes";
const FENCE: &str = "```";

/// Runs the first block of commands under the heading in one shell, as a person would paste it;
/// only the build is the test's own. The shell stops at the first line that fails.
pub fn run(workspace: &Workspace) -> Result<()> {
    let readme =
        std::fs::read_to_string(workspace.root.join("README.md")).context("read README.md")?;
    let commands =
        commands(&readme).context("README.md has no block of commands under its tour")?;
    process::run(cargo().args(["build", "--quiet", "--locked", "--package", "tine"]))?;
    let program = workspace.target.join("debug");
    let commands = commands
        .replace("cargo build --release --package tine", ":")
        .replace("$PWD/target/release", &program.to_string_lossy());
    // What the tour makes with `mktemp` goes with this directory.
    let temporary = std::env::temp_dir().join(format!("tine-tour-{}", std::process::id()));
    std::fs::create_dir(&temporary).with_context(|| format!("make {}", temporary.display()))?;
    let mut shell = Command::new("bash");
    shell.args(["-e", "-c", &commands]).current_dir(&workspace.root).env("TMPDIR", &temporary);
    let output = process::output(&mut shell);
    let removed = std::fs::remove_dir_all(&temporary);
    let output = output?;
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(output.status.success(), "{}:\n{}", output.status, said.concat());
    removed.with_context(|| format!("{} stays behind", temporary.display()))?;
    let original_prices = said[0].lines().filter(|line| *line == "price = 10").count();
    ensure!(
        original_prices == 1,
        "the tour does not show that the original is untouched:\n{}",
        said[0]
    );
    Ok(())
}

fn commands(readme: &str) -> Option<&str> {
    let (_, tour) = readme.split_once(HEADING)?;
    let (_, block) = tour.split_once("```sh\n")?;
    block.split(FENCE).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_the_first_block_under_the_heading() {
        let readme = "```sh\nno\n```\n## Five minutes\ntext\n```sh\nyes\n```\n```sh\nlater\n```\n";
        assert_eq!(commands(readme), Some("yes\n"));
        assert_eq!(commands("nothing"), None);
    }
}

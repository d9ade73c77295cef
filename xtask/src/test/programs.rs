//! The test programs of the workspace: built once by cargo, run one by one with a time limit.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::VALUES_FEATURES;
use super::tally::{Report, Tally};
use crate::process;
use crate::tools;
use crate::workspace::{Package, Workspace, cargo};

/// How long a test program may take; then it is killed and counts as failed.
const SECONDS_MAX: u32 = 600;

/// A built test program.
pub struct Program {
    /// Package and target, as in `tine-fs model`.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    directory: PathBuf,
}

impl Program {
    /// The command that runs all its tests as cargo would.
    pub fn command(&self, workspace: &Workspace) -> Command {
        let mut command = limited(&self.path);
        command.arg("--show-output").current_dir(&self.directory);
        command
            .env("CARGO_MANIFEST_DIR", &self.directory)
            .env("PATH", tools::search_path(workspace));
        command
    }
}

/// Builds the tests of the default members and of the benchmarks.
pub fn build(workspace: &Workspace) -> Result<Vec<Program>> {
    let mut build = cargo();
    build.args(["test", "--no-run", "--locked", "--message-format=json-render-diagnostics"]);
    build.args(["--features", VALUES_FEATURES]).stderr(std::process::Stdio::inherit());
    let members: Vec<Package> = tested(workspace).collect();
    for member in &members {
        build.args(["-p", member.name()]);
    }
    let messages = process::capture(&mut build)?;
    let mut programs: Vec<Program> =
        messages.lines().filter_map(|line| program(line, &members)).collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// Runs a test program, keeps its output in `target/test-logs`, and reports it.
pub fn run(workspace: &Workspace, name: &str, command: &mut Command) -> Result<Report> {
    let start = Instant::now();
    let output = process::output(command)?;
    let seconds = start.elapsed().as_secs_f64();
    report(workspace, name, &output, seconds)
}

/// Runs the examples in the documentation.
pub fn doc_tests(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let mut test = cargo();
    test.args(["test", "--doc", "--locked", "--features", VALUES_FEATURES]);
    for member in tested(workspace).filter(|member| member.has_library()) {
        test.args(["-p", member.name()]);
    }
    let name = "documentation";
    tally.add(name, run(workspace, name, &mut test)?);
    Ok(())
}

/// A command under the time limit; the kill reaches what the program started.
pub fn limited(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", &SECONDS_MAX.to_string()]).arg(program);
    command
}

fn tested(workspace: &Workspace) -> impl Iterator<Item = Package<'_>> {
    let bench = workspace.members().filter(|member| member.name() == "tine-bench");
    workspace.default_members().chain(bench)
}

fn program(message: &str, members: &[Package]) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["profile"]["test"] != true {
        return None;
    }
    let path = PathBuf::from(message["executable"].as_str()?);
    let member = members.iter().find(|member| message["package_id"] == member.id())?;
    let target = &message["target"];
    let part = match target["kind"][0].as_str()? {
        "lib" => "unit tests".to_owned(),
        "bin" => format!("{} (binary)", target["name"].as_str()?),
        _ => target["name"].as_str()?.to_owned(),
    };
    let name = format!("{} {part}", member.name());
    Some(Program { name, path, directory: member.directory().to_owned() })
}

/// Both outputs of a program, one after the other.
pub fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

fn report(workspace: &Workspace, name: &str, output: &Output, seconds: f64) -> Result<Report> {
    let text = text(output);
    let logs = workspace.target.join("test-logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
    let log = logs.join(format!("{}.log", name.replace([' ', '/'], "-")));
    std::fs::write(&log, text.as_bytes()).with_context(|| format!("write {}", log.display()))?;

    let mut report = Report::parse(&text, seconds);
    if !output.status.success() {
        println!("---- {name} ----\n{text}");
        if report.failed.is_empty() {
            let killed =
                output.status.signal().is_some() || matches!(output.status.code(), Some(124 | 137));
            let why = if killed { "killed or out of time" } else { "no test was named as failed" };
            report.failed.push(format!("the test program itself: {}, {why}", output.status));
        }
    }
    Ok(report)
}

//! `tine run`: the command between its beginning and what is said afterwards.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tine_service::commands::run::{self, Ended, Entry, Fate, Run};
use tine_service::{Client, Result};

use crate::amount::{count, size};
use crate::output::Output;

/// Runs the command, says what changed, and returns the status to exit with.
pub fn run(client: &Client, run: Run, output: &Output) -> Result<u8> {
    let ended = run::run(client, run, |entry| entering(client.store(), entry, output))?;
    if ended.began {
        output.note(&summary(&ended, output));
    }
    if let Some(error) = &ended.trouble {
        output.error(error);
    }
    Ok(ended.status)
}

/// This program again, as the process that becomes the command.
fn entering(store: &Path, entry: &Entry, output: &Output) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("tine").arg("enter").arg("--store").arg(store).arg("--at").arg(&entry.at);
    if output.is_json() {
        command.arg("--json");
    }
    if entry.read_only {
        command.arg("--read-only");
    }
    command.arg(&entry.name).arg("--").args(&entry.command);
    command
}

fn summary(ended: &Ended, output: &Output) -> Vec<String> {
    let name = &ended.branch;
    let mut lines = Vec::new();
    match &ended.changes {
        None => {}
        Some(changes) if changes.is_empty() => {
            lines.push(format!("tine: nothing changed in {name}"))
        }
        Some(changes) => {
            let bytes = changes.iter().map(|change| change.bytes).sum();
            let paths = count(changes.len() as u64, "path", "paths");
            lines.push(format!("tine: {paths} changed in {name}, {}", size(bytes)));
            lines.extend(output.changes(changes).iter().map(|line| format!("  {line}")));
        }
    }
    if let Some(processes) = &ended.left_behind {
        lines.push(format!(
            "tine: the command left {processes} behind, which may go on to change {name}"
        ));
    }
    lines.push(match ended.fate {
        Fate::Kept if ended.left_behind.is_some() => {
            format!("tine: {name} is kept; `tine delete {name} --force` ends that and discards it")
        }
        Fate::Kept => format!("tine: {name} is kept; `tine delete {name}` discards it"),
        Fate::Discarded => format!("tine: {name} is discarded"),
        Fate::Gone => {
            format!("tine: {name} was deleted or renamed while the command ran; see `tine list`")
        }
    });
    lines
}

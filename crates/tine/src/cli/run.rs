//! `tine run`: the command between its beginning and what is said afterwards.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tine_service::commands::run::{self, Entry, Run};
use tine_service::{Client, Result};

use crate::output::Output;
use crate::summary;

/// Runs the command, says what changed, and returns the status to exit with.
pub fn run(client: &Client, run: Run, output: &Output) -> Result<u8> {
    let ended = run::run(client, run, |entry| entering(client.store(), entry, output))?;
    if ended.began {
        output.note(&summary::of(&ended, output.is_verbose()));
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

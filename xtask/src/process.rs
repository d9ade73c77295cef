//! Running programs: the command line in every error, nothing swallowed.

use std::ffi::OsStr;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// A command line as a person would type it, for messages.
pub fn show(command: &Command) -> String {
    let quote = |part: &OsStr| {
        let part = part.to_string_lossy();
        if part.contains(' ') { format!("'{part}'") } else { part.into_owned() }
    };
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quote)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs with the caller's own input and output; an error unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start `{}`", show(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", show(command));
    }
    Ok(())
}

/// Runs and captures both outputs; an error with what it said unless it succeeds.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}: {}", show(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs and captures both outputs, whatever the exit status.
pub fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("start `{}`", show(command)))
}

/// Sends a signal; one that has ended already is no error.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let sent = number.map_or(Err(Errno::SRCH), |pid| kill_process(pid, signal));
    match sent {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("send a signal to process {pid}")),
    }
}

/// Whether a program is on the search path.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    geteuid().is_root()
}

//! Completions of a shell: its script asks this program, which knows the branches there are.

use clap::CommandFactory;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use tine_service::{Code, Error, Result};

use crate::args::Cli;
use crate::output;

/// The variable by which the script asks. Its value is the name of the shell.
const VARIABLE: &str = "_TINE_COMPLETE";

/// Answers a shell that asks for completions, and ends; returns if none asks.
pub fn answer_if_asked() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).bin("tine").complete();
}

/// Prints the script for a shell.
///
/// # Errors
/// When this program does not know the shell, or the script cannot be printed.
pub fn print(shell: Shell) -> Result<u8> {
    let failed = |error| Error::io("cannot make the completions", error);
    let shells = Shells::builtins();
    let shell = shell.to_string();
    let completer = shells.completer(&shell).ok_or_else(|| {
        Error::new(Code::Unsupported, format!("there are no completions for {shell}"))
    })?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "tine", "tine", "tine", &mut script).map_err(failed)?;
    output::print(&[String::from_utf8_lossy(&script).trim_end().to_owned()]).map(|()| 0)
}

//! Completions of a shell: its script asks this program, which knows the branches there are.

use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use tine_service::{Client, Code, Error, Request, Response, Result};

use crate::args::{Cli, Global};
use crate::{say, settings, verbs};

/// The variable by which the script asks. Its value is the name of the shell.
const VARIABLE: &str = "_TINE_COMPLETE";
/// A key that is pressed is not to wait until another command lets go of the store.
const PATIENCE: Duration = Duration::from_millis(200);

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
    say::print(&[String::from_utf8_lossy(&script).trim_end().to_owned()]).map(|()| 0)
}

/// The branches of the store that the command line so far is about; none where they are not to be had at once.
pub fn branches() -> Vec<CompletionCandidate> {
    names().unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

fn names() -> Result<Vec<String>> {
    let global = Global { store: named_store(), ..Global::default() };
    let path = verbs::store_path(&global)?;
    let client = Client::new(&path, settings::options()?)?.with_patience(PATIENCE);
    match client.call(Request::Names)? {
        Response::Names(names) => Ok(names),
        _ => Ok(Vec::new()),
    }
}

/// What `--store` says among the words that are being completed.
fn named_store() -> Option<PathBuf> {
    let mut words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let mut store = None;
    while let Some(word) = words.next() {
        if word == "--store" {
            store = words.next();
        } else if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--store=")) {
            store = Some(path.into());
        }
    }
    store.map(PathBuf::from)
}

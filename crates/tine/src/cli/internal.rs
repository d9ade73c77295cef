//! What this program starts itself as. It is defined apart from the commands, so that help,
//! completions and suggestions know nothing of it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tine_service::commands::run::{self, Entry};
use tine_service::{Result, hold};

use crate::global::Global;
use crate::output::Output;
use crate::settings;
use crate::store::reach_store;

#[derive(Debug, Parser)]
#[command(name = "tine")]
pub struct Internal {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Keep the store open for mounts.
    Hold,
    /// Become a command inside a branch.
    Enter {
        name: String,
        #[arg(long)]
        at: PathBuf,
        #[arg(long)]
        read_only: bool,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Returns `true` if the first argument names such a part.
pub fn is_meant(argument: Option<&OsStr>) -> bool {
    argument.is_some_and(|argument| argument == "hold" || argument == "enter")
}

/// Plays the part; the status to exit with.
pub fn perform(internal: Internal, output: &Output) -> Result<u8> {
    let (client, options) = reach_store(&internal.global)?;
    match internal.part {
        Part::Hold => hold(client.store(), &options, settings::points_percent()?),
        Part::Enter { name, at, read_only, command } => {
            let (error, status) = run::enter(&client, &Entry { name, at, read_only, command });
            output.failure(&error);
            Ok(status)
        }
    }
}

//! The flags that every command has.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// The store [default: $TINE_STORE, else $XDG_DATA_HOME/tine/store.tine]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub store: Option<PathBuf>,
    /// Print one JSON object, on failure too
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors and what was asked for
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// List every change in the summary of `tine run`
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

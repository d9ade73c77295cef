//! The command line `tine`: arguments in, requests out, results as text or as JSON.
#![forbid(unsafe_code)]
// These macros panic where nothing can be written.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod amount;
mod args;
mod interrupt;
mod progress;
mod run;
mod say;
mod settings;
mod tree;
mod verbs;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tine_service::{Code, Error};
use tine_sys::signals;

use crate::args::Cli;
use crate::say::Voice;

fn main() -> ExitCode {
    signals::ignore_file_size_limit();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    let voice = Voice::new(&cli.global);
    match verbs::perform(cli, &voice) {
        Ok(status) => ExitCode::from(status),
        Err(error) => failed(&voice, &error),
    }
}

fn failed(voice: &Voice, error: &Error) -> ExitCode {
    voice.failure(error);
    ExitCode::from(if error.code == Code::Usage { 2 } else { 1 })
}

/// What clap says, in the shape of every other error where JSON is asked for.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match say::unless_closed(error.print()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&Voice::default(), &error),
        };
    }
    let before_command = |argument: &std::ffi::OsString| argument != "--";
    let json = std::env::args_os().take_while(before_command).any(|argument| argument == "--json");
    if json {
        let text = error.render().to_string();
        let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let error = Error::new(Code::Usage, what).hint("`tine --help` shows what there is");
        Voice::json().failure(&error);
    } else {
        let _ = error.print();
    }
    ExitCode::from(2)
}

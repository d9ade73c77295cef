//! The command line `tine`: arguments in, requests out, results as text or as JSON.
#![forbid(unsafe_code)]
// These macros panic where nothing can be written.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod amount;
mod args;
mod candidates;
mod completions;
mod diff;
mod global;
mod hints;
mod history;
mod internal;
mod interrupt;
mod manual;
mod misuse;
mod output;
mod pager;
mod painted;
mod progress;
#[cfg(test)]
mod reference;
mod report;
mod run;
mod settings;
mod stat;
mod status;
mod store;
mod summary;
mod tree;
mod verbs;
mod visible;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tine_service::{Code, Error};
use tine_sys::signals;

use crate::args::Cli;
use crate::global::Global;
use crate::internal::Internal;
use crate::output::Output;

fn main() -> ExitCode {
    signals::ignore_file_size_limit();
    completions::answer_if_asked();
    if internal::is_meant(std::env::args_os().nth(1).as_deref()) {
        return performed(Internal::try_parse(), |internal| &internal.global, internal::perform);
    }
    performed(Cli::try_parse(), |cli| &cli.global, verbs::perform)
}

/// Does what a command line says, if it makes sense.
fn performed<C>(
    parsed: Result<C, clap::Error>,
    global: impl Fn(&C) -> &Global,
    perform: impl FnOnce(C, &Output) -> tine_service::Result<u8>,
) -> ExitCode {
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return wrong_usage(&error),
    };
    let output = Output::new(global(&parsed));
    match perform(parsed, &output) {
        Ok(status) => ExitCode::from(status),
        Err(error) => failed(&output, &error),
    }
}

fn failed(output: &Output, error: &Error) -> ExitCode {
    output.failure(error);
    ExitCode::from(if error.code == Code::Usage { 2 } else { 1 })
}

/// What clap says, in the shape of every other error where JSON is asked for.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match output::unless_closed(error.print()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&Output::default(), &error),
        };
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let advice = misuse::advice(error, &arguments);
    if arguments.iter().take_while(|argument| *argument != "--").any(|word| word == "--json") {
        let error = misuse::as_error(error);
        Output::json().failure(&advice.into_iter().fold(error, Error::hint));
    } else {
        let _ = error.print();
        if let Some(advice) = advice {
            Output::default().note(&[format!("hint: {advice}")]);
        }
    }
    ExitCode::from(2)
}

//! Results, errors and notes on standard output and standard error.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};
use tine_service::{Code, Error, Result};

use crate::global::Global;
use crate::report::Report;
use crate::{hints, visible};

/// The one way to standard output and standard error.
#[derive(Clone, Copy, Default)]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Output {
    pub fn new(global: &Global) -> Output {
        Output { json: global.json, quiet: global.quiet, verbose: global.verbose }
    }

    /// An output for programs.
    pub fn json() -> Output {
        Output { json: true, quiet: false, verbose: false }
    }

    /// Returns `true` if it draws how far a long request is.
    pub fn shows_progress(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// Returns `true` if it is for programs.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Returns `true` if it prints nothing but what was asked for.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns `true` if it tells everything.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Prints a result on standard output. Returns the status to exit with.
    ///
    /// # Errors
    /// Those of [`print`].
    pub fn report(&self, report: &impl Report) -> Result<u8> {
        self.result(report).map(|()| report.status())
    }

    fn result<R: Report>(&self, report: &R) -> Result<()> {
        if self.json {
            return self.object(report.json());
        }
        let warnings = report.warnings();
        self.note(&warnings.iter().map(|text| format!("warning: {text}")).collect::<Vec<_>>());
        if R::ASKED_FOR || !self.quiet {
            let lines = report.lines();
            return print(&lines.iter().map(|line| visible::line(line)).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// A failure, on standard error, and for programs on standard output too.
    pub fn failure(&self, error: &Error) {
        if self.json {
            // What cannot be said there is said below.
            let _ = self.object(json!({ "error": fields(error) }));
        }
        self.error(error);
    }

    /// A failure for a person alone.
    pub fn error(&self, error: &Error) {
        self.say("error", error);
    }

    /// What is no failure of the command, but must not go unheard.
    pub fn warning(&self, warning: &Error) {
        self.say("warning", warning);
    }

    fn say(&self, what: &str, error: &Error) {
        let mut text = format!("{what}: {}\n", visible::lines(&error.message));
        if let Some(hint) = &error.hint {
            text.push_str(&format!("hint: {}\n", visible::lines(&hints::words(hint))));
        }
        // When standard error is closed too, there is no way to tell.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// A note, on standard error.
    pub fn note(&self, lines: &[String]) {
        if !self.quiet {
            let mut text = String::new();
            for line in lines {
                text.push_str(&visible::line(line));
                text.push('\n');
            }
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }

    fn object(&self, mut object: Value) -> Result<()> {
        if let Value::Object(fields) = &mut object {
            fields.insert("version".into(), 1.into());
        }
        print(&[object.to_string()])
    }
}

/// An error as the contract has it.
fn fields(error: &Error) -> Value {
    let mut fields = json!({ "code": error.code, "message": error.message });
    if let Some(hint) = &error.hint {
        fields["hint"] = hints::words(hint).into();
    }
    fields
}

/// Writes lines to standard output; a reader that has seen enough is no failure.
///
/// # Errors
/// When they cannot be written, on a full disk for one: a program that reads them must not take
/// them for whole.
pub fn print(lines: &[String]) -> Result<()> {
    let mut text = lines.join("\n");
    if !lines.is_empty() {
        text.push('\n');
    }
    unless_closed(io::stdout().lock().write_all(text.as_bytes()))
}

/// What came of writing to standard output.
///
/// # Errors
/// Those of [`print`].
pub fn unless_closed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let what = format!("the command is done, but what it says cannot be written: {error}");
            Err(Error::new(Code::Io, what).hint("look where its standard output leads"))
        }
        _ => Ok(()),
    }
}

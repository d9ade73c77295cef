//! A program that shows long output on a terminal, page by page.
//!
//! It is the user's own program at the user's own terminal, so it gets the whole environment, as a
//! command that the user runs does.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use tine_service::{Code, Error, Result};

use crate::args::Paging;
use crate::interrupt;
use crate::output::{Output, unless_closed};
use crate::report::Report;
use crate::visible;

/// What shows it where neither TINE_PAGER nor PAGER says.
const PAGER: &str = "less";
/// Options of `less`, unless LESS has some: quit if all fits, keep colours, leave the text there.
const LESS: &str = "FRX";

/// Where output goes: through a pager on a terminal, else to standard output.
pub struct Pager {
    to: To,
    is_terminal: bool,
}

enum To {
    Program { child: Child, input: BufWriter<ChildStdin>, command: OsString },
    Output(BufWriter<io::Stdout>),
}

/// Prints a result: on a terminal page by page. Returns the status to exit with.
///
/// # Errors
/// Those of the pager, and of writing.
pub fn report(report: &impl Report, paging: Paging, output: &Output) -> Result<u8> {
    if output.is_json() {
        return output.report(report);
    }
    let mut pager = Pager::start(output, paging)?;
    let lines = report.lines();
    let printed = lines.iter().try_for_each(|line| writeln!(pager, "{}", visible::line(line)));
    pager.end()?;
    unless_closed(printed).map(|()| report.status())
}

impl Pager {
    /// Starts the pager, if standard output is a terminal and a person reads it.
    ///
    /// # Errors
    /// When there is no shell to start it with.
    pub fn start(output: &Output, paging: Paging) -> Result<Pager> {
        let is_terminal = io::stdout().is_terminal() && !output.is_json();
        let wanted = is_terminal && !paging.no_pager && !output.is_quiet();
        let to = match program().filter(|_| wanted) {
            Some(command) => run(command)?,
            None => To::Output(BufWriter::new(io::stdout())),
        };
        Ok(Pager { to, is_terminal })
    }

    /// Returns `true` if a person sees what is written.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Waits until the pager has ended.
    ///
    /// # Errors
    /// When it could not be run, and when what is left cannot be written.
    pub fn end(self) -> Result<()> {
        match self.to {
            To::Output(mut to) => unless_closed(to.flush()),
            To::Program { mut child, input, command } => {
                // A pager that has ended wants no more.
                let _ = input.into_inner().map(drop);
                let status = child.wait();
                let status =
                    status.map_err(|error| Error::io("cannot wait for the pager", error))?;
                match status.code() {
                    Some(126 | 127) => Err(not_run(&command)),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Program { input, .. } => input.write(bytes),
            To::Output(to) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Program { input, .. } => input.flush(),
            To::Output(to) => to.flush(),
        }
    }
}

/// The command line of the pager, if there is one.
fn program() -> Option<OsString> {
    let set = ["TINE_PAGER", "PAGER"].into_iter().find_map(env::var_os);
    match set {
        // Empty means none, as does `cat`, which would change nothing.
        Some(command) => Some(command).filter(|command| !command.is_empty() && command != "cat"),
        None => {
            let path = env::var_os("PATH").unwrap_or_default();
            let is_there = env::split_paths(&path).any(|directory| directory.join(PAGER).is_file());
            is_there.then(|| PAGER.into())
        }
    }
}

fn run(command: OsString) -> Result<To> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(&command).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        shell.env("LESS", LESS);
    }
    let failed = |error| Error::io("cannot start the pager", error);
    let mut child = shell.spawn().map_err(failed)?;
    // Ctrl-C is for the pager, which goes on: this process must not leave it alone at the terminal.
    // Blocked only here, since the pager would inherit it.
    interrupt::block_signals().map_err(failed)?;
    match child.stdin.take() {
        Some(input) => Ok(To::Program { child, input: BufWriter::new(input), command }),
        None => Err(failed(io::ErrorKind::BrokenPipe.into())),
    }
}

fn not_run(command: &OsString) -> Error {
    let command = visible::path(command.as_encoded_bytes());
    Error::new(Code::Io, format!("the pager {command} cannot be run"))
        .hint("set TINE_PAGER or PAGER to a program that is there, or use --no-pager")
}

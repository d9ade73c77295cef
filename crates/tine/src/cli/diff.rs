//! `tine diff`: a list of paths, a table of what each lost and gained, or a patch.

use std::collections::BTreeMap;
use std::fs::{File, FileType};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use serde_json::{Value, json};
use tine_service::commands::diff::{self, Comparison, Prepared};
use tine_service::patch::{Section, Untold};
use tine_service::protocol::changes::{Change, ChangedName};
use tine_service::{Client, RawBytes, Result};

use crate::amount::count;
use crate::args::DiffArgs;
use crate::output::{Output, unless_closed};
use crate::pager::{self, Pager};
use crate::painted::Paint;
use crate::report::{self, Report};
use crate::stat::{Row, table};
use crate::visible;

/// Prints what changed. Returns the status to exit with.
pub fn diff(client: &Client, arguments: DiffArgs, output: &Output) -> Result<u8> {
    let DiffArgs { name, words, paths, stat, patch, name_only, null, paging } = arguments;
    let is_read_slowly = patch && !output.is_json() && is_read_slowly();
    let compared = diff::prepare(client, Comparison { name, words, paths, is_read_slowly })?;
    let note = |path: &RawBytes| format!("note: neither side has {}", visible::path(&path.0));
    output.note(&compared.absent.iter().map(note).collect::<Vec<_>>());
    if patch && !output.is_json() {
        return print_patch(compared, Pager::start(output, paging)?, output);
    }
    if patch || stat {
        return pager::report(&Rows(rows(compared, patch)?), paging, output);
    }
    let changes = compared.changes()?;
    match null {
        true => print_names(&changes),
        false => pager::report(&Changes { changes, name_only }, paging, output),
    }
}

/// Returns `true` if a person may be behind standard output: at a terminal, or at a pager behind a
/// pipe.
fn is_read_slowly() -> bool {
    let out = io::stdout();
    let meta = out.as_fd().try_clone_to_owned().and_then(|out| File::from(out).metadata());
    let is_pipe = |kind: FileType| kind.is_fifo() || kind.is_socket();
    out.is_terminal() || meta.is_ok_and(|meta| is_pipe(meta.file_type()))
}

/// Changes as the contract has them.
struct Changes {
    changes: Vec<Change>,
    /// Whether a person sees the paths alone.
    name_only: bool,
}

impl Report for Changes {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        json!({ "changes": self.changes })
    }

    fn lines(&self) -> Vec<String> {
        match self.name_only {
            true => self.changes.iter().map(name_of).collect(),
            false => report::changes(&self.changes),
        }
    }
}

/// Changes with what each lost and gained, as the contract has them.
struct Rows(Vec<Row>);

impl Report for Rows {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        json!({ "changes": self.0 })
    }

    fn lines(&self) -> Vec<String> {
        table(&self.0)
    }
}

fn rows(compared: Prepared, with_patch: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    compared.sections(with_patch, &mut |changed: &ChangedName, section: Section| {
        rows.push(Row::of(changed, section, with_patch));
        Ok(())
    })?;
    Ok(rows)
}

fn name_of(change: &Change) -> String {
    visible::path(change.raw_path())
}

fn print_names(changes: &[Change]) -> Result<u8> {
    let names = changes.iter().flat_map(|change| [change.raw_path(), b"\0"]);
    let bytes: Vec<u8> = names.flatten().copied().collect();
    let mut out = io::stdout().lock();
    // No end of a line has it written.
    unless_closed(out.write_all(&bytes).and_then(|()| out.flush())).map(|()| 0)
}

fn print_patch(compared: Prepared, mut pager: Pager, output: &Output) -> Result<u8> {
    let paint = pager.is_terminal().then(Paint::of_this_terminal);
    let mut untold = BTreeMap::<Untold, u64>::new();
    let printed = compared.sections(true, &mut |_: &ChangedName, section: Section| {
        if let Some(kind) = section.untold {
            *untold.entry(kind).or_default() += 1;
        }
        match &paint {
            // A terminal is not to obey what files hold; a program is to get it as it is.
            Some(paint) => pager.write_all(paint.patch(&section.bytes).as_bytes()),
            None => pager.write_all(&section.bytes),
        }
    });
    let ended = pager.end();
    printed.and(ended)?;
    let untold: Vec<String> =
        untold.into_iter().map(|(kind, number)| words(kind, number)).collect();
    if !untold.is_empty() {
        output.note(&[format!("note: a patch does not tell of {}", untold.join(", "))]);
    }
    Ok(0)
}

fn words(untold: Untold, number: u64) -> String {
    match untold {
        Untold::Directory => count(number, "change of a directory", "changes of directories"),
        Untold::Special => count(number, "pipe, socket or device", "pipes, sockets and devices"),
        Untold::Attributes => count(number, "change of attributes", "changes of attributes"),
    }
}

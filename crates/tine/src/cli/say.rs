//! How results and errors reach the person or the program that asked.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};
use tine_service::protocol::answers::*;
use tine_service::{Code, Error, RawBytes, Response, Result};

use crate::amount::{count, duration, size};
use crate::args::Global;
use crate::{tree, visible};

/// Changes that are printed unless all are asked for.
const CHANGES_SHOWN: usize = 20;

/// The one way to standard output and standard error.
#[derive(Clone, Copy, Default)]
pub struct Voice {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Voice {
    pub fn new(global: &Global) -> Voice {
        Voice { json: global.json, quiet: global.quiet, verbose: global.verbose }
    }

    /// A voice for programs.
    pub fn json() -> Voice {
        Voice { json: true, quiet: false, verbose: false }
    }

    /// Whether to draw how far a long request is.
    pub fn shows_progress(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// Whether it speaks to programs.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A result, on standard output.
    ///
    /// # Errors
    /// Those of [`print`].
    pub fn result(&self, response: &Response) -> Result<()> {
        if self.json {
            return self.object(response.to_json());
        }
        let (lines, asked_for) = describe(response);
        let lines: Vec<String> = lines.iter().map(|line| visible::line(line)).collect();
        if let Response::Imported(Imported { warnings, .. })
        | Response::TakenIn(TakenIn { warnings, .. }) = response
            && !warnings.is_empty()
        {
            self.remark(
                &warnings.iter().map(|text| format!("warning: {text}")).collect::<Vec<_>>(),
            );
        }
        if asked_for || !self.quiet { print(&lines) } else { Ok(()) }
    }

    /// A failure, on standard error, and for programs on standard output too.
    pub fn failure(&self, error: &Error) {
        if self.json {
            // What cannot be said there is said below.
            let _ = self.object(json!({ "error": error }));
        }
        self.complain(error);
    }

    /// A failure for a person alone.
    pub fn complain(&self, error: &Error) {
        let mut text = format!("error: {}\n", visible::lines(&error.message));
        if let Some(hint) = &error.hint {
            text.push_str(&format!("hint: {}\n", visible::lines(hint)));
        }
        // Nobody is left to tell when standard error is closed.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// A remark beside a command that owns standard output.
    pub fn remark(&self, lines: &[String]) {
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

    /// Changes as lines, cut to what a person reads at once unless all are asked for.
    pub fn changes(&self, changes: &[Change]) -> Vec<String> {
        let shown = if self.verbose { changes.len() } else { CHANGES_SHOWN };
        let mut lines: Vec<String> = changes.iter().take(shown).map(change).collect();
        if changes.len() > shown {
            lines.push(format!("… and {} more (--verbose shows all)", changes.len() - shown));
        }
        lines
    }
}

/// Writes lines to standard output; a reader that has seen enough is no failure.
///
/// # Errors
/// When they cannot be written, on a full disk for one: whoever reads them must not take them for whole.
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

/// A result in words, and whether it is what was asked for rather than a remark.
fn describe(response: &Response) -> (Vec<String>, bool) {
    match response {
        Response::Made(made) => (vec![format!("made {}", made.store.display())], false),
        Response::Imported(it) => (vec![imported(it)], false),
        Response::Exported(it) => {
            let (files, bytes) = (count(it.files, "file", "files"), size(it.bytes));
            let time = duration(it.elapsed_us);
            (vec![format!("copied {} out: {files}, {bytes} in {time}", it.branch)], false)
        }
        Response::Created(list) => (list.created.iter().map(created).collect(), false),
        Response::Branches(list) => (tree::draw(&list.branches), true),
        Response::StoreUsage(usage) => (store_usage(usage), true),
        Response::BranchUsage(usage) => (branch_usage(usage), true),
        Response::Branch(it) => (vec![format!("{}: done", it.branch)], false),
        Response::Deleted(it) => (vec![format!("deleted {}", it.deleted.join(", "))], false),
        Response::Diff(diff) => (diff.changes.iter().map(change).collect(), true),
        Response::Checked(checked) => (findings(checked), true),
        Response::Entries(list) => (list.entries.iter().map(entry).collect(), true),
        Response::Repaired(it) => (repaired(it), true),
        Response::Server(server) => (vec![server.uri.clone()], true),
        Response::Servers(list) => (list.servers.iter().map(server).collect(), true),
        Response::TakenIn(it) => {
            let time = duration(it.elapsed_us);
            (vec![format!("took {} into {} in {time}", size(it.bytes), it.branch)], false)
        }
        Response::Mounted(it) => {
            (vec![format!("{} is mounted at {}", it.branch, it.directory.display())], false)
        }
        Response::Inspected(_)
        | Response::Mounts(_)
        | Response::Began(_)
        | Response::Names(_)
        | Response::Kept(_)
        | Response::Done(_) => (Vec::new(), false),
    }
}

fn imported(it: &Imported) -> String {
    let files = count(it.files, "file", "files");
    let directories = count(it.directories, "directory", "directories");
    let (bytes, time) = (size(it.bytes), duration(it.elapsed_us));
    format!("copied into {}: {files}, {directories}, {bytes} in {time}, read back equal", it.branch)
}

fn created(one: &Created) -> String {
    let flushed = match one.flush_us {
        0 => String::new(),
        us => format!(", after flushing for {}", duration(us)),
    };
    format!("{} from {} in {}{flushed}", one.name, one.from, duration(one.elapsed_us))
}

fn server(row: &ServerRow) -> String {
    format!("{}  process {}  port {}  {}", row.branch, row.pid, row.port, row.uri)
}

fn store_usage(usage: &StoreUsage) -> Vec<String> {
    table(&[
        ("on disk", size(usage.file_bytes)),
        ("data", size(usage.data_bytes)),
        ("metadata", size(usage.metadata_bytes)),
        ("free inside", size(usage.free_bytes)),
        ("being freed", size(usage.reclaim_pending_bytes)),
        ("branches", usage.branches.to_string()),
    ])
}

fn branch_usage(usage: &BranchUsage) -> Vec<String> {
    let shared = usage.referenced_bytes.saturating_sub(usage.exclusive_bytes);
    table(&[
        ("reaches", size(usage.referenced_bytes)),
        ("shares", size(shared)),
        ("alone", size(usage.exclusive_bytes)),
        ("kept for its fork point", size(usage.pinned_by_base_bytes)),
    ])
}

fn table(rows: &[(&str, String)]) -> Vec<String> {
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("{name:widest$}  {value:>8}")).collect()
}

fn change(change: &Change) -> String {
    let path = path(&change.path, change.path_bytes.as_ref());
    let from = change.from.as_ref().map(|from| self::path(from, change.from_bytes.as_ref()));
    let bytes = match change.bytes {
        0 => String::new(),
        bytes => format!("  ({})", size(bytes)),
    };
    match (change.change, from) {
        (ChangeKind::Renamed, Some(from)) => format!("renamed   {from} -> {path}{bytes}"),
        (ChangeKind::Renamed, None) => format!("renamed   {path}{bytes}"),
        (ChangeKind::Added, _) => format!("added     {path}{bytes}"),
        (ChangeKind::Modified, _) => format!("modified  {path}{bytes}"),
        (ChangeKind::Deleted, _) => format!("deleted   {path}{bytes}"),
        (ChangeKind::Metadata, _) => format!("metadata  {path}"),
    }
}

fn entry(row: &EntryRow) -> String {
    let mark = match row.kind.as_str() {
        "directory" => "/",
        "fifo" => "|",
        "socket" => "=",
        _ => "",
    };
    let target = match &row.target {
        Some(target) => format!(" -> {}", path(target, row.target_bytes.as_ref())),
        None => String::new(),
    };
    let (time, name) = (tree::minute(&row.modified), path(&row.name, row.name_bytes.as_ref()));
    format!("{}  {:>8}  {time}  {name}{mark}{target}", row.mode, size(row.bytes))
}

/// A path as it is printed: by its own bytes where it is not UTF-8.
fn path(text: &str, bytes: Option<&RawBytes>) -> String {
    visible::path(bytes.map_or(text.as_bytes(), |bytes| &bytes.0))
}

fn finding(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Fatal => "fatal",
    };
    format!("{severity}: {} ({})", finding.what, finding.place)
}

fn findings(checked: &Checked) -> Vec<String> {
    let mut lines: Vec<String> = checked.findings.iter().map(finding).collect();
    let blocks = count(checked.blocks_checked, "block", "blocks");
    lines.push(match checked.findings.len() {
        0 => format!("sound: {blocks} checked"),
        found => format!("{}, {blocks} checked", count(found as u64, "finding", "findings")),
    });
    lines
}

fn repaired(repaired: &Repaired) -> Vec<String> {
    let mut lines: Vec<String> = repaired.lost.iter().map(finding).collect();
    let branches = count(repaired.branches, "branch", "branches");
    let blocks = count(repaired.blocks_copied, "block", "blocks");
    let lost = match repaired.lost.len() {
        0 => "nothing was lost".to_string(),
        lost => format!("{} above", count(lost as u64, "loss is", "losses are")),
    };
    lines.push(format!("copied {branches}, {blocks} into {}; {lost}", repaired.store.display()));
    lines
}

//! Each result as a program sees it, and in words.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};
use tine_service::RawBytes;
use tine_service::commands::mount::Mounted;
use tine_service::commands::pg_import::ImportedServer;
use tine_service::commands::repair::Repaired;
use tine_service::commands::servers::ServerRow;
use tine_service::postgres::Ended;
use tine_service::protocol::branches::{BranchRow, Created};
use tine_service::protocol::changes::{Change, ChangeKind};
use tine_service::protocol::check::{Checked, Finding, Severity};
use tine_service::protocol::copies::{Exported, Imported};
use tine_service::protocol::imports::{Followed, Refreshed};
use tine_service::protocol::look::EntryRow;
use tine_service::protocol::usage::{BranchUsage, StoreUsage};

use crate::amount::{count, duration, size};
use crate::{hints, tree, visible};

/// A result of a command.
pub trait Report {
    /// Whether the lines are what was asked for, rather than a note that --quiet suppresses.
    const ASKED_FOR: bool;

    /// The object of the JSON contract, without its version.
    fn json(&self) -> Value;

    /// The result in words.
    fn lines(&self) -> Vec<String>;

    /// What may come as a surprise later.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The status to exit with.
    fn status(&self) -> u8 {
        0
    }
}

/// The object of a result whose fields are those of the contract.
pub fn object(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// A store that was made.
pub struct Made {
    pub store: PathBuf,
}

impl Report for Made {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        json!({ "store": self.store })
    }

    fn lines(&self) -> Vec<String> {
        vec![format!("made {}", self.store.display())]
    }
}

/// A branch that something was done to.
pub struct Done {
    pub branch: String,
}

impl Report for Done {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        json!({ "branch": self.branch })
    }

    fn lines(&self) -> Vec<String> {
        vec![format!("{}: done", self.branch)]
    }
}

impl Report for Vec<Created> {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        json!({ "created": self })
    }

    fn lines(&self) -> Vec<String> {
        self.iter().map(created).collect()
    }
}

fn created(one: &Created) -> String {
    let flushed = match one.flush_us {
        0 => String::new(),
        us => format!(", after flushing for {}", duration(us)),
    };
    format!("{} from {} in {}{flushed}", one.name, one.from, duration(one.elapsed_us))
}

impl Report for Imported {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        let mut object = object(self);
        object["warnings"] = self.warnings().into();
        object
    }

    fn lines(&self) -> Vec<String> {
        let files = count(self.files, "file", "files");
        let directories = count(self.directories, "directory", "directories");
        let (bytes, time) = (size(self.bytes), duration(self.elapsed_us));
        let branch = &self.branch;
        vec![format!(
            "copied into {branch}: {files}, {directories}, {bytes} in {time}, read back equal"
        )]
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.iter().map(hints::warning).collect()
    }
}

impl Report for Refreshed {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        let mut object = object(self);
        object["warnings"] = self.warnings().into();
        object
    }

    fn lines(&self) -> Vec<String> {
        let (files, time) = (count(self.files, "file", "files"), duration(self.elapsed_us));
        let changed = match (self.changed, self.deleted) {
            (0, 0) => "nothing changed".into(),
            (changed, 0) => format!("{} changed", count(changed, "path", "paths")),
            (changed, deleted) => {
                format!("{} changed, {deleted} deleted", count(changed, "path", "paths"))
            }
        };
        let read = match self.read {
            0 => String::new(),
            read => format!(", {} of {} read", size(self.bytes), count(read, "file", "files")),
        };
        let mut lines = vec![format!("{}: {changed} among {files}{read} in {time}", self.branch)];
        if let Some(follower) = &self.follower {
            let branch = &follower.branch;
            lines.extend(match follower.state {
                Followed::Current => None,
                Followed::Changed => Some(format!(
                    "{branch} has changes of its own and stays as it is; `tine branch NEW --from \
                     {}` forks what the directory is now",
                    self.branch
                )),
                Followed::InUse => Some(format!("{branch} is mounted and stays as it is")),
            });
        }
        lines
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.iter().map(hints::warning).collect()
    }
}

/// A server that was stopped.
pub struct Stopped {
    pub branch: String,
    pub ended: Ended,
}

impl Report for Stopped {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        match self.warnings() {
            none if none.is_empty() => json!({ "branch": self.branch }),
            warnings => json!({ "branch": self.branch, "warnings": warnings }),
        }
    }

    fn lines(&self) -> Vec<String> {
        vec![format!("{}: done", self.branch)]
    }

    fn warnings(&self) -> Vec<String> {
        let warning = format!(
            "the server of branch {} did not react and was killed; what it has acknowledged is in \
             the branch, and the next start recovers it",
            self.branch
        );
        (self.ended == Ended::Killed).then_some(warning).into_iter().collect()
    }
}

impl Report for Exported {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        let (files, bytes) = (count(self.files, "file", "files"), size(self.bytes));
        let time = duration(self.elapsed_us);
        vec![format!("copied {} out: {files}, {bytes} in {time}", self.branch)]
    }
}

impl Report for ImportedServer {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        let (bytes, time) = (size(self.bytes), duration(self.elapsed_us));
        vec![format!("took {bytes} into {} in {time}", self.branch)]
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

impl Report for Vec<BranchRow> {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        json!({ "branches": self })
    }

    fn lines(&self) -> Vec<String> {
        tree::draw(self)
    }
}

impl Report for StoreUsage {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        table(&[
            ("on disk", size(self.file_bytes)),
            ("data", size(self.data_bytes)),
            ("metadata", size(self.metadata_bytes)),
            ("free inside", size(self.free_bytes)),
            ("being freed", size(self.reclaim_pending_bytes)),
            ("branches", self.branches.to_string()),
            ("points", self.points.to_string()),
            ("held by points", self.points_bytes.map_or_else(|| "?".into(), size)),
        ])
    }
}

impl Report for BranchUsage {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        let shared = self.referenced_bytes.saturating_sub(self.exclusive_bytes);
        table(&[
            ("reaches", size(self.referenced_bytes)),
            ("shares", size(shared)),
            ("alone", size(self.exclusive_bytes)),
            ("kept for its fork point", size(self.pinned_by_base_bytes)),
        ])
    }
}

fn table(rows: &[(&str, String)]) -> Vec<String> {
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("{name:widest$}  {value:>8}")).collect()
}

/// Changed paths, a line each.
pub fn changes(changes: &[Change]) -> Vec<String> {
    changes.iter().map(change).collect()
}

/// A changed path as a line.
pub fn change(change: &Change) -> String {
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

/// What is in a directory of a branch.
pub struct Listing {
    pub branch: String,
    pub entries: Vec<EntryRow>,
}

impl Report for Listing {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        json!({ "branch": self.branch, "entries": self.entries })
    }

    fn lines(&self) -> Vec<String> {
        self.entries.iter().map(entry).collect()
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
pub fn path(text: &str, bytes: Option<&RawBytes>) -> String {
    visible::path(bytes.map_or(text.as_bytes(), |bytes| &bytes.0))
}

impl Report for Checked {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.findings.iter().map(finding).collect();
        let blocks = count(self.blocks_checked, "block", "blocks");
        lines.push(match self.findings.len() {
            0 => format!("sound: {blocks} checked"),
            found => format!("{}, {blocks} checked", count(found as u64, "finding", "findings")),
        });
        lines
    }

    /// A check that finds the store unsound has failed as a command, too.
    fn status(&self) -> u8 {
        u8::from(self.findings.iter().any(|finding| finding.severity != Severity::Warning))
    }
}

fn finding(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Fatal => "fatal",
    };
    format!("{severity}: {} ({})", finding.what, finding.place)
}

impl Report for Repaired {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lost.iter().map(finding).collect();
        let branches = count(self.branches, "branch", "branches");
        let blocks = count(self.blocks_copied, "block", "blocks");
        let lost = match self.lost.len() {
            0 => "nothing was lost".to_string(),
            lost => format!("{} above", count(lost as u64, "loss is", "losses are")),
        };
        lines.push(format!("copied {branches}, {blocks} into {}; {lost}", self.store.display()));
        lines
    }

    /// A repair that lost something has failed as a command, too.
    fn status(&self) -> u8 {
        u8::from(!self.lost.is_empty())
    }
}

impl Report for ServerRow {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        vec![self.uri.clone()]
    }
}

impl Report for Vec<ServerRow> {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        json!({ "servers": self })
    }

    fn lines(&self) -> Vec<String> {
        let line = |row: &ServerRow| {
            format!("{}  process {}  port {}  {}", row.branch, row.pid, row.port, row.uri)
        };
        self.iter().map(line).collect()
    }
}

impl Report for Mounted {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        vec![format!("{} is mounted at {}", self.branch, self.directory.display())]
    }
}

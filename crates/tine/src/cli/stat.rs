//! What each file lost and gained: lines of text, bytes of anything else.

use serde::Serialize;
use tine_service::RawBytes;
use tine_service::patch::Section;
use tine_service::protocol::changes::{Change, ChangeKind, ChangedName, Content, FileKind, Side};

use crate::amount::{count, size};
use crate::visible;

/// The longest bar of a row, and the width up to which names are aligned.
const BAR: u64 = 40;
const NAME: usize = 60;

/// A change with what was lost and gained; its fields are those of the contract.
#[derive(Debug, Serialize)]
pub struct Row {
    #[serde(flatten)]
    change: Change,
    #[serde(skip)]
    is_binary: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_added: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_removed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xxh3_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xxh3_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_bytes: Option<RawBytes>,
}

impl Row {
    /// What is told of a changed name.
    pub fn of(changed: &ChangedName, section: Section, with_patch: bool) -> Row {
        let (before, after) = (changed.before.as_ref(), changed.after.as_ref());
        let bytes = Some(section.bytes).filter(|bytes| with_patch && !bytes.is_empty());
        Row {
            change: changed.change.clone(),
            is_binary: before.into_iter().chain(after).any(is_binary),
            lines_added: section.lines.map(|(added, _)| added),
            lines_removed: section.lines.map(|(_, removed)| removed),
            bytes_before: before.map(|side| side.bytes),
            bytes_after: after.map(|side| side.bytes),
            mode_before: before.map(mode),
            mode_after: after.map(mode),
            xxh3_before: before.and_then(digest),
            xxh3_after: after.and_then(digest),
            patch: bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            patch_bytes: bytes.as_deref().and_then(RawBytes::unless_text),
        }
    }

    fn name(&self) -> String {
        let path = visible::path(self.change.raw_path());
        let mark = if self.change.kind == FileKind::Directory { "/" } else { "" };
        match self.change.raw_from() {
            Some(from) => format!("{}{mark} -> {path}{mark}", visible::path(from)),
            None => format!("{path}{mark}"),
        }
    }

    fn lines(&self) -> (u64, u64) {
        (self.lines_added.unwrap_or_default(), self.lines_removed.unwrap_or_default())
    }

    /// What is said of it behind its name; `most` lines make the longest bar.
    fn words(&self, most: u64) -> String {
        let (added, removed) = self.lines();
        let kind = match self.change.change {
            ChangeKind::Added => "added",
            ChangeKind::Deleted => "deleted",
            ChangeKind::Renamed => "renamed",
            ChangeKind::Metadata => "attributes",
            ChangeKind::Modified => "replaced",
        };
        let modes = match (&self.mode_before, &self.mode_after) {
            (Some(old), Some(new)) if old != new => format!(", mode {old} -> {new}"),
            _ => String::new(),
        };
        let words = match (self.lines_added, self.bytes_before, self.bytes_after) {
            (Some(_), ..) if added + removed > 0 => {
                format!("{:>5} {}", added + removed, self.bar(most))
            }
            (None, Some(before), Some(after)) if self.is_binary => {
                format!("{} -> {}", size(before), size(after))
            }
            (None, None, Some(after)) if self.is_binary => format!("0 B -> {}", size(after)),
            (None, Some(before), None) if self.is_binary => format!("{} -> 0 B", size(before)),
            (Some(_), ..) if self.change.change == ChangeKind::Modified => {
                "written, and equal".into()
            }
            _ => kind.into(),
        };
        format!("{words}{modes}")
    }

    fn bar(&self, most: u64) -> String {
        let (added, removed) = self.lines();
        let scale = |lines: u64| match most <= BAR {
            true => lines,
            // What is there at all is shown.
            false => (lines * BAR / most).max(u64::from(lines > 0)),
        };
        let repeat = |mark: &str, lines| mark.repeat(usize::try_from(scale(lines)).unwrap_or(0));
        format!("{}{}", repeat("+", added), repeat("-", removed))
    }
}

fn mode(side: &Side) -> String {
    format!("{:04o}", side.mode)
}

fn digest(side: &Side) -> Option<String> {
    match &side.content {
        Content::Binary { xxh3, .. } => xxh3.clone(),
        _ => None,
    }
}

fn is_binary(side: &Side) -> bool {
    matches!(side.content, Content::Binary { .. })
}

/// One line a row, and one of the total.
pub fn table(rows: &[Row]) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let most = rows.iter().map(|row| row.lines().0 + row.lines().1).max().unwrap_or_default();
    let names: Vec<String> = rows.iter().map(Row::name).collect();
    let width = names.iter().map(|name| name.chars().count()).filter(|width| *width <= NAME);
    let width = width.max().unwrap_or_default();
    let line = |(name, row): (&String, &Row)| format!(" {name:width$} | {}", row.words(most));
    let mut lines: Vec<String> = names.iter().zip(rows).map(line).collect();
    lines.push(total(rows));
    lines
}

fn total(rows: &[Row]) -> String {
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    let (added, removed) = (sum(|row| row.lines().0), sum(|row| row.lines().1));
    let binary: Vec<&Row> = rows.iter().filter(|row| row.is_binary).collect();
    let bytes =
        |of: fn(&Row) -> Option<u64>| size(binary.iter().filter_map(|row| of(row)).sum::<u64>());
    let mut parts = vec![format!(" {} changed", count(rows.len() as u64, "path", "paths"))];
    if added + removed > 0 {
        parts.push(format!("{} added, {removed} removed", count(added, "line", "lines")));
    }
    if !binary.is_empty() {
        let files = count(binary.len() as u64, "file is no text", "files are no text");
        let (before, after) = (bytes(|row| row.bytes_before), bytes(|row| row.bytes_after));
        parts.push(format!("{files} ({before} -> {after})"));
    }
    parts.join(", ")
}

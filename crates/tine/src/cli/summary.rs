//! What is said after `tine run`: what changed, what became of the branch, and what can be done
//! next.

use std::collections::BTreeMap;

use tine_service::commands::run::{Ended, Fate};
use tine_service::protocol::changes::{Change, ChangeKind, FileKind};

use crate::amount::{count, size};
use crate::{report, visible};

/// Additions and other changes by which nothing is lost that are named; more are counted.
const NAMED: usize = 20;
/// Deleted paths below one deleted directory that are named; of more, the directory is named.
const BELOW: usize = 20;

/// The summary as lines; `all` names every change.
pub fn of(ended: &Ended, all: bool) -> Vec<String> {
    let name = &ended.branch;
    let mut lines = Vec::new();
    match &ended.changes {
        None => {}
        Some(changes) if changes.is_empty() => {
            lines.push(format!("tine: nothing changed in {name}"))
        }
        Some(changes) => {
            let bytes = changes.iter().map(|change| change.bytes).sum();
            let paths = count(changes.len() as u64, "path", "paths");
            lines.push(format!("tine: {paths} changed in {name}, {}", size(bytes)));
            lines.extend(listed(changes, all).iter().map(|line| format!("  {line}")));
        }
    }
    if let Some(processes) = &ended.left_behind {
        lines.push(format!(
            "tine: the command left {processes} behind, which may go on to change {name}"
        ));
    }
    let has_changes = ended.changes.as_ref().is_some_and(|changes| !changes.is_empty());
    lines.push(match ended.fate {
        Fate::Kept if ended.left_behind.is_some() => {
            format!("tine: {name} is kept; `tine delete {name} --force` ends that and discards it")
        }
        Fate::Kept if has_changes && !ended.fresh => format!(
            "tine: `tine diff {name}@-1 {name} --patch` shows what changed, `tine undo {name}` takes \
             {name} back"
        ),
        Fate::Kept if has_changes => format!(
            "tine: {name} is kept; `tine diff {name} --patch` shows what changed, \
             `tine delete {name}` discards it"
        ),
        Fate::Kept => format!("tine: {name} is kept; `tine delete {name}` discards it"),
        Fate::Discarded => format!("tine: {name} is discarded"),
        Fate::Gone => {
            format!("tine: {name} was deleted or renamed while the command ran; see `tine list`")
        }
    });
    lines
}

/// Changes as lines: all that lose something, and the others up to a limit.
fn listed(changes: &[Change], all: bool) -> Vec<String> {
    if all {
        return report::changes(changes);
    }
    let below = deleted_below(changes);
    let is_folded = |top: &[u8]| below.get(top).is_some_and(|count| *count > BELOW);
    let mut left = Left::default();
    let mut named = 0;
    let mut lines = Vec::new();
    for change in changes {
        let path = change.raw_path();
        if change.change == ChangeKind::Deleted {
            let top = top(path, &below);
            match top.filter(|top| is_folded(top)) {
                Some(top) if top == path => {
                    let paths = count(below[top] as u64, "path", "paths");
                    let path = visible::path(path);
                    lines.push(format!("deleted   {path}, with {paths} below it"));
                }
                Some(_) => {}
                None => lines.push(report::change(change)),
            }
            continue;
        }
        let is_replaced =
            change.change == ChangeKind::Modified && change.kind == FileKind::Directory;
        if is_replaced || named < NAMED {
            named += usize::from(!is_replaced);
            lines.push(report::change(change));
        } else {
            left.add(change.change);
        }
    }
    lines.extend(left.line());
    lines
}

/// The topmost deleted directories, and how many deleted paths lie below each.
fn deleted_below(changes: &[Change]) -> BTreeMap<&[u8], usize> {
    let deleted = || changes.iter().filter(|change| change.change == ChangeKind::Deleted);
    let directories = deleted().filter(|change| change.kind == FileKind::Directory);
    let mut below: BTreeMap<&[u8], usize> =
        directories.map(|change| (change.raw_path(), 0)).collect();
    for change in deleted() {
        let path = change.raw_path();
        if let Some(top) = top(path, &below).filter(|top| *top != path)
            && let Some(count) = below.get_mut(top)
        {
            *count += 1;
        }
    }
    below
}

/// The topmost of the directories that a path lies in, or is.
fn top<'a>(path: &'a [u8], directories: &BTreeMap<&[u8], usize>) -> Option<&'a [u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
    let mut above = ends.chain([path.len()]).map(|end| &path[..end]);
    above.find(|above| directories.contains_key(above))
}

/// Changes that are not named.
#[derive(Default)]
struct Left(BTreeMap<u8, (&'static str, usize)>);

impl Left {
    fn add(&mut self, change: ChangeKind) {
        let (order, word) = match change {
            ChangeKind::Added => (0, "added"),
            ChangeKind::Modified => (1, "modified"),
            ChangeKind::Renamed => (2, "renamed"),
            ChangeKind::Metadata => (3, "with other attributes"),
            ChangeKind::Deleted => (4, "deleted"),
        };
        self.0.entry(order).or_insert((word, 0)).1 += 1;
    }

    fn line(&self) -> Option<String> {
        let counts: Vec<String> =
            self.0.values().map(|(word, number)| format!("{number} {word}")).collect();
        (!counts.is_empty()).then(|| format!("… and {} (--verbose shows all)", counts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, change: ChangeKind, kind: FileKind) -> Change {
        let (path, path_bytes) = (path.to_owned(), None);
        Change { path, path_bytes, change, kind, from: None, from_bytes: None, bytes: 0 }
    }

    #[test]
    fn every_loss_is_named_however_much_was_added() {
        let mut changes: Vec<Change> = (0..500)
            .map(|n| change(&format!("a{n:03}"), ChangeKind::Added, FileKind::File))
            .collect();
        let lost: Vec<String> = (0..7).map(|n| format!("z{n}")).collect();
        changes.extend(lost.iter().map(|path| change(path, ChangeKind::Deleted, FileKind::File)));
        changes.push(change("zz", ChangeKind::Modified, FileKind::Directory));
        let lines = listed(&changes, false);
        assert_eq!(lines.len(), NAMED + 7 + 1 + 1);
        for path in &lost {
            assert!(lines.contains(&format!("deleted   {path}")), "{lines:?}");
        }
        assert!(lines.contains(&"modified  zz".to_owned()), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "… and 480 added (--verbose shows all)");
        assert_eq!(listed(&changes, true).len(), 508);
    }

    #[test]
    fn a_directory_that_is_gone_with_much_below_it_is_named_once() {
        let mut changes = vec![change("d", ChangeKind::Deleted, FileKind::Directory)];
        changes.push(change("d.txt", ChangeKind::Deleted, FileKind::File));
        changes.push(change("d/e", ChangeKind::Deleted, FileKind::Directory));
        let files = (0..100).map(|n| format!("d/e/{n:03}"));
        changes.extend(files.map(|path| change(&path, ChangeKind::Deleted, FileKind::File)));
        changes.push(change("f", ChangeKind::Deleted, FileKind::Directory));
        changes.push(change("f/x", ChangeKind::Deleted, FileKind::File));
        assert_eq!(
            listed(&changes, false),
            [
                "deleted   d, with 101 paths below it",
                "deleted   d.txt",
                "deleted   f",
                "deleted   f/x"
            ]
        );
    }
}

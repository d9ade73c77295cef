//! What changed, by path.

use tine_store::{ReadTxn, Store};

use crate::holder::call::{Call, Execute};
use crate::holder::find;
use crate::protocol::changes::{Change, ChangeKind, Diff, FileKind};
use crate::protocol::{Error, RawBytes, Result};

impl Execute for Diff {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<Change>> {
        let [before, after] = sides(&call.context.store, &self.name, self.other.as_deref())?;
        let changes = tine_fs::diff(&before, &after)?.into_iter();
        Ok(changes.filter(|change| is_below(change, &self.paths)).map(told).collect())
    }
}

/// What is compared: a branch with its fork point, or one branch with another.
pub fn sides(store: &Store, name: &str, other: Option<&str>) -> Result<[ReadTxn; 2]> {
    let branch = store.branch(&find::find(store, name)?.stored)?;
    match other {
        Some(other) => {
            let other = store.branch(&find::find(store, other)?.stored)?;
            Ok([branch.read()?, other.read()?])
        }
        None => match branch.fork_point()? {
            Some(base) => Ok([base, branch.read()?]),
            None => Err(Error::no_fork_point(name, "compare it with")),
        },
    }
}

/// Returns `true` if a change is of one of the paths, or of what lies below them. Of a renamed
/// directory it is also one of what is in it.
pub fn is_below(change: &tine_fs::PathChange, paths: &[RawBytes]) -> bool {
    let from = match &change.change {
        tine_fs::Change::Renamed { from } => Some(from.as_slice()),
        _ => None,
    };
    let ends = || [Some(change.path.as_slice()), from].into_iter().flatten();
    let holds =
        |path: &[u8]| ends().any(|end| lies_in(end, path) || from.is_some() && lies_in(path, end));
    paths.is_empty() || paths.iter().any(|RawBytes(path)| holds(path))
}

fn lies_in(path: &[u8], above: &[u8]) -> bool {
    let rest = path.strip_prefix(above);
    above.is_empty() || rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// A change as it is told.
pub fn told(change: tine_fs::PathChange) -> Change {
    let (kind, from) = match change.change {
        tine_fs::Change::Added => (ChangeKind::Added, None),
        tine_fs::Change::Deleted => (ChangeKind::Deleted, None),
        tine_fs::Change::Modified => (ChangeKind::Modified, None),
        tine_fs::Change::Metadata => (ChangeKind::Metadata, None),
        tine_fs::Change::Renamed { from } => (ChangeKind::Renamed, Some(from)),
    };
    let path = match change.path.as_slice() {
        [] => ".".into(),
        path => text(path),
    };
    Change {
        path,
        path_bytes: RawBytes::unless_text(&change.path),
        change: kind,
        kind: file_kind(change.kind),
        from: from.as_deref().map(text),
        from_bytes: from.as_deref().and_then(RawBytes::unless_text),
        bytes: change.bytes,
    }
}

/// The kind of a file as it is told.
pub fn file_kind(kind: tine_fs::Kind) -> FileKind {
    match kind {
        tine_fs::Kind::File => FileKind::File,
        tine_fs::Kind::Directory => FileKind::Directory,
        tine_fs::Kind::Symlink => FileKind::Symlink,
        tine_fs::Kind::Fifo => FileKind::Fifo,
        tine_fs::Kind::Socket => FileKind::Socket,
        tine_fs::Kind::CharDevice => FileKind::CharacterDevice,
        tine_fs::Kind::BlockDevice => FileKind::BlockDevice,
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_a_path_and_what_is_below_it() {
        let change = |path: &str, from: Option<&str>| tine_fs::PathChange {
            path: path.into(),
            kind: tine_fs::Kind::File,
            change: match from {
                Some(from) => tine_fs::Change::Renamed { from: from.into() },
                None => tine_fs::Change::Modified,
            },
            bytes: 0,
        };
        let takes = |filter: &[&str], path, from| {
            let paths: Vec<RawBytes> =
                filter.iter().map(|path| RawBytes(path.as_bytes().to_vec())).collect();
            is_below(&change(path, from), &paths)
        };
        assert!(takes(&[], "a", None));
        assert!(takes(&[""], "a", None), "the root is above everything");
        assert!(takes(&["src"], "src/a", None) && takes(&["src/a"], "src/a", None));
        assert!(!takes(&["src"], "src2", None) && !takes(&["src/a"], "src", None));
        assert!(takes(&["x", "src"], "src/a", None));
        assert!(takes(&["old"], "new/a", Some("old/a")) && takes(&["new"], "new/a", Some("old/a")));
        assert!(takes(&["old/a"], "new", Some("old")), "it went with its directory");
    }
}

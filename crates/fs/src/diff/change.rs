//! What a comparison of two snapshots tells.

use crate::{Attr, Kind};

/// How a path changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its data changed.
    Modified,
    /// It had another path before (the same inode); its data may have changed too, see
    /// [`PathChange::bytes`].
    Renamed {
        /// The path before.
        from: Vec<u8>,
    },
    /// Only its attributes changed: owner, permissions, extended attributes, and the times of what
    /// is no directory.
    Metadata,
}

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// The path from the root, without a leading slash; the root itself is empty.
    pub path: Vec<u8>,
    /// What kind of file it is (or was).
    pub kind: Kind,
    /// How it changed.
    pub change: Change,
    /// Bytes of data that changed, in whole blocks: of an added or deleted file, what its data
    /// takes; of others, what was written or cut.
    pub bytes: u64,
}

/// One changed name of a file; of a directory, its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameChange {
    /// The change of this name alone. [`PathChange::bytes`] is 0 for a further name of a file that
    /// is there already.
    pub change: PathChange,
    /// The file that had the name before; `None` if it is new, and for directories.
    pub before: Option<Attr>,
    /// The file that has the name afterwards; `None` if it is gone, and for directories.
    pub after: Option<Attr>,
}

/// Sorts changes by path, and says of a file that was replaced by another of its kind that it was
/// modified.
pub(super) fn in_order(mut changes: Vec<PathChange>) -> Vec<PathChange> {
    changes.sort_by(|a, b| {
        (&a.path, a.change != Change::Deleted).cmp(&(&b.path, b.change != Change::Deleted))
    });
    changes.dedup_by(|later, earlier| {
        let replaced = later.path == earlier.path
            && later.kind == earlier.kind
            && (&earlier.change, &later.change) == (&Change::Deleted, &Change::Added);
        if replaced {
            earlier.change = Change::Modified;
            earlier.bytes = later.bytes;
        }
        replaced
    });
    changes
}

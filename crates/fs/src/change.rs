//! What changed between two snapshots, by path.

use tine_store::ReadTxn;

use crate::{Kind, Result};

/// How a path changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its data changed.
    Modified,
    /// It had another path before (the same inode); its data may have changed too, see [`PathChange::bytes`].
    Renamed {
        /// The path before.
        from: Vec<u8>,
    },
    /// Only its attributes changed: owner, permissions, times, extended attributes.
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
    /// Bytes of data that changed: of an added or deleted file, what its data takes.
    pub bytes: u64,
}

/// What changed between two snapshots of a file tree, sorted by path; costs what changed, not what there is.
pub fn diff(_before: &ReadTxn, _after: &ReadTxn) -> Result<Vec<PathChange>> {
    todo!()
}

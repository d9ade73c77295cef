//! Which file it is, whatever its path: what stands at a path may be replaced while a process still
//! uses what stood there before.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A file of this machine, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// What is at `path` now, links not followed; `None` when nothing can be seen there.
    pub fn at(path: &Path) -> Option<Identity> {
        fs::symlink_metadata(path).ok().map(|meta| Identity::of(&meta))
    }

    /// The file that `meta` is about.
    pub fn of(meta: &Metadata) -> Identity {
        Identity { device: meta.dev(), inode: meta.ino() }
    }
}

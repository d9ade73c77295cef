//! From the number of a file to a path that leads to it.

use crate::fs::Fs;
use crate::path::{Paths, inode};
use crate::{Ino, Kind, Result};

/// A regular file, and a path of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file.
    pub ino: Ino,
    /// From the root, without a leading slash; `None` where its names are damaged.
    pub path: Option<Vec<u8>>,
}

impl Fs {
    /// The regular files among some inodes, without those that have no name (any more).
    ///
    /// # Errors
    /// Those of the store; a damaged record is no error, the file is then one without a path.
    pub fn locate(&self, inos: impl IntoIterator<Item = Ino>) -> Result<Vec<Located>> {
        let txn = self.snapshot()?;
        let mut paths = Paths::new(&txn)?;
        let mut located = Vec::new();
        for ino in inos {
            let path = match inode(&txn, ino) {
                Ok(Some(found)) if found.attr.kind == Kind::File && found.attr.nlink > 0 => {
                    found.home.and_then(|home| paths.of_link(home).ok().flatten())
                }
                Ok(_) => continue,
                Err(_) => None,
            };
            located.push(Located { ino, path });
        }
        Ok(located)
    }
}

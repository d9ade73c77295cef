//! From the number of a file to a path that leads to it.

use crate::fs::Fs;
use crate::path::{Paths, inode};
use crate::{Ino, Kind, ROOT, Result};

/// A regular file and one of its paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file.
    pub ino: Ino,
    /// Its path from the root, without a leading slash; `None` if its names are damaged.
    pub path: Option<Vec<u8>>,
}

impl Fs {
    /// The first name of a file, and the directory that it is in; `None` of the root and of a file
    /// without a name.
    ///
    /// # Errors
    /// [`crate::Error::NoInode`], damage and I/O errors.
    pub fn first_name(&self, ino: Ino) -> Result<Option<(Ino, Vec<u8>)>> {
        let txn = self.snapshot()?;
        let found = crate::fs::inode(&txn, ino)?;
        match found.home.filter(|_| ino != ROOT) {
            Some(home) => Ok(Some((home.parent, Paths::new(&txn)?.name_at(home)?))),
            None => Ok(None),
        }
    }

    /// The regular files among `inos` that have a name.
    ///
    /// # Errors
    /// Those of the store. A file whose record is damaged is no error, and has no path.
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

//! What a snapshot of a file tree holds, for reading alone.

use tine_store::ReadTxn;

use crate::create::check_target;
use crate::data::read_data;
use crate::header::Header;
use crate::name_hash::Seed;
use crate::path::inode;
use crate::{Attr, Error, Kind, NAME_BYTES_MAX, ROOT, Result, blob, dir, key};

/// A file tree as a snapshot has it.
pub struct View<'a> {
    txn: &'a ReadTxn,
    seed: Seed,
}

impl<'a> View<'a> {
    /// The file tree of a snapshot; one without any holds nothing.
    ///
    /// # Errors
    /// Those of the store, and damage of the header.
    pub fn new(txn: &'a ReadTxn) -> Result<View<'a>> {
        Ok(View { txn, seed: Header::seed(txn)? })
    }

    /// The file at a path from the root, if there is one. Symbolic links are not followed.
    ///
    /// # Errors
    /// Those of the store, and damage on the way.
    pub fn find(&self, path: &[u8]) -> Result<Option<Attr>> {
        let mut at = inode(self.txn, ROOT)?;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            let Some(dir) = at.filter(|at| at.is_dir() && name.len() <= NAME_BYTES_MAX) else {
                return Ok(None);
            };
            at = dir::lookup(self.txn, self.seed, dir.attr.ino, name)?;
        }
        Ok(at.map(|inode| inode.attr))
    }

    /// Reads bytes of a regular file of this snapshot; fewer than asked for only at its end.
    ///
    /// # Errors
    /// Those of the store.
    pub fn read(&self, file: &Attr, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if file.kind != Kind::File {
            return Err(Error::Invalid("only a regular file has data"));
        }
        read_data(self.txn, file, offset, buf)
    }

    /// Where a symbolic link of this snapshot leads.
    ///
    /// # Errors
    /// Those of the store, and damage of the target.
    pub fn target(&self, link: &Attr) -> Result<Vec<u8>> {
        let target = blob::get(self.txn, &key::of(key::TARGET, link.ino))?;
        let target = target.filter(|target| check_target(target).is_ok());
        target.ok_or(Error::Damaged { ino: link.ino, what: "the target" })
    }
}

//! The file tree of one branch.

use tine_store::{Branch, Store};

use crate::{Attr, Caller, Error, Ino, Kind, NewRoot, Result, SetAttr};

/// The file tree of one open branch; cheap to clone, shared by threads.
#[derive(Clone)]
pub struct Fs {
    store: Store,
    branch: Branch,
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The file it names.
    pub ino: Ino,
    /// What kind of file that is.
    pub kind: Kind,
    /// The position to go on from after this entry; it stays right whatever is added or removed.
    pub position: u64,
}

/// What a rename does when the new name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// It replaces what is there.
    Replace,
    /// It fails.
    NoReplace,
    /// The two change places; both must exist.
    Exchange,
}

impl RenameMode {
    /// The meaning of the flags of `renameat2(2)`; whiteouts are refused.
    pub fn of_flags(flags: u32) -> Result<RenameMode> {
        match flags {
            0 => Ok(RenameMode::Replace),
            libc::RENAME_NOREPLACE => Ok(RenameMode::NoReplace),
            libc::RENAME_EXCHANGE => Ok(RenameMode::Exchange),
            _ => Err(Error::Invalid("rename takes no such flags here")),
        }
    }
}

/// What to do with a range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallocate {
    /// The file is at least as long as the end of the range, unless `keep_size`. Blocks are allocated when they are
    /// written: nothing that is written here is ever changed in place, so space set aside could not be used.
    Allocate {
        /// Whether the size stays.
        keep_size: bool,
    },
    /// The range becomes a hole; the size stays.
    PunchHole,
    /// The range reads as zeros; the file may grow, unless `keep_size`.
    ZeroRange {
        /// Whether the size stays.
        keep_size: bool,
    },
}

impl Fallocate {
    /// The meaning of the mode of `fallocate(2)`; collapsing, inserting and unsharing are refused.
    pub fn of_flags(flags: i32) -> Result<Fallocate> {
        const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
        match flags & !KEEP_SIZE {
            0 => Ok(Fallocate::Allocate { keep_size: flags & KEEP_SIZE != 0 }),
            libc::FALLOC_FL_PUNCH_HOLE if flags & KEEP_SIZE != 0 => Ok(Fallocate::PunchHole),
            libc::FALLOC_FL_ZERO_RANGE => {
                Ok(Fallocate::ZeroRange { keep_size: flags & KEEP_SIZE != 0 })
            }
            _ => Err(Error::Unsupported("this mode of fallocate")),
        }
    }
}

/// What a seek looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The next byte that may be other than zero.
    Data,
    /// The next byte in a hole; the end of the file counts as one.
    Hole,
}

/// Whether an extended attribute must be new or must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// Either.
    Any,
    /// It must be new.
    Create,
    /// It must exist.
    Replace,
}

impl XattrMode {
    /// The meaning of the flags of `setxattr(2)`.
    pub fn of_flags(flags: i32) -> Result<XattrMode> {
        match flags {
            0 => Ok(XattrMode::Any),
            libc::XATTR_CREATE => Ok(XattrMode::Create),
            libc::XATTR_REPLACE => Ok(XattrMode::Replace),
            _ => Err(Error::Invalid("setxattr takes no such flags")),
        }
    }
}

/// Space and limits of the file system, as `statfs(2)` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of one block.
    pub block_bytes: u32,
    /// Blocks of the whole store.
    pub blocks: u64,
    /// Blocks that are free.
    pub blocks_free: u64,
    /// The longest name.
    pub name_bytes_max: u32,
}

#[allow(unused_variables, clippy::too_many_arguments)]
impl Fs {
    /// Makes an empty file tree in a branch that has none.
    pub fn format(branch: &Branch, root: &NewRoot) -> Result<()> {
        todo!()
    }
    /// Opens the file tree of a branch, and reclaims the files that nobody can reach any more: unlinked while open, then
    /// cut off by a crash or a fork. A snapshot opens too; every change of it is refused.
    pub fn open(store: &Store, branch: Branch) -> Result<Fs> {
        todo!()
    }
    /// The branch underneath.
    pub fn branch(&self) -> &Branch {
        &self.branch
    }
    /// The attributes of an entry of a directory; `.` and `..` work.
    pub fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        todo!()
    }
    /// The attributes of what a path from the root leads to; symbolic links are not followed.
    pub fn resolve(&self, path: &[u8]) -> Result<Attr> {
        todo!()
    }
    /// The attributes of a file.
    pub fn getattr(&self, ino: Ino) -> Result<Attr> {
        todo!()
    }
    /// Sets attributes and gives them all back.
    pub fn setattr(&self, ino: Ino, set: &SetAttr) -> Result<Attr> {
        todo!()
    }
    /// Makes a regular file, pipe, socket or device; `mode` has type and permission bits.
    pub fn mknod(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        mode: u32,
        rdev: u32,
    ) -> Result<Attr> {
        todo!()
    }
    /// Makes a regular file; fails if the name is taken. The caller counts its own use with [`Fs::opened`].
    pub fn create(&self, caller: &Caller, parent: Ino, name: &[u8], mode: u32) -> Result<Attr> {
        todo!()
    }
    /// Makes a regular file without a name; it lives until its last user releases it, unless it is linked before.
    /// It comes with one use counted, as if by [`Fs::opened`].
    pub fn tmpfile(&self, caller: &Caller, parent: Ino, mode: u32) -> Result<Attr> {
        todo!()
    }
    /// Makes a directory.
    pub fn mkdir(&self, caller: &Caller, parent: Ino, name: &[u8], mode: u32) -> Result<Attr> {
        todo!()
    }
    /// Makes a symbolic link.
    pub fn symlink(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        target: &[u8],
    ) -> Result<Attr> {
        todo!()
    }
    /// The target of a symbolic link.
    pub fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        todo!()
    }
    /// Gives a file one more name.
    pub fn link(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<Attr> {
        todo!()
    }
    /// Removes a name that is not a directory's; a file that is in use lives until its last user releases it.
    pub fn unlink(&self, parent: Ino, name: &[u8]) -> Result<()> {
        todo!()
    }
    /// Removes an empty directory.
    pub fn rmdir(&self, parent: Ino, name: &[u8]) -> Result<()> {
        todo!()
    }
    /// Gives a file another name, in the same or another directory.
    pub fn rename(
        &self,
        parent: Ino,
        name: &[u8],
        new_parent: Ino,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        todo!()
    }
    /// Counts one more user of an inode: an open file, or a kernel that remembers it.
    pub fn opened(&self, ino: Ino) {
        todo!()
    }
    /// Counts one user less; the last one of a file without a name lets it go.
    pub fn released(&self, ino: Ino) -> Result<()> {
        todo!()
    }
    /// Reads bytes of a regular file; fewer than asked for only at its end.
    pub fn read(&self, ino: Ino, offset: u64, buf: &mut [u8]) -> Result<usize> {
        todo!()
    }
    /// Writes bytes of a regular file, all of them, and says how many; `kill_set_id` for a caller without `CAP_FSETID`.
    pub fn write(&self, ino: Ino, offset: u64, data: &[u8], kill_set_id: bool) -> Result<usize> {
        todo!()
    }
    /// Allocates, punches or zeroes a range of bytes of a regular file.
    pub fn fallocate(&self, ino: Ino, what: Fallocate, offset: u64, bytes: u64) -> Result<()> {
        todo!()
    }
    /// The next offset of data or of a hole.
    pub fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64> {
        todo!()
    }
    /// Copies bytes between files or inside one, sharing whole blocks where both offsets allow; says how many bytes.
    pub fn copy_range(
        &self,
        source: Ino,
        source_offset: u64,
        target: Ino,
        target_offset: u64,
        bytes: u64,
    ) -> Result<u64> {
        todo!()
    }
    /// Makes every finished operation on a file durable.
    pub fn fsync(&self, ino: Ino) -> Result<()> {
        todo!()
    }
    /// Makes every finished operation durable.
    pub fn sync(&self) -> Result<()> {
        todo!()
    }
    /// Visits the entries of a directory after a position (0 is the start) until the visitor says `false`; the first two are
    /// `.` and `..`.
    pub fn readdir(
        &self,
        ino: Ino,
        position: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<()> {
        todo!()
    }
    /// As [`Fs::readdir`], with the attributes of each entry.
    pub fn readdir_plus(
        &self,
        ino: Ino,
        position: u64,
        visit: &mut dyn FnMut(DirEntry<'_>, &Attr) -> bool,
    ) -> Result<()> {
        todo!()
    }
    /// The value of an extended attribute.
    pub fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        todo!()
    }
    /// The names of the extended attributes.
    pub fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        todo!()
    }
    /// Sets an extended attribute.
    pub fn setxattr(&self, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        todo!()
    }
    /// Removes an extended attribute.
    pub fn removexattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        todo!()
    }
    /// Space and limits of the store that the branch is in.
    pub fn statfs(&self) -> Result<Stat> {
        todo!()
    }
    /// Records the host directory that the tree was taken from.
    pub fn set_origin(&self, path: &[u8]) -> Result<()> {
        todo!()
    }
    /// The host directory that the tree was taken from, if it was.
    pub fn origin(&self) -> Result<Option<Vec<u8>>> {
        todo!()
    }
}

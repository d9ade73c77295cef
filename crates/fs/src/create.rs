//! Making files of every kind.

use crate::edit::Edit;
use crate::fs::Fs;
use crate::inode::{Inode, Link};
use crate::path::check_name;
use crate::set::check_owner;
use crate::{Attr, Caller, Error, Ino, Kind, Result, SYMLINK_BYTES_MAX, blob, key};

/// What is made, apart from its place and its owner.
struct New {
    kind: Kind,
    mode: u32,
    rdev: u32,
}

impl Fs {
    /// Makes a regular file, pipe, socket or device; `mode` has type and permission bits.
    pub fn mknod(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        mode: u32,
        rdev: u32,
    ) -> Result<Attr> {
        match Kind::of_mode(mode) {
            None | Some(Kind::Directory | Kind::Symlink) => {
                Err(Error::Invalid("mknod makes files, pipes, sockets and devices"))
            }
            Some(kind) => {
                let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
                let new = New { kind, mode, rdev: if device { rdev } else { 0 } };
                self.make(caller, parent, name, &new, |_, _| Ok(()))
            }
        }
    }

    /// Makes a regular file; fails if the name is taken. The caller counts its own use with [`Fs::opened`].
    pub fn create(&self, caller: &Caller, parent: Ino, name: &[u8], mode: u32) -> Result<Attr> {
        self.make(caller, parent, name, &New { kind: Kind::File, mode, rdev: 0 }, |_, _| Ok(()))
    }

    /// Makes a regular file without a name; it lives until its last user releases it, unless it is linked
    /// before. It comes with one use counted, as if by [`Fs::opened`].
    pub fn tmpfile(&self, caller: &Caller, parent: Ino, mode: u32) -> Result<Attr> {
        check_owner(caller.uid, caller.gid)?;
        let ino = self.new_ino()?;
        let mut edit = self.edit()?;
        let dir = edit.dir(parent)?;
        let new = New { kind: Kind::File, mode, rdev: 0 };
        let mut inode = inode(&mut edit, ino, caller, &dir, &new)?;
        inode.attr.nlink = 0;
        edit.txn.put(&key::of(key::ORPHAN, ino), &[])?;
        edit.set(inode);
        edit.commit()?;
        self.opened(ino);
        self.live().set_unlinked(ino, true);
        Ok(inode.attr)
    }

    /// Makes a directory.
    pub fn mkdir(&self, caller: &Caller, parent: Ino, name: &[u8], mode: u32) -> Result<Attr> {
        let new = New { kind: Kind::Directory, mode, rdev: 0 };
        self.make(caller, parent, name, &new, |_, _| Ok(()))
    }

    /// Makes a symbolic link.
    pub fn symlink(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        target: &[u8],
    ) -> Result<Attr> {
        check_target(target)?;
        let new = New { kind: Kind::Symlink, mode: 0o777, rdev: 0 };
        self.make(caller, parent, name, &new, |edit, inode| {
            inode.attr.size = target.len() as u64;
            blob::put(&mut edit.txn, &key::of(key::TARGET, inode.attr.ino), target)
        })
    }

    /// The target of a symbolic link.
    pub fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        let txn = self.snapshot()?;
        if crate::fs::inode(&txn, ino)?.attr.kind != Kind::Symlink {
            return Err(Error::Invalid("not a symbolic link"));
        }
        let target = blob::get(&txn, &key::of(key::TARGET, ino))?;
        let target = target.filter(|target| check_target(target).is_ok());
        target.ok_or(Error::Damaged { ino, what: "the target" })
    }

    fn make(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        new: &New,
        fill: impl FnOnce(&mut Edit<'_>, &mut Inode) -> Result<()>,
    ) -> Result<Attr> {
        check_name(name)?;
        check_owner(caller.uid, caller.gid)?;
        let ino = self.new_ino()?;
        let mut edit = self.edit()?;
        let dir = edit.dir(parent)?;
        let mut inode = inode(&mut edit, ino, caller, &dir, new)?;
        inode.home = edit.add_entry(parent, name, ino, new.kind)?;
        fill(&mut edit, &mut inode)?;
        edit.set(inode);
        edit.commit()?;
        Ok(inode.attr)
    }
}

/// Refuses what cannot be the target of a symbolic link, whether it is given or read.
pub(crate) fn check_target(target: &[u8]) -> Result<()> {
    if target.len() > SYMLINK_BYTES_MAX {
        return Err(Error::NameTooLong { bytes: target.len(), bytes_max: SYMLINK_BYTES_MAX });
    }
    if target.is_empty() || target.contains(&0) {
        return Err(Error::Invalid("the target of a symbolic link is empty or has NUL in it"));
    }
    Ok(())
}

/// A new whiteout in a directory, still without a name.
pub(crate) fn whiteout(
    edit: &mut Edit<'_>,
    ino: Ino,
    caller: &Caller,
    dir: &Inode,
) -> Result<Inode> {
    inode(edit, ino, caller, dir, &New { kind: Kind::CharDevice, mode: 0, rdev: 0 })
}

/// A new inode in a directory. A set-gid directory passes on its group, and to directories the bit as well; one
/// with a default access list passes that on, in place of the caller's mask.
fn inode(edit: &mut Edit<'_>, ino: Ino, caller: &Caller, dir: &Inode, new: &New) -> Result<Inode> {
    let is_dir = new.kind == Kind::Directory;
    let inherits = dir.attr.mode & libc::S_ISGID != 0;
    let mut mode = match new.kind {
        Kind::Symlink => new.mode,
        _ => match edit.inherit_acl(dir.attr.ino, ino, new.mode, is_dir)? {
            Some(mode) => mode,
            None => new.mode & !caller.umask,
        },
    } & 0o7777;
    if inherits && is_dir {
        mode |= libc::S_ISGID;
    }
    let attr = Attr {
        ino,
        size: 0,
        blocks_512: 0,
        atime: edit.now,
        mtime: edit.now,
        ctime: edit.now,
        crtime: edit.birth,
        kind: new.kind,
        mode,
        nlink: if is_dir { 2 } else { 1 },
        uid: caller.uid,
        gid: if inherits { dir.attr.gid } else { caller.gid },
        rdev: new.rdev,
    };
    Ok(Inode { attr, home: Link::NONE, capability: false })
}

//! Creating files of every kind.

use crate::fs::Fs;
use crate::inode::Inode;
use crate::name::check_name;
use crate::setattr::check_owner;
use crate::tree_txn::TreeTxn;
use crate::{Attr, Caller, Error, Ino, Kind, Result, SYMLINK_BYTES_MAX, blob, key};

/// A file to be created, without its place and its owner.
struct NewFile {
    kind: Kind,
    mode: u32,
    rdev: u32,
}

impl Fs {
    /// Creates a regular file, pipe, socket or device. `mode` has type and permission bits.
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
                let new = NewFile { kind, mode, rdev: if device { rdev } else { 0 } };
                self.create_inode(caller, parent, name, &new, |_, _| Ok(()))
            }
        }
    }

    /// Creates a regular file; fails if the name is taken. The caller counts its use with
    /// [`Fs::opened`].
    pub fn create(&self, caller: &Caller, parent: Ino, name: &[u8], mode: u32) -> Result<Attr> {
        self.create_inode(
            caller,
            parent,
            name,
            &NewFile { kind: Kind::File, mode, rdev: 0 },
            |_, _| Ok(()),
        )
    }

    /// Creates a regular file without a name. It lives until its last user releases it, unless it
    /// is linked before. One use is counted, as by [`Fs::opened`].
    pub fn tmpfile(&self, caller: &Caller, parent: Ino, mode: u32) -> Result<Attr> {
        check_owner(caller.uid, caller.gid)?;
        let ino = self.new_ino()?;
        let mut tree = self.begin()?;
        let dir = tree.dir(parent)?;
        let new = NewFile { kind: Kind::File, mode, rdev: 0 };
        let mut inode = new_inode(&mut tree, ino, caller, &dir, &new)?;
        inode.attr.nlink = 0;
        tree.txn.put(&key::of(key::ORPHAN, ino), &[])?;
        tree.put_inode(inode);
        tree.commit()?;
        self.opened(ino);
        self.open_inodes().set_unlinked(ino, true);
        Ok(inode.attr)
    }

    /// Creates a directory.
    pub fn mkdir(&self, caller: &Caller, parent: Ino, name: &[u8], mode: u32) -> Result<Attr> {
        let new = NewFile { kind: Kind::Directory, mode, rdev: 0 };
        self.create_inode(caller, parent, name, &new, |_, _| Ok(()))
    }

    /// Creates a symbolic link.
    pub fn symlink(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        target: &[u8],
    ) -> Result<Attr> {
        check_target(target)?;
        let new = NewFile { kind: Kind::Symlink, mode: 0o777, rdev: 0 };
        self.create_inode(caller, parent, name, &new, |tree, inode| {
            inode.attr.size = target.len() as u64;
            blob::put(&mut tree.txn, &key::of(key::TARGET, inode.attr.ino), target)
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

    fn create_inode(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        new: &NewFile,
        fill: impl FnOnce(&mut TreeTxn<'_>, &mut Inode) -> Result<()>,
    ) -> Result<Attr> {
        check_name(name)?;
        check_owner(caller.uid, caller.gid)?;
        let ino = self.new_ino()?;
        let mut tree = self.begin()?;
        let dir = tree.dir(parent)?;
        let mut inode = new_inode(&mut tree, ino, caller, &dir, new)?;
        inode.home = Some(tree.add_entry(parent, name, ino, new.kind)?);
        fill(&mut tree, &mut inode)?;
        tree.put_inode(inode);
        tree.commit()?;
        Ok(inode.attr)
    }
}

/// Refuses what cannot be the target of a symbolic link, whether it comes from a caller or from the
/// store.
pub(crate) fn check_target(target: &[u8]) -> Result<()> {
    if target.len() > SYMLINK_BYTES_MAX {
        return Err(Error::NameTooLong { bytes: target.len(), bytes_max: SYMLINK_BYTES_MAX });
    }
    if target.is_empty() || target.contains(&0) {
        return Err(Error::Invalid("the target of a symbolic link is empty or has NUL in it"));
    }
    Ok(())
}

/// A new whiteout for a directory, still without a name.
pub(crate) fn whiteout(
    tree: &mut TreeTxn<'_>,
    ino: Ino,
    caller: &Caller,
    dir: &Inode,
) -> Result<Inode> {
    new_inode(tree, ino, caller, dir, &NewFile { kind: Kind::CharDevice, mode: 0, rdev: 0 })
}

/// A new inode for a directory, still without a name. A set-gid directory passes on its group, and
/// to directories the bit as well; a directory with a default access list passes that on, in place
/// of the caller's umask.
fn new_inode(
    tree: &mut TreeTxn<'_>,
    ino: Ino,
    caller: &Caller,
    dir: &Inode,
    new: &NewFile,
) -> Result<Inode> {
    let is_dir = new.kind == Kind::Directory;
    let inherits = dir.attr.mode & libc::S_ISGID != 0;
    let mut mode = match new.kind {
        Kind::Symlink => new.mode,
        _ => match tree.inherit_acl(dir.attr.ino, ino, new.mode, is_dir)? {
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
        atime: tree.now,
        mtime: tree.now,
        ctime: tree.now,
        crtime: tree.birth,
        kind: new.kind,
        mode,
        nlink: if is_dir { 2 } else { 1 },
        uid: caller.uid,
        gid: if inherits { dir.attr.gid } else { caller.gid },
        rdev: new.rdev,
    };
    Ok(Inode { attr, home: None, capability: false })
}

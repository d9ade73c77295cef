//! Renaming, with what the flags of `renameat2(2)` ask for.

use crate::create;
use crate::fs::Fs;
use crate::inode::{Inode, Link};
use crate::name::check_name;
use crate::path::Round;
use crate::tree_txn::{Named, TreeTxn, exists, no_entry};
use crate::{Caller, Error, Ino, Kind, ROOT, Result};

/// What a rename does when the new name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// It replaces what is there.
    Replace,
    /// It fails.
    NoReplace,
    /// The two are exchanged; both must exist.
    Exchange,
}

impl RenameMode {
    /// The meaning of the flags of `renameat2(2)`, but for `RENAME_WHITEOUT`, see
    /// [`Fs::rename_leaving_whiteout`].
    pub fn of_flags(flags: u32) -> Result<RenameMode> {
        match flags {
            0 => Ok(RenameMode::Replace),
            libc::RENAME_NOREPLACE => Ok(RenameMode::NoReplace),
            libc::RENAME_EXCHANGE => Ok(RenameMode::Exchange),
            _ => Err(Error::Invalid("rename takes no such flags here")),
        }
    }
}

impl Fs {
    /// Gives a file another name, in the same or another directory.
    pub fn rename(
        &self,
        parent: Ino,
        name: &[u8],
        new_parent: Ino,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        self.move_name((parent, name), (new_parent, new_name), mode, None)
    }

    /// Gives a file another name, and leaves a whiteout under the old one, owned by the caller: a
    /// character device with the number 0, by which an overlay file system hides what a lower layer
    /// has there.
    pub fn rename_leaving_whiteout(
        &self,
        caller: &Caller,
        (parent, name): (Ino, &[u8]),
        (new_parent, new_name): (Ino, &[u8]),
        mode: RenameMode,
    ) -> Result<()> {
        if mode == RenameMode::Exchange {
            return Err(Error::Invalid("an exchange leaves no name for a whiteout"));
        }
        self.move_name((parent, name), (new_parent, new_name), mode, Some(caller))
    }

    fn move_name(
        &self,
        (parent, name): (Ino, &[u8]),
        (new_parent, new_name): (Ino, &[u8]),
        mode: RenameMode,
        leaving_whiteout: Option<&Caller>,
    ) -> Result<()> {
        check_name(name)?;
        check_name(new_name)?;
        let whiteout = match leaving_whiteout {
            Some(caller) => Some((caller, self.new_ino()?)),
            None => None,
        };
        let mut tree = self.begin()?;
        let old_dir = tree.dir(parent)?;
        tree.dir(new_parent)?;
        let source = tree.existing(parent, name)?;
        let target = tree.find(new_parent, new_name)?;
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => return Err(exists(new_parent, new_name)),
            (RenameMode::Exchange, None) => return Err(no_entry(new_parent, new_name)),
            _ => {}
        }
        if target.is_some_and(|target| target.ino == source.ino) {
            return Ok(());
        }
        not_below(&tree, source, new_parent)?;
        let mut orphaned = None;
        match (mode, target) {
            (RenameMode::Exchange, Some(target)) => {
                not_below(&tree, target, parent)?;
                tree.replace_entry(&source, name, &target)?;
                tree.replace_entry(&target, new_name, &source)?;
                moved(&mut tree, source, target.link)?;
                moved(&mut tree, target, source.link)?;
            }
            (_, Some(target)) => {
                tree.txn.gives_back();
                replaceable(&tree, source, target)?;
                leave(&mut tree, &old_dir, name, source, whiteout)?;
                tree.replace_entry(&target, new_name, &source)?;
                moved(&mut tree, source, target.link)?;
                orphaned = tree.drop_link(target)?.then_some(target.ino);
            }
            (_, None) => {
                leave(&mut tree, &old_dir, name, source, whiteout)?;
                let link = tree.add_entry(new_parent, new_name, source.ino, source.kind)?;
                moved(&mut tree, source, link)?;
            }
        }
        tree.commit()?;
        orphaned.map_or(Ok(()), |ino| self.evict(ino))
    }
}

/// Removes the old name, or makes it name a whiteout.
fn leave(
    tree: &mut TreeTxn<'_>,
    dir: &Inode,
    name: &[u8],
    source: Named,
    whiteout: Option<(&Caller, Ino)>,
) -> Result<()> {
    let Some((caller, ino)) = whiteout else {
        return tree.remove_entry(dir.attr.ino, name, source.kind);
    };
    let mut inode = create::whiteout(tree, ino, caller, dir)?;
    inode.home = Some(source.link);
    let named = Named { ino, kind: Kind::CharDevice, link: source.link };
    tree.replace_entry(&source, name, &named)?;
    tree.put_inode(inode);
    Ok(())
}

/// Refuses to move a directory into itself or below.
fn not_below(tree: &TreeTxn<'_>, moved: Named, dir: Ino) -> Result<()> {
    if moved.kind != Kind::Directory || moved.link.parent == dir {
        return Ok(());
    }
    let (mut at, mut round) = (dir, Round::from(dir));
    while at != ROOT {
        if at == moved.ino {
            return Err(Error::Invalid("a directory cannot move into itself"));
        }
        let damaged = Error::Damaged { ino: dir, what: "the place" };
        let Some(home) = tree.inode(at)?.home else { return Err(damaged) };
        at = home.parent;
        if round.closes_at(at) {
            return Err(damaged);
        }
    }
    Ok(())
}

/// Refuses to replace a file by a directory, a directory by a file, or a directory that is not
/// empty.
fn replaceable(tree: &TreeTxn<'_>, source: Named, target: Named) -> Result<()> {
    let ino = target.ino;
    match (source.kind == Kind::Directory, target.kind == Kind::Directory) {
        (true, false) => Err(Error::NotDirectory { ino }),
        (false, true) => Err(Error::IsDirectory { ino }),
        (true, true) if tree.inode(ino)?.attr.size != 0 => Err(Error::NotEmpty { ino }),
        _ => Ok(()),
    }
}

/// Records the new place of an inode.
fn moved(tree: &mut TreeTxn<'_>, named: Named, link: Link) -> Result<()> {
    let mut inode = tree.inode(named.ino)?;
    tree.move_link(&mut inode, named.link, link)?;
    inode.attr.ctime = tree.now;
    tree.put_inode(inode);
    Ok(())
}

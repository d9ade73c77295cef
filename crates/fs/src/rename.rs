//! Renaming, with what the flags of `renameat2(2)` ask for.

use crate::edit::{Edit, Named, exists, no_entry};
use crate::fs::Fs;
use crate::inode::{Inode, Link};
use crate::make;
use crate::path::{Round, check_name};
use crate::{Caller, Error, Ino, Kind, ROOT, Result};

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
    /// The meaning of the flags of `renameat2(2)`, but for `RENAME_WHITEOUT`, see [`Fs::rename_leaving_whiteout`].
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

    /// Gives a file another name, and leaves a whiteout of the caller's under the old one: a character device
    /// with the number 0, by which an overlay file system hides what a lower layer has there.
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
        let mut edit = self.edit()?;
        let old_dir = edit.dir(parent)?;
        edit.dir(new_parent)?;
        let source = edit.existing(parent, name)?;
        let target = edit.find(new_parent, new_name)?;
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => return Err(exists(new_parent, new_name)),
            (RenameMode::Exchange, None) => return Err(no_entry(new_parent, new_name)),
            _ => {}
        }
        if target.is_some_and(|target| target.ino == source.ino) {
            return Ok(());
        }
        not_below(&edit, source, new_parent)?;
        let mut late = None;
        match (mode, target) {
            (RenameMode::Exchange, Some(target)) => {
                not_below(&edit, target, parent)?;
                edit.replace_entry(&source, name, &target)?;
                edit.replace_entry(&target, new_name, &source)?;
                moved(&mut edit, source, target.link)?;
                moved(&mut edit, target, source.link)?;
            }
            (_, Some(target)) => {
                edit.txn.gives_back();
                replaceable(&edit, source, target)?;
                leave(&mut edit, &old_dir, name, source, whiteout)?;
                edit.replace_entry(&target, new_name, &source)?;
                moved(&mut edit, source, target.link)?;
                late = edit.drop_link(target)?.then_some(target.ino);
            }
            (_, None) => {
                leave(&mut edit, &old_dir, name, source, whiteout)?;
                let link = edit.add_entry(new_parent, new_name, source.ino, source.kind)?;
                moved(&mut edit, source, link)?;
            }
        }
        edit.commit()?;
        late.map_or(Ok(()), |ino| self.let_go(ino))
    }
}

/// Takes the old name away, or lets it name a whiteout.
fn leave(
    edit: &mut Edit<'_>,
    dir: &Inode,
    name: &[u8],
    source: Named,
    whiteout: Option<(&Caller, Ino)>,
) -> Result<()> {
    let Some((caller, ino)) = whiteout else {
        return edit.remove_entry(dir.attr.ino, name, source.kind);
    };
    let mut inode = make::whiteout(edit, ino, caller, dir)?;
    inode.home = source.link;
    let named = Named { ino, kind: Kind::CharDevice, link: source.link };
    edit.replace_entry(&source, name, &named)?;
    edit.set(inode);
    Ok(())
}

/// Refuses to move a directory into itself or below.
fn not_below(edit: &Edit<'_>, moved: Named, dir: Ino) -> Result<()> {
    if moved.kind != Kind::Directory || moved.link.parent == dir {
        return Ok(());
    }
    let (mut at, mut round) = (dir, Round::from(dir));
    while at != ROOT {
        if at == moved.ino {
            return Err(Error::Invalid("a directory cannot move into itself"));
        }
        at = edit.inode(at)?.home.parent;
        if round.closes_at(at) {
            return Err(Error::Damaged { ino: dir, what: "the place" });
        }
    }
    Ok(())
}

/// Refuses to put a directory in place of a file, a file in place of a directory, or anything in place of a full one.
fn replaceable(edit: &Edit<'_>, source: Named, target: Named) -> Result<()> {
    let ino = target.ino;
    match (source.kind == Kind::Directory, target.kind == Kind::Directory) {
        (true, false) => Err(Error::NotDirectory { ino }),
        (false, true) => Err(Error::IsDirectory { ino }),
        (true, true) if edit.inode(ino)?.attr.size != 0 => Err(Error::NotEmpty { ino }),
        _ => Ok(()),
    }
}

/// Lets an inode know its new place.
fn moved(edit: &mut Edit<'_>, named: Named, link: Link) -> Result<()> {
    let mut inode = edit.inode(named.ino)?;
    edit.move_link(&mut inode, named.link, link)?;
    inode.attr.ctime = edit.now;
    edit.set(inode);
    Ok(())
}

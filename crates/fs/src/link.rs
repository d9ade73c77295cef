//! Giving files further names and taking names away.

use crate::edit::{Edit, Named, one_more};
use crate::fs::Fs;
use crate::path::check_name;
use crate::{Attr, Error, Ino, Kind, Result, key};

impl Fs {
    /// Gives a file one more name.
    pub fn link(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<Attr> {
        check_name(name)?;
        let mut edit = self.edit()?;
        let mut inode = edit.inode(ino)?;
        if inode.is_dir() {
            return Err(Error::NotPermitted("a directory has one name"));
        }
        let nameless = inode.attr.nlink == 0;
        inode.attr.nlink = one_more(&inode)?;
        let link = edit.add_entry(parent, name, ino, inode.attr.kind)?;
        edit.add_link(&mut inode, link)?;
        inode.attr.ctime = edit.now;
        edit.set(inode);
        if nameless {
            edit.txn.delete(&key::of(key::ORPHAN, ino))?;
        }
        edit.commit()?;
        if nameless {
            self.live().set_unlinked(ino, false);
        }
        Ok(inode.attr)
    }

    /// Removes a name that is not a directory's; a file that is in use lives until its last user releases it.
    pub fn unlink(&self, parent: Ino, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let edit = self.removal()?;
        edit.dir(parent)?;
        let named = edit.existing(parent, name)?;
        if named.kind == Kind::Directory {
            return Err(Error::IsDirectory { ino: named.ino });
        }
        self.remove(edit, named, name)
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, parent: Ino, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let edit = self.removal()?;
        edit.dir(parent)?;
        let named = edit.existing(parent, name)?;
        if named.kind != Kind::Directory {
            return Err(Error::NotDirectory { ino: named.ino });
        }
        if edit.inode(named.ino)?.attr.size != 0 {
            return Err(Error::NotEmpty { ino: named.ino });
        }
        self.remove(edit, named, name)
    }

    fn remove(&self, mut edit: Edit<'_>, named: Named, name: &[u8]) -> Result<()> {
        edit.remove_entry(named.link.parent, name, named.kind)?;
        let late = edit.drop_link(named)?;
        edit.reclaim_some_pending()?;
        edit.commit()?;
        if late { self.let_go(named.ino) } else { Ok(()) }
    }
}

impl Edit<'_> {
    /// Takes one name from an inode whose entry is gone. With its last name the inode goes, or is noted as an
    /// orphan while it is in use or too large to go at once; whether it is for the caller to let it go after the commit.
    pub fn drop_link(&mut self, named: Named) -> Result<bool> {
        let mut inode = self.inode(named.ino)?;
        self.remove_link(&mut inode, named.link)?;
        inode.attr.nlink = if inode.is_dir() { 0 } else { inode.attr.nlink.saturating_sub(1) };
        inode.attr.ctime = self.now;
        self.set(inode);
        if inode.attr.nlink > 0 {
            return Ok(false);
        }
        let used = self.fs.live().set_unlinked(named.ino, true);
        if !used && self.goes_at_once(&inode) {
            self.reclaim(&inode)?;
            return Ok(false);
        }
        self.txn.put(&key::of(key::ORPHAN, named.ino), &[])?;
        Ok(!used)
    }
}

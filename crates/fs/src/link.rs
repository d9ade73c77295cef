//! Giving files further names and taking names away.

use crate::fs::Fs;
use crate::name::check_name;
use crate::tree_txn::{Named, TreeTxn, one_more};
use crate::{Attr, Error, Ino, Kind, Result, key};

impl Fs {
    /// Gives a file one more name.
    pub fn link(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<Attr> {
        check_name(name)?;
        let mut tree = self.begin()?;
        let mut inode = tree.inode(ino)?;
        if inode.is_dir() {
            return Err(Error::NotPermitted("a directory has one name"));
        }
        let nameless = inode.attr.nlink == 0;
        inode.attr.nlink = one_more(&inode)?;
        let link = tree.add_entry(parent, name, ino, inode.attr.kind)?;
        tree.add_link(&mut inode, link)?;
        inode.attr.ctime = tree.now;
        tree.put_inode(inode);
        if nameless {
            tree.txn.delete(&key::of(key::ORPHAN, ino))?;
        }
        tree.commit()?;
        if nameless {
            self.open_inodes().set_unlinked(ino, false);
        }
        Ok(inode.attr)
    }

    /// Removes a name of anything but a directory. A file that is in use lives until its last user
    /// releases it.
    pub fn unlink(&self, parent: Ino, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let tree = self.begin_removal()?;
        tree.dir(parent)?;
        let named = tree.existing(parent, name)?;
        if named.kind == Kind::Directory {
            return Err(Error::IsDirectory { ino: named.ino });
        }
        self.remove(tree, named, name)
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, parent: Ino, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let tree = self.begin_removal()?;
        tree.dir(parent)?;
        let named = tree.existing(parent, name)?;
        if named.kind != Kind::Directory {
            return Err(Error::NotDirectory { ino: named.ino });
        }
        if tree.inode(named.ino)?.attr.size != 0 {
            return Err(Error::NotEmpty { ino: named.ino });
        }
        self.remove(tree, named, name)
    }

    fn remove(&self, mut tree: TreeTxn<'_>, named: Named, name: &[u8]) -> Result<()> {
        tree.remove_entry(named.link.parent, name, named.kind)?;
        let orphaned = tree.drop_link(named)?;
        tree.evict_some_queued()?;
        tree.commit()?;
        if orphaned { self.evict(named.ino) } else { Ok(()) }
    }
}

impl TreeTxn<'_> {
    /// Removes one name from an inode whose entry is gone. With its last name the inode is evicted,
    /// or becomes an orphan if it is in use or too large to be evicted at once. Returns `true` if
    /// the caller must evict the orphan after the commit.
    pub fn drop_link(&mut self, named: Named) -> Result<bool> {
        let mut inode = self.inode(named.ino)?;
        self.remove_link(&mut inode, named.link)?;
        inode.attr.nlink = if inode.is_dir() { 0 } else { inode.attr.nlink.saturating_sub(1) };
        inode.attr.ctime = self.now;
        self.put_inode(inode);
        if inode.attr.nlink > 0 {
            return Ok(false);
        }
        let used = self.fs.open_inodes().set_unlinked(named.ino, true);
        if !used && self.is_small(&inode) {
            self.delete_everything(&inode)?;
            return Ok(false);
        }
        self.txn.put(&key::of(key::ORPHAN, named.ino), &[])?;
        Ok(!used)
    }
}

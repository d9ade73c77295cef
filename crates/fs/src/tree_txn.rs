//! One change of the tree: a transaction of the store that writes the inodes it has changed at its
//! commit, so that an operation that meets one inode in two roles (a rename inside one directory)
//! sees one state of it.

use tine_store::{ReadTxn, WriteTxn};

use crate::bucket::{self, Place};
use crate::fs::Fs;
use crate::inode::{Inode, Link};
use crate::time::{self, Moment};
use crate::{Error, Ino, Kind, LINK_MAX, Result, Time, key};

pub(crate) struct TreeTxn<'a> {
    pub fs: &'a Fs,
    pub txn: WriteTxn<'a>,
    pub now: Time,
    /// The time of birth of the inodes that it makes.
    pub birth: Time,
    changed: Vec<Inode>,
}

/// What an entry of a directory names, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub ino: Ino,
    pub kind: Kind,
    pub link: Link,
}

impl Fs {
    /// Begins a change of the tree.
    pub(crate) fn begin(&self) -> Result<TreeTxn<'_>> {
        let txn = self.branch().write()?;
        let Moment { now, birth } = time::moment();
        Ok(TreeTxn { fs: self, txn, now, birth, changed: Vec::new() })
    }

    /// As [`Fs::begin`], for a change that frees more than it takes. It works on a full disk too.
    pub(crate) fn begin_removal(&self) -> Result<TreeTxn<'_>> {
        let mut tree = self.begin()?;
        tree.txn.gives_back();
        Ok(tree)
    }
}

impl TreeTxn<'_> {
    /// The state before the change.
    pub fn view(&self) -> &ReadTxn {
        self.txn.view()
    }

    pub fn inode(&self, ino: Ino) -> Result<Inode> {
        if let Some(inode) = self.changed.iter().find(|inode| inode.attr.ino == ino) {
            return Ok(*inode);
        }
        match self.txn.get(&key::of(key::INODE, ino))? {
            Some(bytes) => Inode::decode(ino, &bytes),
            None => Err(Error::NoInode { ino }),
        }
    }

    /// A directory that has not been removed, so that entries can be made in it.
    pub fn dir(&self, ino: Ino) -> Result<Inode> {
        let inode = self.inode(ino)?;
        if !inode.is_dir() {
            return Err(Error::NotDirectory { ino });
        }
        if inode.attr.nlink == 0 {
            return Err(Error::NoInode { ino });
        }
        Ok(inode)
    }

    /// Writes the inode at the commit.
    pub fn put_inode(&mut self, inode: Inode) {
        match self.changed.iter_mut().find(|known| known.attr.ino == inode.attr.ino) {
            Some(known) => *known = inode,
            None => self.changed.push(inode),
        }
    }

    /// Removes the record of an inode.
    pub fn delete_inode(&mut self, ino: Ino) -> Result<()> {
        self.changed.retain(|inode| inode.attr.ino != ino);
        Ok(self.txn.delete(&key::of(key::INODE, ino))?)
    }

    pub fn commit(mut self) -> Result<()> {
        for inode in &self.changed {
            self.txn.put(&key::of(key::INODE, inode.attr.ino), &inode.encode())?;
        }
        Ok(self.txn.commit()?)
    }

    fn bucket(&self, dir: Ino, name: &[u8]) -> Result<(Place, Vec<u8>)> {
        let place = self.fs.place(dir, name);
        let bytes = self.txn.get(&key::bucket(dir, place.hash))?;
        Ok((place, bytes.unwrap_or_default()))
    }

    fn put_bucket(&mut self, place: Place, bytes: &[u8]) -> Result<()> {
        let key = key::bucket(place.dir, place.hash);
        if bytes.is_empty() {
            self.txn.delete(&key)?
        } else {
            self.txn.put(&key, bytes)?
        }
        Ok(())
    }

    /// What a name of a directory leads to, if it is there.
    pub fn find(&self, dir: Ino, name: &[u8]) -> Result<Option<Named>> {
        let (place, bytes) = self.bucket(dir, name)?;
        Ok(bucket::find(place, &bytes, name)?.map(|entry| Named {
            ino: entry.ino,
            kind: entry.kind,
            link: Link { parent: dir, position: bucket::position(place.hash, entry.slot) },
        }))
    }

    /// As [`TreeTxn::find`], for a name that has to be there.
    pub fn existing(&self, dir: Ino, name: &[u8]) -> Result<Named> {
        self.find(dir, name)?.ok_or_else(|| no_entry(dir, name))
    }

    /// Adds an entry to a directory and stamps the directory.
    ///
    /// # Errors
    /// [`Error::Exists`] if the name is taken.
    pub fn add_entry(&mut self, dir: Ino, name: &[u8], ino: Ino, kind: Kind) -> Result<Link> {
        let mut parent = self.dir(dir)?;
        let (place, mut bytes) = self.bucket(dir, name)?;
        if bucket::find(place, &bytes, name)?.is_some() {
            return Err(exists(dir, name));
        }
        if kind == Kind::Directory {
            parent.attr.nlink = one_more(&parent)?;
        }
        let slot = bucket::add(place, &mut bytes, name, ino, kind)?;
        self.put_bucket(place, &bytes)?;
        parent.attr.size = parent.attr.size.saturating_add(entry_size(name));
        self.stamp(parent);
        Ok(Link { parent: dir, position: bucket::position(place.hash, slot) })
    }

    /// Removes an entry from a directory and stamps the directory.
    pub fn remove_entry(&mut self, dir: Ino, name: &[u8], kind: Kind) -> Result<()> {
        let mut parent = self.inode(dir)?;
        let (place, bytes) = self.bucket(dir, name)?;
        let bytes = bucket::without(place, &bytes, name)?;
        self.put_bucket(place, &bytes)?;
        parent.attr.size = parent.attr.size.saturating_sub(entry_size(name));
        if kind == Kind::Directory {
            parent.attr.nlink = parent.attr.nlink.saturating_sub(1);
        }
        self.stamp(parent);
        Ok(())
    }

    /// Makes an entry name another inode, at the same position, and stamps the directory.
    pub fn replace_entry(&mut self, old: &Named, name: &[u8], new: &Named) -> Result<()> {
        let dir = old.link.parent;
        let mut parent = self.inode(dir)?;
        let (place, bytes) = self.bucket(dir, name)?;
        let bytes = bucket::with(place, &bytes, name, new.ino, new.kind)?;
        self.put_bucket(place, &bytes)?;
        match (old.kind == Kind::Directory, new.kind == Kind::Directory) {
            (false, true) => parent.attr.nlink = one_more(&parent)?,
            (true, false) => parent.attr.nlink = parent.attr.nlink.saturating_sub(1),
            _ => {}
        }
        self.stamp(parent);
        Ok(())
    }

    fn stamp(&mut self, mut dir: Inode) {
        dir.attr.mtime = self.now;
        dir.attr.ctime = self.now;
        self.put_inode(dir);
    }

    /// Records one more name of an inode: the first in the inode, others under keys of their own.
    pub fn add_link(&mut self, inode: &mut Inode, link: Link) -> Result<()> {
        if inode.home.is_none() {
            inode.home = Some(link);
            return Ok(());
        }
        let key = key::link(inode.attr.ino, link.parent, link.position);
        Ok(self.txn.put(&key, &[])?)
    }

    /// Removes one recorded name of an inode. If it was the first, another becomes the first.
    pub fn remove_link(&mut self, inode: &mut Inode, link: Link) -> Result<()> {
        let ino = inode.attr.ino;
        if inode.home != Some(link) {
            return Ok(self.txn.delete(&key::link(ino, link.parent, link.position))?);
        }
        inode.home = None;
        if inode.is_dir() || inode.attr.nlink < 2 {
            return Ok(());
        }
        let next = crate::path::links(self.view(), ino).next().transpose()?;
        let next = next.ok_or(Error::Damaged { ino, what: "names" })?;
        inode.home = Some(next);
        Ok(self.txn.delete(&key::link(ino, next.parent, next.position))?)
    }

    /// Replaces one recorded name of an inode.
    pub fn move_link(&mut self, inode: &mut Inode, old: Link, new: Link) -> Result<()> {
        if inode.home == Some(old) {
            inode.home = Some(new);
            return Ok(());
        }
        let ino = inode.attr.ino;
        self.txn.delete(&key::link(ino, old.parent, old.position))?;
        Ok(self.txn.put(&key::link(ino, new.parent, new.position), &[])?)
    }
}

/// The number of links after one more.
pub(crate) fn one_more(inode: &Inode) -> Result<u32> {
    match inode.attr.nlink {
        nlink if nlink < LINK_MAX => Ok(nlink + 1),
        _ => Err(Error::TooManyLinks { ino: inode.attr.ino }),
    }
}

/// What an entry adds to the size of its directory.
pub(crate) fn entry_size(name: &[u8]) -> u64 {
    name.len() as u64 + 16
}

pub(crate) fn no_entry(parent: Ino, name: &[u8]) -> Error {
    Error::NoEntry { parent, name: String::from_utf8_lossy(name).into_owned() }
}

pub(crate) fn exists(parent: Ino, name: &[u8]) -> Error {
    Error::Exists { parent, name: String::from_utf8_lossy(name).into_owned() }
}

//! Files as they are on the host: made with all their attributes at once, and given new ones when
//! they changed there.

use crate::acl::{self, Acl};
use crate::create::check_target;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::name::check_name;
use crate::setattr::{check_owner, check_time};
use crate::tree_txn::TreeTxn;
use crate::xattr::{self, CAPABILITY};
use crate::{
    Attr, Error, FILE_BYTES_MAX, HostRecord, Ino, Kind, Result, Time, XATTR_BYTES_MAX, blob, key,
    numbers,
};

/// A file of the host without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The number of a device, as the kernel encodes it in 32 bits.
    pub rdev: u32,
    /// Bytes of a regular file; of anything else it is not looked at.
    pub size: u64,
    /// The time of the last read.
    pub atime: Time,
    /// Its extended attributes; access lists among them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it was on the host. Its times and, where it is free, its number are shown as those of
    /// the file.
    pub record: HostRecord,
}

impl Fs {
    /// Makes a file, all in one step. `content` is the target of a symbolic link, or the bytes of a
    /// regular file from its beginning on; the rest of it is a hole, to be written before
    /// [`Fs::set_imported`]. The inode has the number it has on the host if no other file of the
    /// tree has that.
    ///
    /// # Errors
    /// [`Error::Exists`]; those of names, attributes and data that cannot be.
    pub fn import(
        &self,
        parent: Ino,
        name: &[u8],
        imported: &Imported,
        content: &[u8],
    ) -> Result<Ino> {
        check_name(name)?;
        imported.check()?;
        let mut pieces = Vec::new();
        match imported.kind {
            Kind::Symlink => check_target(content)?,
            Kind::File if !content.is_empty() => pieces = self.stage_whole(content)?,
            _ => {}
        }
        let wanted = numbers::of_host(imported.record.number);
        let mut tree = self.begin()?;
        let ino = match wanted {
            Some(ino) if tree.txn.get(&key::of(key::INODE, ino))?.is_none() => ino,
            _ => {
                // A reservation is a transaction of its own.
                drop(tree);
                let ino = self.new_ino()?;
                tree = self.begin()?;
                ino
            }
        };
        tree.dir(parent)?;
        let attr = Attr {
            ino,
            size: 0,
            blocks_512: 0,
            atime: imported.atime,
            mtime: imported.record.mtime,
            ctime: imported.record.ctime,
            crtime: tree.birth,
            kind: imported.kind,
            mode: imported.mode,
            nlink: if imported.kind == Kind::Directory { 2 } else { 1 },
            uid: imported.uid,
            gid: imported.gid,
            rdev: imported.rdev,
        };
        let mut inode = Inode { attr, home: None, capability: false };
        inode.home = Some(tree.add_entry(parent, name, ino, imported.kind)?);
        match imported.kind {
            Kind::Symlink => {
                inode.attr.size = content.len() as u64;
                blob::put(&mut tree.txn, &key::of(key::TARGET, ino), content)?;
            }
            Kind::File => {
                inode.attr.size = imported.size;
                let map = key::of(key::DATA, ino);
                let blocks = pieces.iter().map(|piece| piece.staged.blocks()).sum();
                for piece in pieces {
                    tree.txn.map(&map, piece.block, piece.staged)?;
                }
                inode.set_blocks(blocks);
            }
            _ => {}
        }
        tree.import_xattrs(&mut inode, &imported.xattrs)?;
        tree.txn.put(&key::of(key::HOST, ino), &imported.record.encode())?;
        tree.put_inode(inode);
        tree.commit()?;
        Ok(ino)
    }

    /// The inode that has a number of the host, and the record of the file that it was imported
    /// from, if it was.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn with_host_number(&self, number: u64) -> Result<Option<(Attr, HostRecord)>> {
        let txn = self.snapshot()?;
        let Some(ino) = numbers::of_host(number) else { return Ok(None) };
        let Some(record) = HostRecord::of(&txn, ino)? else { return Ok(None) };
        Ok(crate::path::inode(&txn, ino)?.map(|inode| (inode.attr, record)))
    }

    /// Gives an imported file the attributes that it has on the host now, last of all. The content
    /// of a regular file has the right length by then, and its time of the last read stays if it
    /// had a record.
    ///
    /// # Errors
    /// [`Error::NoInode`]; those of attributes that cannot be.
    pub fn set_imported(&self, ino: Ino, imported: &Imported) -> Result<()> {
        imported.check()?;
        let mut tree = self.begin()?;
        let mut inode = tree.inode(ino)?;
        if inode.attr.kind != imported.kind {
            return Err(Error::Invalid("a file keeps its kind"));
        }
        let attr = &mut inode.attr;
        (attr.mode, attr.uid, attr.gid) = (imported.mode, imported.uid, imported.gid);
        attr.rdev = imported.rdev;
        (attr.mtime, attr.ctime) = (imported.record.mtime, imported.record.ctime);
        let at = key::of(key::HOST, ino);
        if tree.txn.get(&at)?.is_none() {
            inode.attr.atime = imported.atime;
        }
        tree.import_xattrs(&mut inode, &imported.xattrs)?;
        tree.txn.put(&at, &imported.record.encode())?;
        tree.put_inode(inode);
        tree.commit()
    }
}

impl Imported {
    fn check(&self) -> Result<()> {
        check_owner(self.uid, self.gid)?;
        for time in [self.atime, self.record.mtime, self.record.ctime, self.record.birth] {
            check_time(time)?;
        }
        if self.mode > 0o7777 {
            return Err(Error::Invalid("a mode has permission, set-id and sticky bits only"));
        }
        if self.kind == Kind::File && self.size > FILE_BYTES_MAX {
            let ino = Ino::new(self.record.number);
            return Err(Error::FileTooLarge { ino, bytes: self.size });
        }
        for (name, value) in &self.xattrs {
            xattr::check(name)?;
            if value.len() > XATTR_BYTES_MAX {
                let (bytes, bytes_max) = (value.len(), XATTR_BYTES_MAX);
                return Err(Error::XattrTooLarge { bytes, bytes_max });
            }
        }
        Ok(())
    }
}

impl TreeTxn<'_> {
    /// Makes the extended attributes of a file these ones; the mode agrees with its access list
    /// already.
    fn import_xattrs(&mut self, inode: &mut Inode, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
        let ino = inode.attr.ino;
        for name in xattr::names(self.view(), ino)? {
            if !xattrs.iter().any(|(kept, _)| *kept == name) {
                blob::delete(&mut self.txn, &key::xattr(ino, &name))?;
            }
        }
        inode.capability = false;
        for (name, value) in xattrs {
            if [acl::ACCESS, acl::DEFAULT].contains(&name.as_slice()) {
                xattr::must_take_acl(inode, name)?;
                if name == acl::ACCESS && Acl::decode(value)?.is_mode_only() {
                    blob::delete(&mut self.txn, &key::xattr(ino, name))?;
                    continue;
                }
                Acl::decode(value)?;
            }
            inode.capability |= name == CAPABILITY;
            if blob::get(self.view(), &key::xattr(ino, name))?.as_ref() != Some(value) {
                blob::put(&mut self.txn, &key::xattr(ino, name), value)?;
            }
        }
        Ok(())
    }
}

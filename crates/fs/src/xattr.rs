//! Extended attributes.

use std::ops::Bound;

use tine_store::ReadTxn;

use crate::acl::{self, Acl};
use crate::fs::{Fs, inode};
use crate::inode::Inode;
use crate::tree_txn::TreeTxn;
use crate::{Error, Ino, Kind, NAME_BYTES_MAX, Result, XATTR_BYTES_MAX, blob, key};

pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// What `setxattr(2)` does when the attribute exists or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// It creates or replaces it.
    Any,
    /// It fails if the attribute exists.
    Create,
    /// It fails unless the attribute exists.
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

impl Fs {
    /// The value of an extended attribute.
    pub fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        let txn = self.snapshot()?;
        if let Some(value) = blob::get(&txn, &key::xattr(ino, name))? {
            return Ok(value);
        }
        inode(&txn, ino)?;
        Err(no_xattr(ino, name))
    }

    /// The names of the extended attributes.
    pub fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        let txn = self.snapshot()?;
        inode(&txn, ino)?;
        names(&txn, ino)
    }

    /// Sets an extended attribute.
    pub fn setxattr(&self, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        check(name)?;
        if value.len() > XATTR_BYTES_MAX {
            return Err(Error::XattrTooLarge { bytes: value.len(), bytes_max: XATTR_BYTES_MAX });
        }
        let mut tree = self.begin()?;
        let mut inode = tree.inode(ino)?;
        let prefix = key::xattr(ino, name);
        match (mode, blob::get(tree.view(), &prefix)?) {
            (XattrMode::Create, Some(_)) => {
                return Err(Error::XattrExists { ino, name: text(name) });
            }
            (XattrMode::Replace, None) => return Err(no_xattr(ino, name)),
            _ => {}
        }
        match name {
            acl::ACCESS | acl::DEFAULT => tree.set_acl(&mut inode, name, value)?,
            _ => blob::put(&mut tree.txn, &prefix, value)?,
        }
        inode.capability |= name == CAPABILITY;
        inode.attr.ctime = tree.now;
        tree.put_inode(inode);
        tree.commit()
    }

    /// Removes an extended attribute.
    pub fn removexattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        let mut tree = self.begin_removal()?;
        let mut inode = tree.inode(ino)?;
        let prefix = key::xattr(ino, name);
        if blob::get(tree.view(), &prefix)?.is_none() {
            // Every file has an access list, if only its mode.
            return if is_acl(name) { Ok(()) } else { Err(no_xattr(ino, name)) };
        }
        blob::delete(&mut tree.txn, &prefix)?;
        inode.capability &= name != CAPABILITY;
        inode.attr.ctime = tree.now;
        tree.put_inode(inode);
        tree.commit()
    }
}

impl TreeTxn<'_> {
    /// Clears the set-id bits and the capabilities of a file, as a change of its data or owner
    /// does.
    pub fn kill_privileges(&mut self, inode: &mut Inode) -> Result<()> {
        inode.clear_set_id();
        if inode.capability {
            blob::delete(&mut self.txn, &key::xattr(inode.attr.ino, CAPABILITY))?;
            inode.capability = false;
        }
        Ok(())
    }

    /// Sets the access list of a file and the mode that goes with it, or the default list of a
    /// directory.
    fn set_acl(&mut self, inode: &mut Inode, name: &[u8], value: &[u8]) -> Result<()> {
        let acl = Acl::decode(value)?;
        let prefix = key::xattr(inode.attr.ino, name);
        must_take_acl(inode, name)?;
        if name == acl::DEFAULT {
            return blob::put(&mut self.txn, &prefix, value);
        }
        inode.attr.mode = inode.attr.mode & !0o777 | acl.mode();
        if acl.is_mode_only() {
            blob::delete(&mut self.txn, &prefix)
        } else {
            blob::put(&mut self.txn, &prefix, value)
        }
    }

    /// Gives a new inode the default access list of its directory. Returns the mode that the list
    /// and `mode` both allow, or `None` if there is no list.
    pub fn inherit_acl(
        &mut self,
        dir: Ino,
        ino: Ino,
        mode: u32,
        is_dir: bool,
    ) -> Result<Option<u32>> {
        let Some(default) = blob::get(self.view(), &key::xattr(dir, acl::DEFAULT))? else {
            return Ok(None);
        };
        let mut acl = Acl::decode(&default)?;
        acl.limit(mode);
        if !acl.is_mode_only() {
            blob::put(&mut self.txn, &key::xattr(ino, acl::ACCESS), &acl.encode())?;
        }
        if is_dir {
            blob::put(&mut self.txn, &key::xattr(ino, acl::DEFAULT), &default)?;
        }
        Ok(Some(mode & !0o777 | acl.mode()))
    }

    /// Changes the access list of a file with its mode, if it has one.
    pub fn set_acl_mode(&mut self, ino: Ino, mode: u32) -> Result<()> {
        let prefix = key::xattr(ino, acl::ACCESS);
        let Some(value) = blob::get(self.view(), &prefix)? else { return Ok(()) };
        let mut acl = Acl::decode(&value)?;
        acl.set_mode(mode);
        blob::put(&mut self.txn, &prefix, &acl.encode())
    }
}

/// The names of the extended attributes of an inode of a snapshot.
pub(crate) fn names(txn: &ReadTxn, ino: Ino) -> Result<Vec<Vec<u8>>> {
    let prefix = key::of(key::XATTR, ino);
    let mut names = Vec::new();
    for entry in txn.range(Bound::Included(&prefix), Bound::Excluded(&key::after(&prefix))) {
        let (key, _) = entry?;
        // Name, NUL and chunk; the first chunk alone stands for the attribute.
        match key[prefix.len()..].split_last_chunk::<3>() {
            Some((name, [0, 0, 0])) if check(name).is_ok() => names.push(name.to_vec()),
            Some((name, [0, _, _])) if check(name).is_ok() => {}
            _ => return Err(Error::Damaged { ino, what: "extended attributes" }),
        }
    }
    Ok(names)
}

/// Fails unless a file can have the access list of this name.
pub(crate) fn must_take_acl(inode: &Inode, name: &[u8]) -> Result<()> {
    if inode.attr.kind == Kind::Symlink {
        return Err(Error::Unsupported("an access list of a symbolic link"));
    }
    if name == acl::DEFAULT && !inode.is_dir() {
        return Err(Error::NotPermitted("only a directory has a default access list"));
    }
    Ok(())
}

fn is_acl(name: &[u8]) -> bool {
    [acl::ACCESS, acl::DEFAULT].contains(&name)
}

/// The inode and the name of the attribute whose keys have this prefix.
pub(crate) fn owner(prefix: &[u8]) -> Option<(Ino, &[u8])> {
    let (_, ino, rest) = key::parse(prefix)?;
    Some((ino, rest.strip_suffix(&[0])?))
}

/// Refuses what cannot name an attribute, whether it comes from a caller or from the store.
pub(crate) fn check(name: &[u8]) -> Result<()> {
    if is_acl(name) {
        return Ok(());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::NameTooLong { bytes: name.len(), bytes_max: NAME_BYTES_MAX });
    }
    let spaces: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    if !spaces.iter().any(|space| name.starts_with(space)) {
        return Err(Error::Unsupported(
            "an extended attribute outside user., trusted., security. and access lists",
        ));
    }
    if name.ends_with(b".") && spaces.contains(&name) || name.contains(&0) {
        return Err(Error::Invalid("not the name of an extended attribute"));
    }
    Ok(())
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn no_xattr(ino: Ino, name: &[u8]) -> Error {
    Error::NoXattr { ino, name: text(name) }
}

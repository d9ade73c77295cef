//! Setting attributes.

use crate::fs::{Fs, inode};
use crate::open_inodes::Content;
use crate::{Attr, Error, FILE_BYTES_MAX, Ino, Result, SetAttr, SetTime, Time};

impl Fs {
    /// Sets attributes, and returns all of them. A change of owner clears the set-id bits of
    /// anything but a directory.
    pub fn setattr(&self, ino: Ino, set: &SetAttr) -> Result<Attr> {
        if let Some(bytes) = set.size.filter(|size| *size > FILE_BYTES_MAX) {
            return Err(Error::FileTooLarge { ino, bytes });
        }
        check_owner(set.uid.unwrap_or(0), set.gid.unwrap_or(0))?;
        for time in [set.atime, set.mtime].into_iter().flatten() {
            check_time(resolve(time, Time::default()))?;
        }
        check_time(set.ctime.unwrap_or_default())?;
        let content = set.size.map(|_| self.open_inodes().content(ino));
        let _exclusive = content.as_ref().map(Content::exclusive);
        let hole = set.size.map(|size| self.hole(ino, size..u64::MAX)).transpose()?;
        let mut tree = self.begin()?;
        let mut inode = tree.inode(ino)?;
        if set.size.is_some_and(|size| size < inode.attr.size) {
            tree.txn.gives_back();
        }
        if let Some((size, hole)) = set.size.zip(hole) {
            tree.make_hole(&mut inode, hole)?;
            inode.attr.size = size;
            inode.attr.mtime = tree.now;
        }
        let chown = (set.uid.is_some() || set.gid.is_some()) && !inode.is_dir();
        if chown || set.size.is_some() && set.kill_set_id {
            tree.kill_privileges(&mut inode)?;
        }
        if let Some(mode) = set.mode {
            tree.set_acl_mode(ino, mode)?;
        }
        let now = tree.now;
        let attr = &mut inode.attr;
        attr.mode = set.mode.map_or(attr.mode, |mode| mode & 0o7777);
        attr.uid = set.uid.unwrap_or(attr.uid);
        attr.gid = set.gid.unwrap_or(attr.gid);
        attr.atime = set.atime.map_or(attr.atime, |time| resolve(time, now));
        attr.mtime = set.mtime.map_or(attr.mtime, |time| resolve(time, now));
        attr.ctime = set.ctime.unwrap_or(now);
        tree.put_inode(inode);
        tree.commit()?;
        Ok(inode.attr)
    }
}

impl Fs {
    /// Takes the set-id bits of a file as a change by an ordinary caller does. Returns `true` if it
    /// had any.
    pub fn clear_set_id(&self, ino: Ino) -> Result<bool> {
        let mut inode = inode(&self.snapshot()?, ino)?;
        if !inode.attr.has_set_id() {
            return Ok(false);
        }
        inode.clear_set_id();
        self.set_mode(ino, inode.attr.mode)?;
        Ok(true)
    }

    /// Takes the set-group-id bit of a file, as a change of its access list by a caller outside of
    /// its group does.
    pub fn clear_set_gid(&self, ino: Ino) -> Result<()> {
        let mode = self.getattr(ino)?.mode;
        match mode & libc::S_ISGID {
            0 => Ok(()),
            _ => self.set_mode(ino, mode & !libc::S_ISGID),
        }
    }

    fn set_mode(&self, ino: Ino, mode: u32) -> Result<()> {
        self.setattr(ino, &SetAttr { mode: Some(mode), ..SetAttr::default() }).map(drop)
    }
}

/// Refuses the number that means "no change" to `chown(2)`.
pub(crate) fn check_owner(uid: u32, gid: u32) -> Result<()> {
    if [uid, gid].contains(&u32::MAX) {
        Err(Error::Invalid("4294967295 is no user or group number"))
    } else {
        Ok(())
    }
}

/// Refuses nanoseconds of more than a second.
pub(crate) fn check_time(time: Time) -> Result<()> {
    if time.nanos < 1_000_000_000 {
        Ok(())
    } else {
        Err(Error::Invalid("a time has a second's nanoseconds or more"))
    }
}

fn resolve(time: SetTime, now: Time) -> Time {
    match time {
        SetTime::Now => now,
        SetTime::At(time) => time,
    }
}

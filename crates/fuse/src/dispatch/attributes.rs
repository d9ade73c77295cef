//! Requests for attributes and extended attributes, and the notifications when they change.

use tine_fs::{ACCESS_LIST, Attr, Ino, SetAttr, XattrMode};

use super::{Dispatcher, Disposition, Handled};
use crate::follow_up::FollowUp;
use crate::ids;
use crate::reply::Reply;
use crate::request::Request;

impl Dispatcher {
    pub(super) fn getattr(
        &self,
        ino: Ino,
        by_handle: bool,
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        // The kernel asks by handle before it takes a write to its cache.
        if by_handle && self.shortage.is_full() {
            self.expect_room()?;
        }
        self.attributes(self.fs.getattr(ino), reply, follow_up)
    }

    pub(super) fn statx(&self, ino: Ino, reply: &mut Reply, follow_up: &mut FollowUp) -> Handled {
        let attr = self.errno(self.fs.getattr(ino))?;
        follow_up.note_shown(&attr);
        reply.extended_attributes(&self.as_mounted(attr));
        Ok(Disposition::Reply)
    }

    pub(super) fn setattr(
        &self,
        ino: Ino,
        set: &SetAttr,
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        let set = SetAttr {
            mode: set.mode.map(|mode| mode & 0o7777),
            uid: set.uid.map(|uid| ids::user(&self.ids, uid)),
            gid: set.gid.map(|gid| ids::group(&self.ids, gid)),
            ..*set
        };
        self.attributes(self.fs.setattr(ino, &set), reply, follow_up)
    }

    fn attributes(
        &self,
        attr: tine_fs::Result<Attr>,
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        let attr = self.errno(attr)?;
        follow_up.note_shown(&attr);
        reply.attributes(&self.as_mounted(attr));
        Ok(Disposition::Reply)
    }

    /// Attributes with the owners as the namespace of the mount numbers them.
    pub(super) fn as_mounted(&self, attr: Attr) -> Attr {
        ids::as_mounted(&self.ids, attr)
    }

    /// Clears the set-id bits before a change that comes without word from the kernel about the
    /// rights of the caller: all but root lose them, as by a write.
    pub(super) fn clear_set_id(
        &self,
        request: &Request<'_>,
        ino: Ino,
        follow_up: &mut FollowUp,
    ) -> Result<(), i32> {
        if request.uid != 0 && self.errno(self.fs.clear_set_id(ino))? {
            follow_up.stale_attr = Some(ino);
        }
        Ok(())
    }

    /// Has the kernel forget the mode of a file whose set-id bits a write is about to clear. The
    /// kernel leaves the clearing to the server and goes on believing in the mode that it knows.
    pub(super) fn expect_set_id_cleared(
        &self,
        ino: Ino,
        follow_up: &mut FollowUp,
    ) -> Result<(), i32> {
        if self.errno(self.fs.getattr(ino))?.has_set_id() {
            follow_up.stale_attr = Some(ino);
        }
        Ok(())
    }

    pub(super) fn setxattr(
        &self,
        request: &Request<'_>,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Handled {
        let node = request.node;
        let mut value = value.to_vec();
        ids::xattr_as_stored(&self.ids, name, &mut value);
        self.errno(self.fs.setxattr(node, name, &value, mode))?;
        // The kernel asks for the mode anew.
        if name == ACCESS_LIST && !self.is_of_group(request)? {
            self.errno(self.fs.clear_set_gid(node))?;
        }
        Ok(Disposition::Reply)
    }

    /// Returns `true` if the caller is known to be of the file's group. Of its further groups a
    /// request says nothing.
    fn is_of_group(&self, request: &Request<'_>) -> Result<bool, i32> {
        let attr = self.as_mounted(self.errno(self.fs.getattr(request.node))?);
        Ok(request.uid == 0 || request.gid == attr.gid)
    }

    pub(super) fn getxattr(&self, ino: Ino, name: &[u8], size: u32, reply: &mut Reply) -> Handled {
        let mut value = self.errno(self.fs.getxattr(ino, name))?;
        ids::xattr_as_mounted(&self.ids, name, &mut value);
        size_or_bytes(&value, size, reply)
    }

    pub(super) fn listxattr(&self, ino: Ino, size: u32, reply: &mut Reply) -> Handled {
        let mut names = self.errno(self.fs.listxattr(ino))?;
        names.iter_mut().for_each(|name| name.push(0));
        size_or_bytes(&names.concat(), size, reply)
    }
}

/// Answers with the size of a value to a program that gives no room, and otherwise with the value.
fn size_or_bytes(value: &[u8], room: u32, reply: &mut Reply) -> Handled {
    if room == 0 {
        reply.u32(value.len() as u32);
        reply.u32(0);
    } else if value.len() > room as usize {
        return Err(libc::ERANGE);
    } else {
        reply.bytes(value);
    }
    Ok(Disposition::Reply)
}

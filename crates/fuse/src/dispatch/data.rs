//! Requests that read, write, copy and find the data of files.

use tine_fs::{Fallocate, FileOffset, Ino};

use super::{Dispatcher, Disposition, Handled};
use crate::follow_up::FollowUp;
use crate::init::TRANSFER_BYTES_MAX;
use crate::notify::FileRange;
use crate::plan::seek_mode;
use crate::reply::Reply;
use crate::request::{CopyRange, Request, Write};

impl Dispatcher {
    pub(super) fn read(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        cached: bool,
        reply: &mut Reply,
    ) -> Handled {
        if cached {
            self.cached.insert(ino);
        }
        let room = reply.room(size.min(TRANSFER_BYTES_MAX) as usize);
        let count = self.errno(self.fs.read(ino, offset, room))?;
        reply.truncate(count);
        Ok(Disposition::Reply)
    }

    pub(super) fn write(
        &self,
        ino: Ino,
        &Write { offset, cached, kill_set_id, data }: &Write<'_>,
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        if kill_set_id {
            self.expect_set_id_cleared(ino, follow_up)?;
        }
        let range = |bytes: usize| FileRange { ino, offset, bytes: bytes as u64 };
        if cached && self.is_hopeless(data.len() as u64)? {
            follow_up.failed_writeback = Some(range(data.len()));
            return Err(libc::ENOSPC);
        }
        let written = self.fs.write(ino, offset, data, kill_set_id);
        if written.is_err() && cached {
            follow_up.failed_writeback = Some(range(data.len()));
        }
        match &written {
            Err(error) if error.errno() == libc::ENOSPC => self.shortage.on_no_space(),
            _ => self.shortage.on_write(data.len() as u64),
        }
        let count = self.errno(written)?;
        if cached {
            self.cached.insert(ino);
        } else if self.cached.contains(ino) {
            follow_up.overwritten = Some(range(count));
        }
        reply.u32(count as u32);
        reply.u32(0);
        Ok(Disposition::Reply)
    }

    /// Refuses a write that the kernel is about to take into its cache while there is no room for
    /// it.
    pub(super) fn expect_room(&self) -> Result<(), i32> {
        if !self.errno(self.fs.has_room_for(1))? {
            return Err(libc::ENOSPC);
        }
        self.shortage.on_room();
        Ok(())
    }

    /// Returns `true` if data was refused just now, and this many bytes would be refused again.
    fn is_hopeless(&self, bytes: u64) -> Result<bool, i32> {
        Ok(self.shortage.refused_recently() && !self.errno(self.fs.has_room_for(bytes))?)
    }

    pub(super) fn fallocate(
        &self,
        request: &Request<'_>,
        offset: u64,
        length: u64,
        mode: u32,
        follow_up: &mut FollowUp,
    ) -> Handled {
        let ino = request.node;
        let what = self.errno(Fallocate::of_flags(mode as i32))?;
        self.clear_set_id(request, ino, follow_up)?;
        self.done(self.fs.fallocate(ino, what, offset..offset.saturating_add(length)))
    }

    pub(super) fn seek(&self, ino: Ino, offset: u64, whence: u32, reply: &mut Reply) -> Handled {
        let mode = seek_mode(whence).ok_or(libc::EINVAL)?;
        reply.u64(self.errno(self.fs.seek(ino, offset, mode))?);
        Ok(Disposition::Reply)
    }

    pub(super) fn copy_range(
        &self,
        request: &Request<'_>,
        copy: &CopyRange,
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        let &CopyRange { offset, to_node, to_offset, length, wide } = copy;
        self.clear_set_id(request, to_node, follow_up)?;
        // The older form of the answer has 32 bits for the count; whole blocks go on being shared.
        let length_max = if wide { u64::MAX } else { u64::from(u32::MAX) & !0xfff };
        let length = length.min(length_max);
        let from = FileOffset { ino: request.node, offset };
        let to = FileOffset { ino: to_node, offset: to_offset };
        let count = self.errno(self.fs.copy_range(from, to, length))?;
        if wide {
            reply.u64(count);
        } else {
            reply.u32(count as u32);
            reply.u32(0);
        }
        Ok(Disposition::Reply)
    }
}

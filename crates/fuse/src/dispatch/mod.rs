//! Requests of the kernel turned into calls of the file system: bytes in, bytes out.
//!
//! The dispatcher knows nothing of descriptors and threads. A transport gives it one request at a
//! time, from as many threads as it likes, and sends the answer; reading `/dev/fuse` is one such
//! transport. What an operation means is decided in `tine-fs`; what is decided here is only how the
//! kernel is told of it, and which inodes it knows.

mod attributes;
mod data;
mod names;

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tine_fs::{Caller, Fs, Ino, Located, RenameMode, XattrMode};
use tine_sys::ids::IdMap;

use crate::cached::CachedFiles;
use crate::flush_predictor::FlushPredictor;
use crate::follow_up::FollowUp;
use crate::hole_range::HoleRange;
use crate::ids;
use crate::init::Negotiated;
use crate::lookups::Lookups;
use crate::plan::{self, Plan};
use crate::protocol::capability;
use crate::reply::Reply;
use crate::request::{Call, Request};
use crate::shortage::Shortage;
use crate::visitors::Visitors;

/// Told of what a program sees only as `EIO`, or not at all.
pub type Report = Arc<dyn Fn(&dyn Display) + Send + Sync>;

/// Serves the requests to one file tree.
pub(crate) struct Dispatcher {
    fs: Fs,
    ids: IdMap,
    lookups: Lookups,
    cached: CachedFiles,
    visitors: Visitors,
    predictor: FlushPredictor,
    /// Those agreed with the kernel.
    capabilities: AtomicU64,
    shortage: Shortage,
    report: Report,
}

/// What a transport does with the answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Disposition {
    /// Send it.
    Reply,
    /// Send nothing: the request wants no answer.
    NoReply,
    /// Send it, then stop: the mount has ended.
    Shutdown,
}

/// `Ok`: send the body as directed. `Err`: an errno; the body is dropped.
type Handled = Result<Disposition, i32>;

/// A request that was served.
pub(crate) struct Served {
    pub disposition: Disposition,
    pub follow_up: FollowUp,
}

impl Dispatcher {
    pub fn new(fs: Fs, ids: IdMap, report: Report) -> Dispatcher {
        Dispatcher {
            fs,
            ids,
            lookups: Lookups::default(),
            cached: CachedFiles::default(),
            visitors: Visitors::default(),
            predictor: FlushPredictor::default(),
            capabilities: AtomicU64::new(0),
            shortage: Shortage::default(),
            report,
        }
    }

    /// Notes what was negotiated with the kernel.
    pub fn set_negotiated(&self, negotiated: Negotiated) {
        self.shortage.set_protocol_minor(negotiated.minor);
        self.capabilities.store(negotiated.capabilities, Ordering::Relaxed);
    }

    /// Decides how a request is to be served.
    pub fn classify(&self, request: &Request<'_>) -> Plan {
        plan::classify(request, &self.fs, &self.predictor)
    }

    /// The hole on which the answer to a seek rests, in which the kernel may have data that the
    /// store lacks.
    pub fn unflushed_hole(&self, request: &Request<'_>) -> Option<HoleRange> {
        plan::unflushed_hole(request, &self.fs)
    }

    /// Serves one request, and writes the answer to `reply`.
    pub fn serve(&self, request: &Request<'_>, reply: &mut Reply) -> Served {
        reply.start();
        let mut follow_up = FollowUp::new(self.shortage.is_full());
        // A defect below must not leave a program waiting for an answer that never comes.
        let call = || self.call(request, reply, &mut follow_up);
        let handled = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| self.defect(request));
        let (disposition, errno) = match handled {
            Ok(disposition) => (disposition, 0),
            Err(errno) => (Disposition::Reply, errno),
        };
        reply.finish(request.unique, errno);
        Served { disposition, follow_up }
    }

    fn defect(&self, request: &Request<'_>) -> Handled {
        let node = request.node;
        (self.report)(&format_args!("a defect of tine stopped an operation on inode {node}"));
        match request.call {
            Call::Forget { .. } | Call::BatchForget(_) => Ok(Disposition::NoReply),
            _ => Err(libc::EIO),
        }
    }

    /// Flushes a file before the program asks for it.
    pub fn flush_ahead(&self, ino: Ino) {
        // An error comes with the flush that is asked for: a store that failed to flush goes on
        // failing.
        if catch_unwind(AssertUnwindSafe(|| self.fs.fsync(ino))).is_err() {
            (self.report)(&format_args!("a defect of tine stopped a flush of inode {ino}"));
        }
    }

    /// Forgets everything that the kernel knew. Called after the last request.
    pub fn close(&self) {
        if let Err(error) = self.lookups.forget_all(&self.fs) {
            (self.report)(&error);
        }
    }

    /// The names by which a process proves that it sees this mount.
    pub fn visitors(&self) -> &Visitors {
        &self.visitors
    }

    /// The files that the kernel knows.
    pub fn known_files(&self) -> tine_fs::Result<Vec<Located>> {
        self.fs.locate(self.lookups.known())
    }

    /// The inodes that the kernel knows.
    pub fn known(&self) -> Vec<Ino> {
        self.lookups.known()
    }

    /// How short the mount is of space.
    pub fn shortage(&self) -> &Shortage {
        &self.shortage
    }

    /// Checks how much data finds room. Returns `true` if the disk is full and the kernel is to be
    /// told of all files that it has to ask before it takes writes.
    pub fn check_room(&self) -> bool {
        // A failure is no shortage: the next write will get the error itself.
        let room = catch_unwind(AssertUnwindSafe(|| self.fs.room_bytes()));
        self.shortage.check(room.ok().and_then(Result::ok).unwrap_or(u64::MAX))
    }

    /// Reports what no program sees.
    pub fn report(&self, what: &dyn Display) {
        (self.report)(what);
    }

    fn call(&self, request: &Request<'_>, reply: &mut Reply, follow_up: &mut FollowUp) -> Handled {
        let node = request.node;
        match request.call {
            // It was answered before anything else was asked.
            Call::Init { .. } => Err(libc::EPROTO),
            Call::Lookup { name } => self.lookup(node, name, reply, follow_up),
            Call::Forget { lookups } => self.forget(node, lookups),
            Call::BatchForget(ref forgets) => {
                for (ino, lookups) in forgets.clone() {
                    self.forget(ino, lookups)?;
                }
                Ok(Disposition::NoReply)
            }
            Call::GetAttr { by_handle } => self.getattr(node, by_handle, reply, follow_up),
            Call::Statx => self.statx(node, reply, follow_up),
            Call::SetAttr(ref set) => self.setattr(node, set, reply, follow_up),
            Call::ReadLink => {
                reply.bytes(&self.errno(self.fs.readlink(node))?);
                Ok(Disposition::Reply)
            }
            Call::Symlink { name, target } => {
                let caller = self.caller(request, 0);
                self.entry(self.fs.symlink(&caller, node, name, target), reply, follow_up)
            }
            Call::MkNod { name, mode, umask, rdev } => {
                let caller = self.caller(request, umask);
                self.entry(self.fs.mknod(&caller, node, name, mode, rdev), reply, follow_up)
            }
            Call::MkDir { name, mode, umask } => {
                let caller = self.caller(request, umask);
                self.entry(self.fs.mkdir(&caller, node, name, mode), reply, follow_up)
            }
            Call::TmpFile { mode, umask } => {
                let attr = self.fs.tmpfile(&self.caller(request, umask), node, mode);
                self.unnamed(attr, reply, follow_up)
            }
            Call::Unlink { name } => self.done(self.fs.unlink(node, name)),
            Call::RmDir { name } => self.done(self.fs.rmdir(node, name)),
            Call::Rename { name, new_parent, new_name, flags } => {
                self.rename(request, name, (new_parent, new_name), flags)
            }
            Call::Link { node: linked, new_name } => {
                self.entry(self.fs.link(linked, node, new_name), reply, follow_up)
            }
            Call::Open => self.open(capability::NO_OPEN_SUPPORT, reply),
            Call::OpenDir => self.open(capability::NO_OPENDIR_SUPPORT, reply),
            Call::Release => Ok(Disposition::Reply),
            Call::Read { offset, size, cached } => self.read(node, offset, size, cached, reply),
            Call::Write(ref write) => self.write(node, write, reply, follow_up),
            Call::FSync => self.done(self.fs.fsync(node)),
            Call::SyncFs => self.done(self.fs.sync()),
            Call::StatFs => self.statfs(reply),
            Call::SetXattr { name, value, flags } => {
                let mode = self.errno(XattrMode::of_flags(flags as i32))?;
                self.setxattr(request, name, value, mode)
            }
            Call::GetXattr { name, size } => self.getxattr(node, name, size, reply),
            Call::ListXattr { size } => self.listxattr(node, size, reply),
            Call::RemoveXattr { name } => self.done(self.fs.removexattr(node, name)),
            Call::ReadDir { position, size, plus: false } => {
                self.readdir(node, position, size as usize, reply)
            }
            Call::ReadDir { position, size, plus: true } => {
                self.readdir_plus(node, position, size as usize, reply, follow_up)
            }
            Call::FAllocate { offset, length, mode } => {
                self.fallocate(request, offset, length, mode, follow_up)
            }
            Call::Seek { offset, whence } => self.seek(node, offset, whence, reply),
            Call::CopyRange(ref copy) => self.copy_range(request, copy, reply, follow_up),
            Call::Destroy => Ok(Disposition::Shutdown),
            // Among them FLUSH, ACCESS, CREATE, POLL and INTERRUPT: after one refusal the kernel
            // sends no more of that kind. In place of CREATE it sends MKNOD and OPEN.
            Call::Other(_) => Err(libc::ENOSYS),
        }
    }

    /// On whose behalf a request makes something.
    fn caller(&self, request: &Request<'_>, umask: u32) -> Caller {
        Caller {
            uid: ids::user(&self.ids, request.uid),
            gid: ids::group(&self.ids, request.gid),
            umask,
        }
    }

    fn rename(
        &self,
        request: &Request<'_>,
        name: &[u8],
        (new_parent, new_name): (Ino, &[u8]),
        flags: u32,
    ) -> Handled {
        let parent = request.node;
        let mode = self.errno(RenameMode::of_flags(flags & !libc::RENAME_WHITEOUT))?;
        self.done(match flags & libc::RENAME_WHITEOUT {
            0 => self.fs.rename(parent, name, new_parent, new_name, mode),
            _ => {
                let caller = self.caller(request, 0);
                let (old, new) = ((parent, name), (new_parent, new_name));
                self.fs.rename_leaving_whiteout(&caller, old, new, mode)
            }
        })
    }

    /// Refuses to open where the kernel agreed to take that as "open without asking".
    fn open(&self, unasked: u64, reply: &mut Reply) -> Handled {
        if self.capabilities.load(Ordering::Relaxed) & unasked != 0 {
            return Err(libc::ENOSYS);
        }
        reply.opened();
        Ok(Disposition::Reply)
    }

    fn statfs(&self, reply: &mut Reply) -> Handled {
        let stat = self.errno(self.fs.statfs())?;
        reply.u64(stat.blocks);
        reply.u64(stat.blocks_free);
        reply.u64(stat.blocks_free);
        // Inodes are made as they are needed: as in btrfs, no number of them is reported.
        reply.u64(0);
        reply.u64(0);
        reply.u32(stat.block_bytes);
        reply.u32(stat.name_bytes_max);
        reply.u32(stat.block_bytes);
        reply.bytes(&[0; 28]);
        Ok(Disposition::Reply)
    }

    /// An answer without a body.
    fn done(&self, result: tine_fs::Result<()>) -> Handled {
        self.errno(result)?;
        Ok(Disposition::Reply)
    }

    /// Turns an error into its errno. What a program sees only as `EIO` is reported.
    fn errno<T>(&self, result: tine_fs::Result<T>) -> Result<T, i32> {
        result.map_err(|error| {
            let errno = error.errno();
            if errno == libc::EIO {
                (self.report)(&error);
            }
            errno
        })
    }
}

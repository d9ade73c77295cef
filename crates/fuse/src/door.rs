//! Requests of the kernel turned into calls of the file system: bytes in, bytes out.
//!
//! A door knows nothing of descriptors and threads. A transport hands it one message at a time, from
//! as many threads as it likes, and sends off the answer; reading `/dev/fuse` is one such transport.
//! What an operation means is decided in `tine-fs`; what is decided here is only how the kernel is
//! told of it, and which inodes it knows.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tine_fs::{
    ACCESS_LIST, Attr, Caller, Error, Fallocate, Fs, Located, ROOT, RenameMode, Seek, SetTime,
    Time, XattrMode,
};

use tine_sys::ids::IdMap;

use crate::blank::Blank;
use crate::cached::Cached;
use crate::foresight::Foresight;
use crate::ids;
use crate::init::{self, Negotiated};
use crate::kernel_cache::Visitors;
use crate::lookups::Lookups;
use crate::protocol::capability;
use crate::refused::Refused;
use crate::reply::{Listed, Reply};
use crate::request::{Call, Request, SetAttr, When};
use crate::shortage::Shortage;
use crate::tuning::Limits;

/// Told of what a program sees only as `EIO`, or not at all.
pub type Report = Arc<dyn Fn(&dyn Display) + Send + Sync>;

/// The door to one file tree.
pub(crate) struct Door {
    fs: Fs,
    ids: IdMap,
    lookups: Lookups,
    cached: Cached,
    visitors: Visitors,
    foresight: Foresight,
    /// Those agreed with the kernel.
    capabilities: AtomicU64,
    shortage: Shortage,
    report: Report,
}

/// The bits of a mode that lend the rights of the file's owner and group.
const SET_ID: u32 = 0o6000;
const SET_USER_ID: u32 = 0o4000;
/// Without it, the set-group-id bit means something else (mandatory locks) and stays.
const GROUP_EXECUTE: u32 = 0o0010;

/// What a transport does after a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Then {
    /// Send the answer.
    Answer,
    /// Send nothing: the message wants no answer.
    Silence,
    /// Send the answer, then stop: the mount has ended.
    Stop,
}

/// What became of a call: whether the body of the answer counts, or the errno.
type Outcome = Result<Then, i32>;

impl Door {
    pub fn new(fs: Fs, ids: IdMap, report: Report) -> Door {
        Door {
            fs,
            ids,
            lookups: Lookups::default(),
            cached: Cached::default(),
            visitors: Visitors::default(),
            foresight: Foresight::default(),
            capabilities: AtomicU64::new(0),
            shortage: Shortage::default(),
            report,
        }
    }

    /// Serves one request; the answer, if there is to be one, is in `reply`.
    pub fn serve(&self, request: &Request<'_>, reply: &mut Reply) -> Then {
        reply.start();
        if self.shortage.is_full() {
            reply.watch();
        }
        // A defect below must not leave a program waiting for an answer that never comes.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.call(request, reply)));
        let (then, errno) = match outcome.unwrap_or_else(|_| self.defect(request)) {
            Ok(then) => (then, 0),
            Err(errno) => (Then::Answer, errno),
        };
        reply.finish(request.unique, errno);
        then
    }

    fn defect(&self, request: &Request<'_>) -> Outcome {
        (self.report)(&format_args!(
            "a defect of tine stopped an operation on inode {}",
            request.node
        ));
        match request.call {
            Call::Forget { .. } | Call::BatchForget(_) => Ok(Then::Silence),
            _ => Err(libc::EIO),
        }
    }

    /// Lets go of everything that the kernel knew; for after the last message.
    pub fn close(&self) {
        if let Err(error) = self.lookups.forget_all(&self.fs) {
            (self.report)(&error);
        }
    }

    /// Who is waited for at the root.
    pub fn visitors(&self) -> &Visitors {
        &self.visitors
    }

    /// The files that the kernel knows.
    pub fn known_files(&self) -> tine_fs::Result<Vec<Located>> {
        self.fs.locate(self.lookups.known())
    }

    /// Notes what was agreed with the kernel.
    pub fn agree(&self, negotiated: Negotiated) {
        self.shortage.speaks(negotiated.minor);
        self.capabilities.store(negotiated.capabilities, Ordering::Relaxed);
    }

    /// Whether nothing is left to flush.
    pub fn is_durable(&self) -> bool {
        self.fs.is_durable()
    }

    /// Notes what was asked; `true`: a flush of the file is about to be asked for.
    pub fn foresees_flush(&self, request: &Request<'_>) -> bool {
        match request.call {
            Call::Write { cached: true, .. } => self.foresight.written(request.node, Time::now()),
            Call::SetAttr(SetAttr { mtime: Some(When::At(secs, nanos)), .. }) => {
                self.foresight.told(request.node, Time { secs, nanos })
            }
            Call::FSync => {
                self.foresight.flushed(request.node);
                false
            }
            _ => false,
        }
    }

    /// Where the answer to a seek depends on what the kernel has not written back yet.
    pub fn blank_under(&self, request: &Request<'_>) -> Option<Blank> {
        let Call::Seek { offset, whence } = request.call else { return None };
        let what = sought(whence)?;
        // The answer itself will tell of an error or a defect.
        let under = || Blank::under(&self.fs, request.node, offset, what);
        catch_unwind(AssertUnwindSafe(under)).ok()?.ok()?
    }

    /// Flushes a file before that is asked for.
    pub fn flush_ahead(&self, node: u64) {
        // Whoever asks will be told of the error: a store that failed to flush goes on failing.
        if catch_unwind(AssertUnwindSafe(|| self.fs.fsync(node))).is_err() {
            (self.report)(&format_args!("a defect of tine stopped a flush of inode {node}"));
        }
    }

    /// The limits of the mount, which this process may change.
    pub fn limit_by(&self, limits: Limits) {
        self.shortage.limit_by(limits);
    }

    /// Whether data found no room of late.
    pub fn is_full(&self) -> bool {
        self.shortage.is_full()
    }

    /// Whether somebody should call [`Door::looks_full`].
    pub fn wants_a_look(&self) -> bool {
        self.shortage.wants_a_look()
    }

    /// Looks at what room there is; whether the disk is full, and was not before.
    pub fn looks_full(&self) -> bool {
        // What cannot be found out is no shortage: whoever writes will be told of the error itself.
        let room = catch_unwind(AssertUnwindSafe(|| self.fs.room_bytes()));
        self.shortage.look(room.ok().and_then(Result::ok).unwrap_or(u64::MAX))
    }

    /// The inodes that the kernel knows.
    pub fn known(&self) -> Vec<u64> {
        self.lookups.known()
    }

    /// Refuses what is about to be written to the kernel's cache while there is no room for it.
    fn expect_room(&self) -> Result<(), i32> {
        match self.done(self.fs.has_room_for(1))? {
            true => {
                self.shortage.has_room();
                Ok(())
            }
            false => Err(libc::ENOSPC),
        }
    }

    /// Whether data was refused just now, and so much more is told to find no room.
    fn is_hopeless(&self, bytes: u64) -> Result<bool, i32> {
        Ok(self.shortage.refused_of_late() && !self.done(self.fs.has_room_for(bytes))?)
    }

    /// Tells whoever looks after the mount.
    pub fn report(&self, what: &dyn Display) {
        (self.report)(what);
    }

    fn call(&self, request: &Request<'_>, reply: &mut Reply) -> Outcome {
        let node = request.node;
        let caller = |umask| Caller {
            uid: ids::user(&self.ids, request.uid),
            gid: ids::group(&self.ids, request.gid),
            umask,
        };
        match request.call {
            // It was answered before anything else was asked.
            Call::Init { .. } => Err(libc::EPROTO),
            Call::Lookup { name } => self.lookup(node, name, reply),
            Call::Forget { lookups } => self.forget(node, lookups),
            Call::BatchForget(ref forgets) => {
                for (ino, lookups) in forgets.clone() {
                    self.forget(ino, lookups)?;
                }
                Ok(Then::Silence)
            }
            Call::GetAttr { by_handle } => {
                if by_handle && self.shortage.is_full() {
                    self.expect_room()?;
                }
                self.attributes(self.fs.getattr(node), reply)
            }
            Call::Statx => {
                reply.extended_attributes(&self.shown(self.done(self.fs.getattr(node))?));
                Ok(Then::Answer)
            }
            Call::SetAttr(ref set) => {
                self.attributes(self.fs.setattr(node, &self.translated(set)), reply)
            }
            Call::ReadLink => {
                reply.bytes(&self.done(self.fs.readlink(node))?);
                Ok(Then::Answer)
            }
            Call::Symlink { name, target } => {
                self.entry(self.fs.symlink(&caller(0), node, name, target), reply)
            }
            Call::MkNod { name, mode, umask, rdev } => {
                self.entry(self.fs.mknod(&caller(umask), node, name, mode, rdev), reply)
            }
            Call::MkDir { name, mode, umask } => {
                self.entry(self.fs.mkdir(&caller(umask), node, name, mode), reply)
            }
            Call::TmpFile { mode, umask } => {
                let attr = self.done(self.fs.tmpfile(&caller(umask), node, mode))?;
                self.lookups.count_in_use(attr.ino);
                reply.entry(&self.shown(attr));
                reply.opened();
                Ok(Then::Answer)
            }
            Call::Unlink { name } => self.plain(self.fs.unlink(node, name)),
            Call::RmDir { name } => self.plain(self.fs.rmdir(node, name)),
            Call::Rename { name, new_parent, new_name, flags } => {
                let mode = self.done(RenameMode::of_flags(flags & !libc::RENAME_WHITEOUT))?;
                self.plain(match flags & libc::RENAME_WHITEOUT {
                    0 => self.fs.rename(node, name, new_parent, new_name, mode),
                    _ => self.fs.rename_leaving_whiteout(
                        &caller(0),
                        (node, name),
                        (new_parent, new_name),
                        mode,
                    ),
                })
            }
            Call::Link { node: linked, new_name } => {
                self.entry(self.fs.link(linked, node, new_name), reply)
            }
            Call::Open => self.open(capability::NO_OPEN_SUPPORT, reply),
            Call::OpenDir => self.open(capability::NO_OPENDIR_SUPPORT, reply),
            Call::Release => Ok(Then::Answer),
            Call::Read { offset, size, cached } => {
                if cached {
                    self.cached.note(node);
                }
                let room = reply.room(size.min(init::TRANSFER_BYTES_MAX) as usize);
                let count = self.done(self.fs.read(node, offset, room))?;
                reply.keep(count);
                Ok(Then::Answer)
            }
            Call::Write { offset, cached, kill_set_id, data } => {
                if kill_set_id {
                    self.expect_set_id_cleared(node, reply)?;
                }
                let range = |bytes| Refused { ino: node, offset, bytes };
                if cached && self.is_hopeless(data.len() as u64)? {
                    reply.refuse(range(data.len() as u64));
                    return Err(libc::ENOSPC);
                }
                let written = self.fs.write(node, offset, data, kill_set_id);
                if written.is_err() && cached {
                    reply.refuse(range(data.len() as u64));
                }
                match &written {
                    Err(error) if error.errno() == libc::ENOSPC => self.shortage.refused(),
                    _ => self.shortage.wrote(data.len() as u64),
                }
                let count = self.done(written)?;
                if cached {
                    self.cached.note(node);
                } else if self.cached.has(node) {
                    reply.overwrite(range(count as u64));
                }
                reply.u32(count as u32);
                reply.u32(0);
                Ok(Then::Answer)
            }
            Call::FSync => self.plain(self.fs.fsync(node)),
            Call::SyncFs => self.plain(self.fs.sync()),
            Call::StatFs => self.statfs(reply),
            Call::SetXattr { name, value, flags } => {
                let mode = self.done(XattrMode::of_flags(flags as i32))?;
                let mut value = value.to_vec();
                ids::keep_in_xattr(&self.ids, name, &mut value);
                self.done(self.fs.setxattr(node, name, &value, mode))?;
                if name == ACCESS_LIST {
                    self.clear_foreign_set_gid(request, node)?;
                }
                Ok(Then::Answer)
            }
            Call::GetXattr { name, size } => {
                let mut value = self.done(self.fs.getxattr(node, name))?;
                ids::show_in_xattr(&self.ids, name, &mut value);
                sized(&value, size, reply)
            }
            Call::ListXattr { size } => {
                let mut names = self.done(self.fs.listxattr(node))?;
                names.iter_mut().for_each(|name| name.push(0));
                sized(&names.concat(), size, reply)
            }
            Call::RemoveXattr { name } => self.plain(self.fs.removexattr(node, name)),
            Call::ReadDir { position, size, plus } => {
                self.list(node, position, size as usize, plus, reply)
            }
            Call::FAllocate { offset, length, mode } => {
                let what = self.done(Fallocate::of_flags(mode as i32))?;
                self.clear_set_id(request, node, reply)?;
                self.plain(self.fs.fallocate(node, what, offset, length))
            }
            Call::Seek { offset, whence } => {
                let what = sought(whence).ok_or(libc::EINVAL)?;
                reply.u64(self.done(self.fs.seek(node, offset, what))?);
                Ok(Then::Answer)
            }
            Call::CopyRange { offset, to_node, to_offset, length, wide } => {
                self.clear_set_id(request, to_node, reply)?;
                self.copy_range((node, offset), (to_node, to_offset), length, wide, reply)
            }
            Call::Destroy => Ok(Then::Stop),
            // Among them FLUSH, ACCESS, CREATE, POLL and INTERRUPT: after one refusal the kernel stops
            // asking, and does without, or, for CREATE, with MKNOD in its place.
            Call::Other(_) => Err(libc::ENOSYS),
        }
    }

    fn lookup(&self, parent: u64, name: &[u8], reply: &mut Reply) -> Outcome {
        // An error is not remembered, as a name that leads nowhere would be.
        if parent == ROOT && self.visitors.meet(name) {
            return Err(libc::ENOENT);
        }
        if name == b"." {
            return self.find_by_number(parent, reply);
        }
        match self.fs.lookup(parent, name) {
            Err(Error::NoEntry { .. }) => {
                reply.no_entry();
                Ok(Then::Answer)
            }
            found => self.entry(found, reply),
        }
    }

    /// Answers whether there is a file of a number, which a handle of it says (`name_to_handle_at`); the kernel
    /// compares the generations.
    fn find_by_number(&self, ino: u64, reply: &mut Reply) -> Outcome {
        let attr = self.done(self.fs.getattr(ino))?;
        if attr.nlink == 0 { Err(libc::ENOENT) } else { self.entry(Ok(attr), reply) }
    }

    /// Answers with a file that the kernel knows from now on.
    fn entry(&self, attr: tine_fs::Result<Attr>, reply: &mut Reply) -> Outcome {
        let attr = self.done(attr)?;
        self.lookups.count(&self.fs, attr.ino);
        reply.entry(&self.shown(attr));
        Ok(Then::Answer)
    }

    fn attributes(&self, attr: tine_fs::Result<Attr>, reply: &mut Reply) -> Outcome {
        reply.attributes(&self.shown(self.done(attr)?));
        Ok(Then::Answer)
    }

    /// Attributes as the namespace of the mount can express them.
    fn shown(&self, attr: Attr) -> Attr {
        ids::shown(&self.ids, attr)
    }

    /// Attributes to be set, as the branch has them.
    fn translated(&self, set: &SetAttr) -> tine_fs::SetAttr {
        let time = |when: When| match when {
            When::Now => SetTime::Now,
            When::At(secs, nanos) => SetTime::At(Time { secs, nanos }),
        };
        tine_fs::SetAttr {
            mode: set.mode.map(|mode| mode & 0o7777),
            uid: set.uid.map(|uid| ids::user(&self.ids, uid)),
            gid: set.gid.map(|gid| ids::group(&self.ids, gid)),
            size: set.size,
            atime: set.atime.map(time),
            mtime: set.mtime.map(time),
            ctime: set.ctime,
            kill_set_id: set.kill_set_id,
        }
    }

    fn plain(&self, outcome: tine_fs::Result<()>) -> Outcome {
        self.done(outcome)?;
        Ok(Then::Answer)
    }

    fn forget(&self, ino: u64, lookups: u64) -> Outcome {
        match self.lookups.forget(&self.fs, ino, lookups) {
            Ok(true) => self.cached.forget(ino),
            Ok(false) => {}
            Err(error) => (self.report)(&error),
        }
        Ok(Then::Silence)
    }

    /// Opening is refused where the kernel agreed to take that as "open without asking".
    fn open(&self, unasked: u64, reply: &mut Reply) -> Outcome {
        if self.capabilities.load(Ordering::Relaxed) & unasked != 0 {
            return Err(libc::ENOSYS);
        }
        reply.opened();
        Ok(Then::Answer)
    }

    fn list(&self, ino: u64, position: u64, size: usize, plus: bool, reply: &mut Reply) -> Outcome {
        let listed = if plus {
            self.fs.readdir_plus(ino, position, &mut |entry, attr| {
                // The kernel counts no lookup for these two.
                let own = matches!(entry.name, b"." | b"..");
                let shown = self.shown(*attr);
                let listed = Listed { entry, plus, attr: (!own).then_some(&shown) };
                let fits = reply.directory_entry(&listed, size);
                if fits && !own {
                    self.lookups.count(&self.fs, attr.ino);
                }
                fits
            })
        } else {
            self.fs.readdir(ino, position, &mut |entry| {
                reply.directory_entry(&Listed { entry, plus, attr: None }, size)
            })
        };
        self.plain(listed)
    }

    /// A write is about to clear the set-id bits, if the file has any. The kernel leaves that to the
    /// server and goes on believing in the mode that it knows, unless it is told.
    fn expect_set_id_cleared(&self, ino: u64, reply: &mut Reply) -> Result<(), i32> {
        if self.done(self.fs.getattr(ino))?.mode & SET_ID != 0 {
            reply.outdate(ino);
        }
        Ok(())
    }

    /// Clears set-id bits before a change that comes without word from the kernel about the caller's
    /// rights: anybody but root loses them, as a write would do.
    fn clear_set_id(&self, request: &Request<'_>, ino: u64, reply: &mut Reply) -> Result<(), i32> {
        if request.uid == 0 {
            return Ok(());
        }
        let mode = self.done(self.fs.getattr(ino))?.mode;
        if mode & SET_ID != 0 {
            let lost = if mode & GROUP_EXECUTE != 0 { SET_ID } else { SET_USER_ID };
            let set = tine_fs::SetAttr { mode: Some(mode & !lost), ..tine_fs::SetAttr::default() };
            self.done(self.fs.setattr(ino, &set))?;
            reply.outdate(ino);
        }
        Ok(())
    }

    /// Clears the set-gid bit of a file whose list was set by somebody who may not be of its group: which
    /// further groups the caller is in, a request does not say. The kernel asks for the mode anew.
    fn clear_foreign_set_gid(&self, request: &Request<'_>, ino: u64) -> Result<(), i32> {
        let attr = self.shown(self.done(self.fs.getattr(ino))?);
        if request.uid != 0 && request.gid != attr.gid && attr.mode & libc::S_ISGID != 0 {
            let mode = Some(attr.mode & !libc::S_ISGID);
            let set = tine_fs::SetAttr { mode, ..tine_fs::SetAttr::default() };
            self.done(self.fs.setattr(ino, &set))?;
        }
        Ok(())
    }

    fn statfs(&self, reply: &mut Reply) -> Outcome {
        let stat = self.done(self.fs.statfs())?;
        reply.u64(stat.blocks);
        reply.u64(stat.blocks_free);
        reply.u64(stat.blocks_free);
        // Inodes are made as they are needed: as in btrfs, no number of them is told.
        reply.u64(0);
        reply.u64(0);
        reply.u32(stat.block_bytes);
        reply.u32(stat.name_bytes_max);
        reply.u32(stat.block_bytes);
        reply.bytes(&[0; 28]);
        Ok(Then::Answer)
    }

    fn copy_range(
        &self,
        (source, offset): (u64, u64),
        (target, to_offset): (u64, u64),
        length: u64,
        wide: bool,
        reply: &mut Reply,
    ) -> Outcome {
        // The older form of the answer has 32 bits for the count; whole blocks go on being shared.
        let length_max = if wide { u64::MAX } else { u64::from(u32::MAX) & !0xfff };
        let length = length.min(length_max);
        let count = self.done(self.fs.copy_range(source, offset, target, to_offset, length))?;
        if wide {
            reply.u64(count);
        } else {
            reply.u32(count as u32);
            reply.u32(0);
        }
        Ok(Then::Answer)
    }

    fn done<T>(&self, outcome: tine_fs::Result<T>) -> Result<T, i32> {
        outcome.map_err(|error| {
            let errno = error.errno();
            if errno == libc::EIO {
                (self.report)(&error);
            }
            errno
        })
    }
}

/// An extended attribute, or the list of their names: its size when none is given, else the bytes.
fn sized(value: &[u8], size: u32, reply: &mut Reply) -> Outcome {
    if size == 0 {
        reply.u32(value.len() as u32);
        reply.u32(0);
    } else if value.len() > size as usize {
        return Err(libc::ERANGE);
    } else {
        reply.bytes(value);
    }
    Ok(Then::Answer)
}

/// What `lseek` is to find.
fn sought(whence: u32) -> Option<Seek> {
    match whence as i32 {
        libc::SEEK_DATA => Some(Seek::Data),
        libc::SEEK_HOLE => Some(Seek::Hole),
        _ => None,
    }
}

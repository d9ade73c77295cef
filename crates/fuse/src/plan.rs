//! How a request is scheduled: decided once, before it is served.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tine_fs::{Fs, Seek, SetAttr, SetTime, Time};

use crate::flush_predictor::FlushPredictor;
use crate::hole_range::HoleRange;
use crate::request::{Call, Request, Write};

/// Moving this much takes long. Less is over in the time that it takes to wake another thread: a
/// short write stays in the memory of the store, and a short read waits for the disk once at most.
const LONG_TRANSFER_BYTES: usize = 64 << 10;

/// How a thread serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// While it attends the queue, since the request is short.
    Inline,
    /// As [`Plan::Inline`]; then it flushes, before the program asks for that.
    InlineThenFlush,
    /// Away from the queue, since the request may wait for a disk or move much data.
    Detached,
    /// As a flush, for all that ask for one meanwhile.
    Flush,
    /// As [`Plan::Inline`]: a flush that finds everything durable.
    FlushNothing,
    /// Away from the queue, one of this kind at a time, after the kernel has written back what it
    /// has of a hole.
    SeekInHole,
}

impl Plan {
    /// Returns `true` if the request asks for a flush.
    pub fn is_flush(self) -> bool {
        matches!(self, Plan::Flush | Plan::FlushNothing)
    }
}

/// Decides how a request is served, and notes it for later predictions.
pub(crate) fn classify(request: &Request<'_>, fs: &Fs, predictor: &FlushPredictor) -> Plan {
    match request.call {
        Call::Write(Write { cached, data, .. }) => {
            let flush_follows = cached && predictor.on_write(request.node, Time::now());
            inline_or_detached(data.len() >= LONG_TRANSFER_BYTES, flush_follows)
        }
        Call::SetAttr(SetAttr { size, mtime, .. }) => {
            let flush_follows = match mtime {
                Some(SetTime::At(time)) => predictor.on_setattr(request.node, time),
                _ => false,
            };
            inline_or_detached(size.is_some(), flush_follows)
        }
        Call::FSync => {
            predictor.on_fsync(request.node);
            if fs.is_durable() { Plan::FlushNothing } else { Plan::Flush }
        }
        Call::Seek { .. } if unflushed_hole(request, fs).is_some() => Plan::SeekInHole,
        Call::Read { size, .. } => inline_or_detached(size as usize >= LONG_TRANSFER_BYTES, false),
        Call::SyncFs | Call::FAllocate { .. } | Call::CopyRange(_) | Call::BatchForget(_) => {
            Plan::Detached
        }
        _ => Plan::Inline,
    }
}

fn inline_or_detached(long: bool, flush_follows: bool) -> Plan {
    match (long, flush_follows) {
        (true, _) => Plan::Detached,
        (false, true) => Plan::InlineThenFlush,
        (false, false) => Plan::Inline,
    }
}

/// The hole on which the answer to a seek rests, in which the kernel may have data that the store
/// lacks.
pub(crate) fn unflushed_hole(request: &Request<'_>, fs: &Fs) -> Option<HoleRange> {
    let Call::Seek { offset, whence } = request.call else { return None };
    let seek = seek_mode(whence)?;
    // The answer itself will carry an error, or report a defect.
    let hole = || HoleRange::at_seek(fs, request.node, offset, seek);
    catch_unwind(AssertUnwindSafe(hole)).ok()?.ok()?
}

/// What a `whence` of `lseek(2)` looks for, if the server is to look.
pub(crate) fn seek_mode(whence: u32) -> Option<Seek> {
    match whence as i32 {
        libc::SEEK_DATA => Some(Seek::Data),
        libc::SEEK_HOLE => Some(Seek::Hole),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tine_fs::{Caller, Ino, NewRoot, ROOT};
    use tine_store::{MemoryDevice, Options, Store};

    use super::*;

    const BLOCK: usize = 4096;

    /// A tree with a file of one block.
    fn tree() -> (Fs, Ino) {
        let store = Store::create_on(Arc::new(MemoryDevice::new()), &Options::default()).unwrap();
        let branch = store.create_branch("main").unwrap();
        Fs::format(&branch, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
        let fs = Fs::open(&store, branch).unwrap();
        let caller = Caller { uid: 0, gid: 0, umask: 0 };
        let ino = fs.create(&caller, ROOT, b"file", 0o644).unwrap().ino;
        fs.write(ino, 0, &[1; BLOCK], false).unwrap();
        (fs, ino)
    }

    fn plan(fs: &Fs, predictor: &FlushPredictor, node: Ino, call: Call<'_>) -> Plan {
        classify(&Request { unique: 1, node, uid: 0, gid: 0, call }, fs, predictor)
    }

    fn write(data: &[u8]) -> Call<'_> {
        Call::Write(Write { offset: 0, cached: true, kill_set_id: false, data })
    }

    #[test]
    fn what_moves_much_data_leaves_the_queue() {
        let (fs, ino) = tree();
        let plan = |call| plan(&fs, &FlushPredictor::default(), ino, call);
        let read = |size| Call::Read { offset: 0, size, cached: true };
        let long = LONG_TRANSFER_BYTES as u32;
        assert_eq!((plan(read(long - 1)), plan(read(long))), (Plan::Inline, Plan::Detached));
        let data = vec![0; LONG_TRANSFER_BYTES];
        assert_eq!((plan(write(&data[1..])), plan(write(&data))), (Plan::Inline, Plan::Detached));
        let size = |size| Call::SetAttr(SetAttr { size, ..SetAttr::default() });
        assert_eq!((plan(size(None)), plan(size(Some(0)))), (Plan::Inline, Plan::Detached));
        assert_eq!((plan(Call::SyncFs), plan(Call::StatFs)), (Plan::Detached, Plan::Inline));
    }

    #[test]
    fn a_flush_is_one_as_long_as_something_is_not_durable() {
        let (fs, ino) = tree();
        let plan = || plan(&fs, &FlushPredictor::default(), ino, Call::FSync);
        assert_eq!(plan(), Plan::Flush);
        fs.fsync(ino).unwrap();
        assert_eq!(plan(), Plan::FlushNothing);
        assert!(plan().is_flush());
    }

    #[test]
    fn a_write_that_a_flush_follows_by_habit_begins_it() {
        let (fs, ino) = tree();
        let predictor = FlushPredictor::default();
        let plan = |call| plan(&fs, &predictor, ino, call);
        // A time that no clock has reached.
        let mtime = Some(SetTime::At(Time { secs: i64::MAX, nanos: 0 }));
        let times = || Call::SetAttr(SetAttr { mtime, ..SetAttr::default() });
        assert_eq!(plan(write(b"first")), Plan::Inline);
        assert_eq!(plan(times()), Plan::Inline);
        assert!(plan(Call::FSync).is_flush());
        assert_eq!(plan(write(b"second")), Plan::InlineThenFlush);
        assert!(plan(Call::FSync).is_flush());
        let long = vec![0; LONG_TRANSFER_BYTES];
        assert_eq!(plan(write(&long)), Plan::Detached, "a long one does not");
    }

    #[test]
    fn a_seek_waits_for_the_kernel_only_where_the_store_has_a_hole() {
        let (fs, ino) = tree();
        fs.setattr(ino, &SetAttr { size: Some(3 * BLOCK as u64), ..SetAttr::default() }).unwrap();
        let plan = |offset, whence: i32| {
            let whence = whence as u32;
            plan(&fs, &FlushPredictor::default(), ino, Call::Seek { offset, whence })
        };
        assert_eq!(plan(0, libc::SEEK_DATA), Plan::Inline);
        assert_eq!(plan(BLOCK as u64, libc::SEEK_DATA), Plan::SeekInHole);
        assert_eq!(plan(0, libc::SEEK_HOLE), Plan::SeekInHole);
        assert_eq!(plan(0, libc::SEEK_SET), Plan::Inline, "the kernel does these itself");
    }
}

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

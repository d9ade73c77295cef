//! Holes of the store in which the kernel may have data that it has not written back.
//!
//! `SEEK_DATA` and `SEEK_HOLE` are answered from the store. A file that was just written would look
//! like one hole, and a program that copies by these calls would leave it out. So before the answer
//! the kernel is made to write back what it has of the hole on which the answer rests, by an
//! invalidation of that range. Pages of data that the store has stay cached.

use std::ops::Range;

use tine_fs::{Error, Fs, Ino, Result, Seek};

use crate::notify::{NOTICE_BYTES, inval_inode};

/// A range of a file in which the store has no data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HoleRange {
    ino: Ino,
    /// Up to the largest offset where no data follows.
    bytes: Range<u64>,
}

impl HoleRange {
    /// The hole on which the answer to a seek from `offset` rests: the one before the data that is
    /// found, or the one that is found.
    pub fn at_seek(fs: &Fs, ino: Ino, offset: u64, seek: Seek) -> Result<Option<HoleRange>> {
        let start = match seek {
            Seek::Data => offset,
            Seek::Hole => {
                fs.seek(ino, offset, Seek::Hole).or_else(|error| not_found(error, offset))?
            }
        };
        let end =
            fs.seek(ino, start, Seek::Data).or_else(|error| not_found(error, i64::MAX as u64))?;
        Ok((start < end).then_some(HoleRange { ino, bytes: start..end }))
    }

    /// The message that makes the kernel write back what it has of the range.
    pub fn inval(&self) -> [u8; NOTICE_BYTES] {
        let length = self.bytes.end - self.bytes.start;
        // The kernel's offsets are signed, and no file is longer than they say.
        inval_inode(self.ino, self.bytes.start as i64, length as i64)
    }

    /// Returns `true` if the range reaches beyond `written_back`.
    pub fn extends_past(&self, written_back: &HoleRange) -> bool {
        self.bytes.end > written_back.bytes.end
    }
}

/// `offset` in place of the error of a seek that finds nothing.
fn not_found(error: Error, offset: u64) -> Result<u64> {
    match error {
        Error::NoOffset { .. } => Ok(offset),
        error => Err(error),
    }
}

//! Where the store has nothing, while the kernel may have more.
//!
//! `SEEK_DATA` and `SEEK_HOLE` are answered from the store, but the kernel keeps what a program wrote until
//! it writes it back: a file that was just written would look like one hole, and a program that copies by
//! these calls would leave it out. So before the answer the kernel is made to hand over what it has of the
//! blank on which the answer rests. It does so when it is told to forget that range; data that the store
//! has stays cached.

use std::ops::Range;

use tine_fs::{Error, Fs, Ino, Result, Seek};

use crate::reply::{NOTICE_BYTES, notice};

/// A range of a file in which the store has nothing, or does not know of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Blank {
    ino: Ino,
    /// Bytes; to the end of all files where nothing follows.
    bytes: Range<u64>,
}

impl Blank {
    /// The blank on which the answer to a seek from `offset` rests: the one before the data that is found, or
    /// the hole that is.
    pub fn under(fs: &Fs, ino: Ino, offset: u64, what: Seek) -> Result<Option<Blank>> {
        let start = match what {
            Seek::Data => offset,
            Seek::Hole => {
                fs.seek(ino, offset, Seek::Hole).or_else(|error| at_end(error, offset))?
            }
        };
        let end =
            fs.seek(ino, start, Seek::Data).or_else(|error| at_end(error, i64::MAX as u64))?;
        Ok((start < end).then_some(Blank { ino, bytes: start..end }))
    }

    /// The message that makes the kernel write back what it has of it.
    pub fn notice(&self) -> [u8; NOTICE_BYTES] {
        let length = self.bytes.end - self.bytes.start;
        // The kernel's offsets are signed, and no file is longer than they say.
        notice(self.ino, self.bytes.start as i64, length as i64)
    }

    /// Whether `self` reaches beyond `other`, which was filled as far as the kernel could.
    pub fn exceeds(&self, other: &Blank) -> bool {
        self.bytes.end > other.bytes.end
    }
}

/// What a seek gives that finds nothing.
fn at_end(error: Error, otherwise: u64) -> Result<u64> {
    match error {
        Error::NoOffset { .. } => Ok(otherwise),
        error => Err(error),
    }
}

//! Where the pages of persistent memory come from and go to.
//!
//! This crate does not make anything durable itself. A [`PageSource`] gives the content to begin
//! with. A [`PageSink`] takes what has changed, run by run, and makes it durable when asked to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::Error;

/// Gives content by offset.
pub trait PageSource {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Returns `true` if there are no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `bytes` with what is at `offset`.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Takes changed runs of bytes, and makes them durable.
pub trait PageSink {
    /// Takes the bytes at `offset`. Runs come in order and do not overlap.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything taken so far durable, all or nothing as far as the sink can.
    fn commit(&mut self) -> io::Result<()>;
}

impl PageSource for Vec<u8> {
    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let from = self.get(offset as usize..).unwrap_or_default();
        let from = from.get(..bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(from);
        Ok(())
    }
}

impl PageSink for Vec<u8> {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset as usize + bytes.len();
        if <[u8]>::len(self) < end {
            self.resize(end, 0);
        }
        self[end - bytes.len()..end].copy_from_slice(bytes);
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PageSource for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }
}

/// Writes in place and syncs. A crash in between may leave some runs new and some old.
impl PageSink for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn commit(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The error of a sink that failed to save a snapshot.
pub(crate) fn saving(error: io::Error) -> Error {
    Error::os("save a snapshot", error)
}

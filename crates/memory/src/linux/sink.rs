//! Where pages come from and go to, for memory that is kept.
//!
//! This crate has no durability of its own. A [`PageSource`] gives the content to begin with, a
//! [`PageSink`] takes what has changed, run by run, and makes it last when asked to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Gives content by offset.
pub trait PageSource {
    /// Bytes that there are.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `bytes` with what is at `offset`.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Takes changed runs of bytes, and makes them last.
pub trait PageSink {
    /// Takes the bytes at `offset`. Runs come in order and do not overlap.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything taken so far last, all or nothing as far as the sink can.
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

/// Writes in place and syncs: a crash between may leave some runs new and some old.
impl PageSink for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn commit(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

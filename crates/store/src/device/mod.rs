//! The only access to the store's file. The engine speaks to a [`Device`]: a sparse, growing array
//! of 4 KiB blocks that remembers a write for certain only after [`Device::sync`].
//!
//! [`FileDevice`] is the real one, and [`MemoryDevice`] keeps everything in memory. With the
//! feature `testing` there are two more: `LossyDevice` forgets what was not synced when its process
//! is killed, and `SimulatedDevice` can lose power at every moment of its record, and fails in all
//! the ways that disks do.

mod aligned;
#[cfg(any(test, feature = "testing"))]
mod dice;
mod file;
mod flushes;
mod image;
#[cfg(any(test, feature = "testing"))]
mod lossy;
mod memory;
mod overlay;
#[cfg(any(test, feature = "testing"))]
mod simulated;

pub use aligned::AlignedBuf;
pub use file::FileDevice;
#[cfg(any(test, feature = "testing"))]
pub use lossy::{LossyDevice, Survivors};
pub use memory::MemoryDevice;
pub(crate) use overlay::Overlay;
#[cfg(any(test, feature = "testing"))]
pub use simulated::{Faults, ReadFault, Replay, SimulatedDevice, SyncFault, Tape};

use std::io;
use std::ops::Range;

/// Bytes of one device block: every offset and every length is a multiple of it.
const BLOCK: usize = 4096;

/// All I/O of the engine. Offsets, lengths and the ends of ranges are in bytes, and multiples of
/// 4096; other values are refused with [`io::ErrorKind::InvalidInput`].
pub trait Device: Send + Sync + std::fmt::Debug {
    /// Fills `buf` from `offset`. Bytes past the end and bytes never written read as zeros.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// As [`Device::read_at`], but from the host's memory where that holds the range, and kept
    /// there afterwards. A faulty host may return older content, so this is for bytes with a
    /// checksum; a caller that finds them wrong uses [`Device::read_at`].
    fn read_cached(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, buf)
    }

    /// Tells that [`Device::read_cached`] will soon be asked for the range, so that it can be on
    /// its way meanwhile.
    fn expect_read(&self, _range: Range<u64>) {}

    /// Writes all of `buf` at `offset`, growing the device where needed. Durable only after
    /// [`Device::sync`].
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()>;

    /// Makes every write that returned before this call durable. After an error nothing is known
    /// about them, and each concurrent call whose writes may be among the lost fails too.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts or grows the device to `bytes`; what grows reads as zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Reserves room on the host, so that writes into the range cannot run out of it, and grows the
    /// device over the range. What the range holds stays. Does no more than grow where the host
    /// cannot reserve.
    fn allocate(&self, range: Range<u64>) -> io::Result<()>;

    /// Gives the range back to the host: it reads as zeros afterwards. The length stays.
    fn punch(&self, range: Range<u64>) -> io::Result<()>;

    /// Bytes that the host has really set aside for the device.
    fn allocated_bytes(&self) -> io::Result<u64>;

    /// Bytes that the host could still set aside.
    fn host_free_bytes(&self) -> io::Result<u64>;

    /// Returns `true` if the device is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Refuses a range that is not made of whole blocks, or that no file can hold.
fn whole_blocks(range: &Range<u64>) -> io::Result<()> {
    let Range { start, end } = *range;
    let aligned = start.is_multiple_of(BLOCK as u64) && end.is_multiple_of(BLOCK as u64);
    let fits = start <= end && i64::try_from(end).is_ok();
    if aligned && fits {
        return Ok(());
    }
    let len = end.saturating_sub(start);
    let why = format!("{len} bytes at {start} are not whole blocks of {BLOCK} bytes in a file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// The range that a buffer covers from `offset` on; refused where it is not made of whole blocks.
fn range_of(offset: u64, buf: &[u8]) -> io::Result<Range<u64>> {
    let range = offset..offset.saturating_add(buf.len() as u64);
    whole_blocks(&range).map(|()| range)
}

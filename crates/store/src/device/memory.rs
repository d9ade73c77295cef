//! A device in memory, for tests: sparse, copied in an instant, and full on request.

use std::io;
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::image::{Image, block_of, blocks_of};
use super::{BLOCK, Device, range_of, whole_blocks};

/// Blocks in memory. Everything is durable at once.
#[derive(Debug, Default)]
pub struct MemoryDevice {
    state: RwLock<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    image: Image,
    capacity_bytes: Option<u64>,
}

impl MemoryDevice {
    /// An empty device without a limit.
    pub fn new() -> MemoryDevice {
        MemoryDevice::default()
    }

    /// An empty device on a host with room for `bytes`; what needs more fails with
    /// [`io::ErrorKind::StorageFull`].
    pub fn with_capacity(bytes: u64) -> MemoryDevice {
        let device = MemoryDevice::new();
        device.set_capacity(Some(bytes));
        device
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn holding(image: Image) -> MemoryDevice {
        MemoryDevice { state: RwLock::new(State { image, capacity_bytes: None }) }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn image(&self) -> Image {
        self.view().image.clone()
    }

    /// Changes how much the host has room for; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.change().capacity_bytes = bytes;
    }

    /// A device of its own with the same contents. The blocks are shared until written.
    pub fn clone_contents(&self) -> MemoryDevice {
        MemoryDevice { state: RwLock::new(self.view().clone()) }
    }

    // A panic in a test must not hide behind the panic of the next one that takes the lock.
    fn view(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes room for the absent ones of `blocks`, all or none.
    fn reserve(&mut self, blocks: Range<u64>) -> io::Result<()> {
        let Some(capacity) = self.capacity_bytes else { return Ok(()) };
        let absent = blocks.end - blocks.start - self.image.present_in(blocks);
        match absent > 0 && (self.image.present() + absent) * BLOCK as u64 > capacity {
            // The very error of a full host, so that callers are tested on it.
            true => Err(rustix::io::Errno::NOSPC.into()),
            false => Ok(()),
        }
    }
}

impl Device for MemoryDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        range_of(offset, buf)?;
        self.view().image.read(offset, buf);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let range = range_of(offset, buf)?;
        let mut state = self.change();
        state.reserve(blocks_of(&range))?;
        let (whole, _) = buf.as_chunks::<BLOCK>();
        for (bytes, block) in whole.iter().zip(offset / BLOCK as u64..) {
            state.image.put(block, Some(block_of(bytes)));
        }
        state.image.grow(range.end);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.view().image.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        whole_blocks(&(0..bytes))?;
        self.change().image.set_len(bytes);
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        let mut state = self.change();
        state.reserve(blocks_of(&range))?;
        state.image.allocate(blocks_of(&range));
        state.image.grow(range.end);
        Ok(())
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        self.change().image.punch(blocks_of(&range));
        Ok(())
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.view().image.present() * BLOCK as u64)
    }

    /// What is left of the capacity; without one, as much as a file can hold.
    fn host_free_bytes(&self) -> io::Result<u64> {
        let view = self.view();
        let capacity = view.capacity_bytes.unwrap_or(i64::MAX as u64);
        Ok(capacity.saturating_sub(view.image.present() * BLOCK as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_host_refuses_new_blocks_but_takes_allocated_ones() {
        let device = MemoryDevice::with_capacity(3 * BLOCK as u64);
        device.allocate(0..2 * BLOCK as u64).unwrap();
        device.write_at(8 * BLOCK as u64, &[1; BLOCK]).unwrap();
        let full = device.write_at(9 * BLOCK as u64, &[1; BLOCK]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(device.allocate(0..3 * BLOCK as u64).unwrap_err().kind(), full.kind());
        device.write_at(0, &[2; 2 * BLOCK]).unwrap();
        device.punch(0..BLOCK as u64).unwrap();
        device.write_at(9 * BLOCK as u64, &[1; BLOCK]).unwrap();
    }

    #[test]
    fn a_copy_and_its_original_go_their_own_ways() {
        let device = MemoryDevice::new();
        device.write_at(0, &[1; BLOCK]).unwrap();
        let copy = device.clone_contents();
        copy.write_at(0, &[2; BLOCK]).unwrap();
        let mut read = [0; BLOCK];
        device.read_at(0, &mut read).unwrap();
        assert_eq!(read[0], 1);
    }

    #[test]
    fn cut_and_punched_ranges_read_as_zeros() {
        let device = MemoryDevice::new();
        device.write_at(0, &[1; 4 * BLOCK]).unwrap();
        device.punch(BLOCK as u64..2 * BLOCK as u64).unwrap();
        device.set_len(3 * BLOCK as u64).unwrap();
        device.set_len(4 * BLOCK as u64).unwrap();
        let mut read = [9; 4 * BLOCK];
        device.read_at(0, &mut read).unwrap();
        let firsts: Vec<u8> = read.chunks(BLOCK).map(|block| block[0]).collect();
        assert_eq!(firsts, [1, 0, 1, 0]);
        assert_eq!(device.allocated_bytes().unwrap(), 2 * BLOCK as u64);
    }
}

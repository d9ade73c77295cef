//! Changes in memory over a device that stays as it is.

use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use super::image::{Image, block_of, blocks_of, zeros};
use super::{BLOCK, Device, range_of, whole_blocks};

/// Takes all changes to itself; they are gone with it.
#[derive(Debug)]
pub(crate) struct Overlay {
    base: Arc<dyn Device>,
    changed: RwLock<Image>,
}

impl Overlay {
    pub fn over(base: Arc<dyn Device>) -> io::Result<Overlay> {
        let mut changed = Image::default();
        changed.grow(base.len()?);
        Ok(Overlay { base, changed: RwLock::new(changed) })
    }

    fn change(&self, change: impl FnOnce(&mut Image)) -> io::Result<()> {
        change(&mut self.changed.write().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn view<T>(&self, look: impl FnOnce(&Image) -> T) -> T {
        look(&self.changed.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Device for Overlay {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        range_of(offset, buf)?;
        self.base.read_at(offset, buf)?;
        self.view(|changed| {
            for (part, block) in buf.chunks_mut(BLOCK).zip(offset / BLOCK as u64..) {
                if let Some(bytes) = changed.get(block) {
                    part.copy_from_slice(&bytes[..]);
                }
            }
        });
        Ok(())
    }

    fn read_cached(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut blocks = blocks_of(&range_of(offset, buf)?);
        match self.view(|changed| blocks.any(|block| changed.get(block).is_some())) {
            true => self.read_at(offset, buf),
            false => self.base.read_cached(offset, buf),
        }
    }

    fn expect_read(&self, range: Range<u64>) {
        self.base.expect_read(range);
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let range = range_of(offset, buf)?;
        self.change(|changed| {
            let (whole, _) = buf.as_chunks::<BLOCK>();
            for (bytes, block) in whole.iter().zip(offset / BLOCK as u64..) {
                changed.put(block, Some(block_of(bytes)));
            }
            changed.grow(range.end);
        })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.view(Image::len))
    }

    /// The device only grows: what is cut off reads as it did.
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        whole_blocks(&(0..bytes))?;
        self.change(|changed| changed.grow(bytes))
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        self.change(|changed| changed.grow(range.end))
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        self.change(|changed| {
            blocks_of(&range).for_each(|block| changed.put(block, Some(zeros())));
        })
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.base.allocated_bytes()
    }

    /// As much as a file can hold: nothing of it goes to the host, which may be full.
    fn host_free_bytes(&self) -> io::Result<u64> {
        Ok(i64::MAX as u64)
    }
}

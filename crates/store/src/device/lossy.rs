//! A device that loses what was not flushed: unsynced writes live in this process's memory only, so
//! that killing the process is a power cut. Without it, the host's page cache would hide a missing
//! flush from every test.

use super::Device;
use crate::sync::lock;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

const PAGE: usize = 4096;

/// Holds unsynced writes in memory in front of another device.
#[derive(Debug)]
pub struct LossyDevice {
    under: Arc<dyn Device>,
    ignores_flushes: bool,
    unsynced: Mutex<BTreeMap<u64, Box<[u8]>>>,
}

impl LossyDevice {
    /// In front of `under`. With `ignores_flushes`, [`Device::sync`] claims success and does
    /// nothing, as a broken disk would.
    pub fn new(under: Arc<dyn Device>, ignores_flushes: bool) -> LossyDevice {
        LossyDevice { under, ignores_flushes, unsynced: Mutex::default() }
    }

    /// Cuts the power: unsynced writes are lost, but for the 4 KiB blocks that `survives` picks by
    /// their number. In order, by any subset, or none at all: a disk promises nothing.
    ///
    /// # Errors
    /// Those of the device under it.
    pub fn power_cut(&self, mut survives: impl FnMut(u64) -> bool) -> io::Result<()> {
        for (page, content) in std::mem::take(&mut *lock(&self.unsynced)) {
            if survives(page) {
                self.under.write_at(page * PAGE as u64, &content)?;
            }
        }
        Ok(())
    }
}

impl Device for LossyDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let unsynced = lock(&self.unsynced);
        self.under.read_at(offset, buf)?;
        let first = offset / PAGE as u64;
        for (page, content) in unsynced.range(first..first + (buf.len() / PAGE) as u64) {
            let at = (page - first) as usize * PAGE;
            buf[at..at + PAGE].copy_from_slice(content);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let mut unsynced = lock(&self.unsynced);
        for (i, page) in buf.chunks_exact(PAGE).enumerate() {
            unsynced.insert(offset / PAGE as u64 + i as u64, page.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.ignores_flushes {
            return Ok(());
        }
        let mut unsynced = lock(&self.unsynced);
        let mut pages = std::mem::take(&mut *unsynced).into_iter().peekable();
        while let Some((first, content)) = pages.next() {
            let mut run = content.into_vec();
            while run.len() < 1 << 20
                && let Some((_, next)) = pages.next_if(|(page, _)| *page == first + (run.len() / PAGE) as u64)
            {
                run.extend_from_slice(&next);
            }
            self.under.write_at(first * PAGE as u64, &run)?;
        }
        Ok(())
    }

    /// Space is a matter of the host at once: tests of crash safety are about content.
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.under.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.under.len()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.under.allocate(offset, len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let first = offset / PAGE as u64;
        lock(&self.unsynced).retain(|page, _| !(first..first + len / PAGE as u64).contains(page));
        self.under.punch(offset, len)
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.under.allocated_bytes()
    }
}

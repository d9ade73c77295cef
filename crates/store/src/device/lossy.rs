//! A device that forgets, for tests: what was not synced lives in this process alone, so that
//! killing the process, or calling [`LossyDevice::power_cut`], does what a power cut does to a disk
//! with a cache.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::dice::Dice;
use super::image::{Block, blocks_of, zeros};
use super::{BLOCK, Device, range_of, whole_blocks};

/// Older unsynced contents kept for one block, each of which may be what a power cut leaves.
const VERSIONS_MAX: usize = 4;
/// The part of a block that a disk writes in one piece.
const SECTOR: usize = 512;

/// Keeps writes, holes and changes of length to itself until [`Device::sync`] passes them to the
/// device below. Reads see them at once. Room taken by [`Device::allocate`] is taken below at once:
/// it changes no contents.
#[derive(Debug)]
pub struct LossyDevice {
    device: Arc<dyn Device>,
    broken_sync: bool,
    state: RwLock<State>,
}

/// What of the unsynced changes a power cut leaves.
#[derive(Clone, Copy, Debug)]
pub enum Survivors {
    /// Nothing: the device is as it was when the last sync ended.
    None,
    /// Some blocks, chosen by the seed: of each block its last contents, older unsynced contents, a
    /// mixture torn between two 512-byte sectors, or none of them.
    Random(u64),
}

#[derive(Debug)]
struct State {
    /// Unsynced contents by block, oldest first; `None` is a hole.
    unsynced: BTreeMap<u64, Vec<Option<Block>>>,
    len: u64,
    /// What the base holds from here on was cut away, even if the device grew again.
    device_end: u64,
    /// Changes until the power goes by itself.
    fuse: Option<u64>,
    dead: bool,
}

impl LossyDevice {
    /// A forgetting device over `base`. With `broken_sync`, syncing claims success and keeps
    /// forgetting: a test that still passes then proves nothing.
    pub fn over(device: Arc<dyn Device>, broken_sync: bool) -> io::Result<LossyDevice> {
        let len = device.len()?;
        let unsynced = BTreeMap::new();
        let state = State { unsynced, len, device_end: len, fuse: None, dead: false };
        Ok(LossyDevice { device, broken_sync, state: RwLock::new(state) })
    }

    /// Lets the power go by itself in the place of the change (write, sync, hole, length) that
    /// follows `changes` more.
    pub fn cut_after(&self, changes: u64) {
        self.change().fuse = Some(changes);
    }

    /// Whether the power is gone: every call then fails with EIO.
    pub fn is_dead(&self) -> bool {
        self.view().dead
    }

    /// Ends this device for good, leaving on the one below what was synced and the survivors. Open
    /// a new device over that one to go on.
    pub fn power_cut(&self, survivors: Survivors) -> io::Result<()> {
        let mut state = self.change();
        state.dead = true;
        let unsynced = std::mem::take(&mut state.unsynced);
        let Survivors::Random(seed) = survivors else { return Ok(()) };
        let mut dice = Dice(seed);
        if dice.roll(2) == 0 {
            pass_len(&*self.device, &state)?;
        }
        for (block, versions) in unsynced {
            let mut candidates = vec![self.device_block(&state, block)?];
            candidates.extend(versions.into_iter().map(|v| v.unwrap_or_else(zeros)));
            let newest = candidates.len() - 1;
            let mut survivor = match dice.roll(8) {
                0..3 => Arc::clone(&candidates[newest]),
                3..6 => Arc::clone(&candidates[0]),
                _ => Arc::clone(&candidates[dice.roll(candidates.len() as u64) as usize]),
            };
            if dice.roll(8) == 0 {
                let torn = SECTOR * (1 + dice.roll((BLOCK / SECTOR) as u64 - 1) as usize);
                Arc::make_mut(&mut survivor)[..torn].copy_from_slice(&candidates[newest][..torn]);
            }
            if !Arc::ptr_eq(&survivor, &candidates[0]) {
                self.device.write_at(block * BLOCK as u64, &survivor[..])?;
            }
        }
        Ok(())
    }

    fn device_block(&self, state: &State, block: u64) -> io::Result<Block> {
        let mut bytes = zeros();
        if block * (BLOCK as u64) < state.device_end {
            self.device.read_at(block * BLOCK as u64, &mut Arc::make_mut(&mut bytes)[..])?;
        }
        Ok(bytes)
    }

    fn view(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for one more change, unless the power is gone or goes now.
    fn powered_change(&self) -> io::Result<RwLockWriteGuard<'_, State>> {
        let mut state = self.change();
        match &mut state.fuse {
            Some(0) => state.dead = true,
            Some(left) => *left -= 1,
            None => {}
        }
        state.powered()?;
        Ok(state)
    }
}

impl State {
    fn powered(&self) -> io::Result<()> {
        match self.dead {
            true => Err(rustix::io::Errno::IO.into()),
            false => Ok(()),
        }
    }

    fn hold(&mut self, block: u64, bytes: Option<Block>) {
        let versions = self.unsynced.entry(block).or_default();
        if versions.len() == VERSIONS_MAX {
            versions.remove(0);
        }
        versions.push(bytes);
    }
}

impl Device for LossyDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        range_of(offset, buf)?;
        let state = self.view();
        state.powered()?;
        let from_device = state.device_end.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (below, past) = buf.split_at_mut(from_device.next_multiple_of(BLOCK));
        if !below.is_empty() {
            self.device.read_at(offset, below)?;
        }
        past.fill(0);
        let first = offset / BLOCK as u64;
        let end = first + (buf.len() / BLOCK) as u64;
        for (block, versions) in state.unsynced.range(first..end) {
            let at = (block - first) as usize * BLOCK;
            match versions.last() {
                Some(Some(bytes)) => buf[at..at + BLOCK].copy_from_slice(&bytes[..]),
                _ => buf[at..at + BLOCK].fill(0),
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        range_of(offset, buf)?;
        let mut state = self.powered_change()?;
        let (whole, _) = buf.as_chunks::<BLOCK>();
        for (bytes, block) in whole.iter().zip(offset / BLOCK as u64..) {
            state.hold(block, Some(Arc::new(*bytes)));
        }
        state.len = state.len.max(offset + buf.len() as u64);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.powered_change()?;
        if self.broken_sync {
            return Ok(());
        }
        pass_len(&*self.device, &state)?;
        for (block, versions) in &state.unsynced {
            let at = block * BLOCK as u64;
            match versions.last() {
                Some(Some(bytes)) => self.device.write_at(at, &bytes[..])?,
                _ => self.device.punch(at..at + BLOCK as u64)?,
            }
        }
        state.unsynced.clear();
        state.device_end = state.len;
        drop(state);
        self.device.sync()
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.view();
        state.powered()?;
        Ok(state.len)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        whole_blocks(&(0..bytes))?;
        let mut state = self.powered_change()?;
        state.unsynced.split_off(&(bytes / BLOCK as u64));
        state.device_end = state.device_end.min(bytes);
        state.len = bytes;
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        let mut state = self.powered_change()?;
        self.device.allocate(range.clone())?;
        state.len = state.len.max(range.end);
        Ok(())
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        let mut state = self.powered_change()?;
        for block in blocks_of(&range) {
            state.hold(block, None);
        }
        Ok(())
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.view().powered()?;
        self.device.allocated_bytes()
    }

    fn host_free_bytes(&self) -> io::Result<u64> {
        self.device.host_free_bytes()
    }
}

/// Brings the base to the device's length; what was cut away meanwhile becomes zeros.
fn pass_len(device: &dyn Device, state: &State) -> io::Result<()> {
    if device.len()? > state.device_end {
        let kept = device.len()?.min(state.len);
        if state.device_end < kept {
            device.punch(state.device_end..kept)?;
        }
    }
    device.set_len(state.len)
}

#[cfg(test)]
mod tests {
    use super::super::{FileDevice, MemoryDevice};
    use super::*;

    fn block(device: &dyn Device, index: u64) -> u8 {
        let mut bytes = [0; BLOCK];
        device.read_at(index * BLOCK as u64, &mut bytes).unwrap();
        assert!(bytes.iter().all(|b| *b == bytes[0]));
        bytes[0]
    }

    fn put(device: &dyn Device, index: u64, byte: u8) {
        device.write_at(index * BLOCK as u64, &[byte; BLOCK]).unwrap();
    }

    #[test]
    fn a_power_cut_leaves_what_was_synced_and_nothing_else() {
        let device = Arc::new(MemoryDevice::new());
        let lossy = LossyDevice::over(device.clone(), false).unwrap();
        put(&lossy, 0, 1);
        put(&lossy, 1, 1);
        lossy.sync().unwrap();
        put(&lossy, 1, 2);
        lossy.punch(0..BLOCK as u64).unwrap();
        lossy.set_len(9 * BLOCK as u64).unwrap();
        assert_eq!((block(&lossy, 0), block(&lossy, 1)), (0, 2));
        lossy.power_cut(Survivors::None).unwrap();
        assert_eq!((block(&*device, 0), block(&*device, 1)), (1, 1));
        assert_eq!(device.len().unwrap(), 2 * BLOCK as u64);
        assert!(lossy.write_at(0, &[0; BLOCK]).is_err() && lossy.sync().is_err());
    }

    #[test]
    fn a_sync_passes_everything_on_also_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = Arc::new(FileDevice::create(&dir.path().join("store"), true).unwrap());
        let lossy = LossyDevice::over(file.clone(), false).unwrap();
        put(&lossy, 0, 1);
        put(&lossy, 3, 3);
        assert_eq!(file.len().unwrap(), 0);
        lossy.sync().unwrap();
        assert_eq!((block(&*file, 0), block(&*file, 3)), (1, 3));
        lossy.punch(0..BLOCK as u64).unwrap();
        lossy.set_len(3 * BLOCK as u64).unwrap();
        lossy.set_len(4 * BLOCK as u64).unwrap();
        assert_eq!((block(&*file, 0), block(&*file, 3)), (1, 3));
        assert_eq!((block(&lossy, 0), block(&lossy, 3)), (0, 0));
        lossy.sync().unwrap();
        assert_eq!((block(&*file, 0), block(&*file, 3)), (0, 0));
    }

    #[test]
    fn survivors_are_some_old_and_some_new_blocks_and_the_same_for_the_same_seed() {
        let survivors = |seed| {
            let device = Arc::new(MemoryDevice::new());
            let lossy = LossyDevice::over(device.clone(), false).unwrap();
            (0..200).for_each(|i| put(&lossy, i, 1));
            lossy.sync().unwrap();
            (0..200).for_each(|i| put(&lossy, i, 2));
            (0..200).for_each(|i| put(&lossy, i, 3));
            lossy.power_cut(Survivors::Random(seed)).unwrap();
            let mut bytes = vec![0; 200 * BLOCK];
            device.read_at(0, &mut bytes).unwrap();
            bytes
        };
        let left = survivors(1);
        let all = |byte| left.chunks(BLOCK).filter(|b| b.iter().all(|c| *c == byte)).count();
        assert!(all(1) > 20 && all(2) > 2 && all(3) > 20);
        assert!(all(1) + all(2) + all(3) < 200, "some blocks are torn");
        assert!(left == survivors(1) && left != survivors(2));
    }

    #[test]
    fn a_broken_sync_loses_what_it_claims_to_have_kept() {
        let device = Arc::new(MemoryDevice::new());
        let lossy = LossyDevice::over(device.clone(), true).unwrap();
        put(&lossy, 0, 1);
        lossy.sync().unwrap();
        lossy.power_cut(Survivors::None).unwrap();
        assert_eq!(block(&*device, 0), 0);
    }

    #[test]
    fn the_power_goes_at_the_change_it_was_set_to() {
        let lossy = LossyDevice::over(Arc::new(MemoryDevice::new()), false).unwrap();
        lossy.cut_after(1);
        put(&lossy, 0, 1);
        assert_eq!(block(&lossy, 0), 1);
        assert!(lossy.sync().is_err() && lossy.is_dead());
        assert!(lossy.read_at(0, &mut [0; BLOCK]).is_err());
    }
}

//! The store's file on a host filesystem: private to its owner, held by one process at a time,
//! written past the page cache where the host can, and read past it but for what is asked for
//! through it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise};
use rustix::io::Errno;
use tine_sys::private_file::PrivateFile;

use super::flushes::Flushes;
use super::{AlignedBuf, BLOCK, Device, range_of, whole_blocks};

/// Bytes copied at a time when a caller's buffer is not aligned.
const BOUNCE_BYTES: usize = 1 << 20;

/// An exclusively locked regular file. The lock goes when it is dropped, or when its process is
/// killed; a child of `fork(2)` has neither the file nor the lock.
#[derive(Debug)]
pub struct FileDevice {
    file: PrivateFile,
    direct: bool,
    /// The same file through the page cache, where the other passes it by.
    cached: Option<PrivateFile>,
    flushes: Flushes,
}

impl FileDevice {
    /// Makes a new, empty file of mode 0600 and locks it. With `direct`, the page cache is passed
    /// by where the host can.
    ///
    /// Errors: [`io::ErrorKind::AlreadyExists`] where anything has the name.
    pub fn create(path: &Path, direct: bool) -> io::Result<FileDevice> {
        let file = PrivateFile::open(|| {
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
        })?;
        FileDevice::take(file, path, direct).inspect_err(|_| {
            // The error that matters is this one.
            let _ = std::fs::remove_file(path);
        })
    }

    /// Opens an existing file for reading and writing and locks it.
    ///
    /// Errors: [`io::ErrorKind::NotFound`]; [`io::ErrorKind::WouldBlock`] where another process
    /// holds the lock, and [`io::ErrorKind::ResourceBusy`] where this one does;
    /// [`io::ErrorKind::InvalidInput`] where the path names no regular file.
    pub fn open(path: &Path, direct: bool) -> io::Result<FileDevice> {
        // Without O_NONBLOCK, opening a named pipe could wait for ever before it is refused.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
        let file = PrivateFile::open(|| {
            OpenOptions::new().read(true).write(true).custom_flags(flags as i32).open(path)
        });
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::IsADirectory => not_regular(),
            _ => error,
        })?;
        FileDevice::take(file, path, direct)
    }

    /// Opens an existing file for reading alone, which several may do at a time, and none for
    /// writing meanwhile. For that it takes no more than the right to read: the file may be on a
    /// medium that cannot be written, or another's.
    ///
    /// Errors: as [`FileDevice::open`], with those of a lock where another handle is open for
    /// writing.
    pub fn open_read_only(path: &Path, direct: bool) -> io::Result<FileDevice> {
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
        let open = || OpenOptions::new().read(true).custom_flags(flags as i32).open(path);
        let file = PrivateFile::open(open)?;
        FileDevice::locked(file, path, direct, File::try_lock_shared)
    }

    /// Whether reads and writes pass by the page cache.
    pub fn direct(&self) -> bool {
        self.direct
    }

    fn take(file: PrivateFile, path: &Path, direct: bool) -> io::Result<FileDevice> {
        FileDevice::locked(file, path, direct, File::try_lock)
    }

    fn locked(
        private: PrivateFile,
        path: &Path,
        direct: bool,
        lock: impl FnOnce(&File) -> Result<(), TryLockError>,
    ) -> io::Result<FileDevice> {
        let file = private.get()?;
        if !file.metadata()?.is_file() {
            return Err(not_regular());
        }
        lock(file).map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock if private.is_open_twice() => {
                io::Error::new(io::ErrorKind::ResourceBusy, "this process holds the lock already")
            }
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another process holds the lock")
            }
        })?;
        rustix::fs::fcntl_setfl(file, OFlags::empty())?;
        let direct = direct && goes_direct(file)?;
        let cached = if direct { through_the_cache(&private, path) } else { None };
        Ok(FileDevice { file: private, direct, cached, flushes: Flushes::default() })
    }

    fn read_aligned(&self, file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let read = match file.read_at(&mut buf[done..], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == buf.len() - done {
                return Ok(());
            }
            if at + read as u64 >= self.len()? {
                buf[done + read..].fill(0);
                return Ok(());
            }
            // A short read ends anywhere; the next one has to begin at a block again.
            let whole = read - read % BLOCK;
            if whole == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the host returned {read} bytes at {at}, inside the file"),
                ));
            }
            done += whole;
        }
        Ok(())
    }

    fn write_aligned(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let file = self.file.get()?;
        let mut done = 0;
        while done < buf.len() {
            let wrote = match file.write_at(&buf[done..], offset + done as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                wrote => wrote?,
            };
            if wrote == buf.len() - done {
                return Ok(());
            }
            // What is short of a block is written again with the rest of its block.
            let whole = wrote - wrote % BLOCK;
            if whole == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            done += whole;
        }
        Ok(())
    }

    /// One `fallocate`; `Ok(false)` where the host does not know the mode.
    fn fallocate(&self, mode: FallocateFlags, range: &Range<u64>) -> io::Result<bool> {
        let file = self.file.get()?;
        let (offset, len) = (range.start, range.end - range.start);
        loop {
            match rustix::fs::fallocate(file, mode, offset, len) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A child that was begun meanwhile has a copy of the handle until it runs its program; the lock
/// does not wait for that.
impl Drop for FileDevice {
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked when its last handle goes. A child of the process
        // that has the lock does not free it.
        let _ = self.file.get().and_then(File::unlock);
    }
}

impl Device for FileDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        range_of(offset, buf)?;
        if !self.direct || AlignedBuf::is_aligned(buf) {
            return self.read_aligned(self.file.get()?, offset, buf);
        }
        let mut bounce = AlignedBuf::zeroed(buf.len().min(BOUNCE_BYTES));
        for (index, part) in buf.chunks_mut(BOUNCE_BYTES).enumerate() {
            let bounce = &mut bounce[..part.len()];
            self.read_aligned(self.file.get()?, offset + (index * BOUNCE_BYTES) as u64, bounce)?;
            part.copy_from_slice(bounce);
        }
        Ok(())
    }

    fn read_cached(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let Some(cached) = &self.cached else { return self.read_at(offset, buf) };
        range_of(offset, buf)?;
        self.read_aligned(cached.get()?, offset, buf)
    }

    fn expect_read(&self, range: Range<u64>) {
        let cached = match &self.cached {
            Some(cached) => cached,
            None if self.direct => return,
            None => &self.file,
        };
        let len = NonZeroU64::new(range.end.saturating_sub(range.start));
        // Advice that is not taken costs time only.
        let _ = cached.get().map(|file| fadvise(file, range.start, len, Advice::WillNeed));
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        range_of(offset, buf)?;
        if !self.direct || AlignedBuf::is_aligned(buf) {
            return self.write_aligned(offset, buf);
        }
        let mut bounce = AlignedBuf::zeroed(buf.len().min(BOUNCE_BYTES));
        for (index, part) in buf.chunks(BOUNCE_BYTES).enumerate() {
            let bounce = &mut bounce[..part.len()];
            bounce.copy_from_slice(part);
            self.write_aligned(offset + (index * BOUNCE_BYTES) as u64, bounce)?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let file = self.file.get()?;
        self.flushes.run(!self.direct, || file.sync_data())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.get()?.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        whole_blocks(&(0..bytes))?;
        self.file.get()?.set_len(bytes)
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        if range.is_empty() || self.fallocate(FallocateFlags::empty(), &range)? {
            return Ok(());
        }
        match self.len()? < range.end {
            true => self.file.get()?.set_len(range.end),
            false => Ok(()),
        }
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if range.is_empty() || self.fallocate(mode, &range)? {
            return Ok(());
        }
        // The host cannot make holes: the zeros have to be written.
        let end = self.len()?.min(range.end);
        let zeros = AlignedBuf::zeroed(BOUNCE_BYTES);
        for at in (range.start..end).step_by(BOUNCE_BYTES) {
            let part = (end - at).min(BOUNCE_BYTES as u64) as usize;
            self.write_aligned(at, &zeros[..part])?;
        }
        Ok(())
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.file.get()?.metadata()?.blocks() * 512)
    }

    fn host_free_bytes(&self) -> io::Result<u64> {
        let host = rustix::fs::fstatvfs(self.file.get()?)?;
        Ok(host.f_bavail.saturating_mul(host.f_frsize))
    }
}

/// Turns O_DIRECT on, and leaves it on where a first read shows that the host serves it.
fn goes_direct(file: &File) -> io::Result<bool> {
    if rustix::fs::fcntl_setfl(file, OFlags::DIRECT).is_err() {
        return Ok(false);
    }
    if file.read_at(&mut AlignedBuf::zeroed(BLOCK), 0).is_ok() {
        return Ok(true);
    }
    rustix::fs::fcntl_setfl(file, OFlags::empty())?;
    Ok(false)
}

/// A second handle of the file, for reads through the page cache; none where it cannot be had, or
/// the path names another file by now.
fn through_the_cache(file: &PrivateFile, path: &Path) -> Option<PrivateFile> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let open = || OpenOptions::new().read(true).custom_flags(flags as i32).open(path);
    PrivateFile::open(open).ok().filter(|second| second.is_same(file))
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::PermissionsExt;

    use tine_sys::process::fork_and_wait;

    use super::*;

    fn both_ways(test: impl Fn(FileDevice)) {
        for direct in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let device = FileDevice::create(&dir.path().join("store"), direct).unwrap();
            test(device);
        }
    }

    #[test]
    fn what_is_written_is_read_back_from_buffers_of_any_alignment() {
        both_ways(|device| {
            let bytes: Vec<u8> = (0..3 * BOUNCE_BYTES + 1).map(|i| (i * 7 / 3) as u8).collect();
            for shift in [0, 1] {
                let written = &bytes[shift..shift + 2 * BOUNCE_BYTES + BLOCK];
                device.write_at(8192, written).unwrap();
                let mut read = vec![1; written.len() + shift];
                device.read_at(8192, &mut read[shift..]).unwrap();
                assert!(&read[shift..] == written);
            }
            device.sync().unwrap();
            assert_eq!(device.len().unwrap(), 8192 + (2 * BOUNCE_BYTES + BLOCK) as u64);
        });
    }

    #[test]
    fn what_the_host_keeps_in_its_memory_follows_every_change() {
        both_ways(|device| {
            let cached = |at: u64| {
                let mut read = AlignedBuf::zeroed(2 * BLOCK);
                device.expect_read(at..at + 2 * BLOCK as u64);
                device.read_cached(at, &mut read).unwrap();
                let mut on_disk = AlignedBuf::zeroed(2 * BLOCK);
                device.read_at(at, &mut on_disk).unwrap();
                assert!(read[..] == on_disk[..]);
                (read[0], read[2 * BLOCK - 1])
            };
            device.write_at(0, &[1; 4 * BLOCK]).unwrap();
            assert_eq!(cached(0), (1, 1));
            device.write_at(BLOCK as u64, &[2; 2 * BLOCK]).unwrap();
            assert_eq!((cached(0), cached(8192)), ((1, 2), (2, 1)));
            device.punch(0..BLOCK as u64).unwrap();
            assert_eq!(cached(0), (0, 2));
            device.set_len(8192).unwrap();
            assert_eq!(cached(8192), (0, 0));
            device.set_len(16384).unwrap();
            assert_eq!((cached(4096), cached(8192)), ((2, 0), (0, 0)));
        });
    }

    #[test]
    fn a_path_that_names_another_file_by_now_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let [store, other] = ["store", "other"].map(|name| dir.path().join(name));
        std::fs::write(&other, "x").unwrap();
        let device = FileDevice::create(&store, true).unwrap();
        assert!(through_the_cache(&device.file, &store).is_some());
        assert!(through_the_cache(&device.file, &other).is_none());
        assert!(through_the_cache(&device.file, &dir.path().join("gone")).is_none());
    }

    #[test]
    fn holes_and_what_lies_past_the_end_read_as_zeros() {
        both_ways(|device| {
            device.write_at(8192, &[5; BLOCK]).unwrap();
            let mut read = vec![9; 5 * BLOCK];
            device.read_at(0, &mut read).unwrap();
            let mut expected = vec![0; 5 * BLOCK];
            expected[8192..8192 + BLOCK].fill(5);
            assert!(read == expected);
        });
    }

    #[test]
    fn a_file_that_ends_inside_a_block_reads_as_zeros_after_its_end() {
        for direct in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("store");
            std::fs::write(&path, vec![5; BLOCK + 100]).unwrap();
            let mut read = vec![9; 3 * BLOCK];
            FileDevice::open(&path, direct).unwrap().read_at(0, &mut read).unwrap();
            assert!(read[..BLOCK + 100].iter().all(|b| *b == 5));
            assert!(read[BLOCK + 100..].iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn a_punched_range_reads_as_zeros_and_gives_its_space_back() {
        both_ways(|device| {
            device.allocate(0..1 << 20).unwrap();
            device.write_at(0, &vec![3; 1 << 20]).unwrap();
            device.sync().unwrap();
            let before = device.allocated_bytes().unwrap();
            device.punch(BLOCK as u64..1 << 20).unwrap();
            device.sync().unwrap();
            assert!(device.allocated_bytes().unwrap() + (900 << 10) < before);
            let mut read = vec![1; 2 * BLOCK];
            device.read_at(0, &mut read).unwrap();
            assert!(read[..BLOCK].iter().all(|b| *b == 3) && read[BLOCK..].iter().all(|b| *b == 0));
            assert_eq!(device.len().unwrap(), 1 << 20);
        });
    }

    #[test]
    fn allocated_room_is_set_aside_before_it_is_written() {
        both_ways(|device| {
            device.allocate(1 << 20..2 << 20).unwrap();
            assert!(device.allocated_bytes().unwrap() >= 1 << 20);
            assert_eq!(device.len().unwrap(), 2 << 20);
            device.set_len(1 << 20).unwrap();
            assert!(device.allocated_bytes().unwrap() < 1 << 20);
        });
    }

    #[test]
    fn a_second_handle_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let first = FileDevice::create(&path, true).unwrap();
        let refused = || FileDevice::open(&path, true).unwrap_err().kind();
        assert_eq!(refused(), io::ErrorKind::ResourceBusy);
        let in_child = fork_and_wait(|| u8::from(refused() == io::ErrorKind::WouldBlock));
        assert_eq!(in_child.unwrap().code(), Some(1));
        drop(first);
        FileDevice::open(&path, true).unwrap();
    }

    #[test]
    fn a_child_has_neither_the_file_nor_its_lock_and_its_parent_keeps_both() {
        both_ways(|device| {
            device.write_at(0, &[1; BLOCK]).unwrap();
            let status = fork_and_wait(|| {
                let mut read = AlignedBuf::zeroed(BLOCK);
                let refused = [
                    device.write_at(0, &[2; BLOCK]),
                    device.read_at(0, &mut read),
                    device.read_cached(0, &mut read),
                    device.sync(),
                    device.set_len(0),
                    device.allocate(0..1 << 20),
                    device.punch(0..BLOCK as u64),
                    device.len().map(drop),
                    device.allocated_bytes().map(drop),
                    device.host_free_bytes().map(drop),
                ];
                device.expect_read(0..BLOCK as u64);
                u8::from(refused.iter().any(Result::is_ok))
            });
            assert_eq!(status.unwrap().code(), Some(0));
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let device = Cell::new(Some(FileDevice::create(&path, true).unwrap()));
        let status = fork_and_wait(|| {
            drop(device.take());
            u8::from(FileDevice::open(&path, true).is_ok())
        });
        assert_eq!(status.unwrap().code(), Some(0), "the child must not free its parent's lock");
        assert!(FileDevice::open(&path, true).is_err());
    }

    #[test]
    fn a_file_has_one_writer_or_any_number_of_readers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let writer = FileDevice::create(&path, true).unwrap();
        writer.write_at(0, &[5; BLOCK]).unwrap();
        let refused = |opened: io::Result<FileDevice>| opened.unwrap_err().kind();
        let reader = || FileDevice::open_read_only(&path, true);
        assert_eq!(refused(reader()), io::ErrorKind::ResourceBusy);
        drop(writer);
        let (one, another) = (reader().unwrap(), reader().unwrap());
        let mut read = [0; BLOCK];
        one.read_at(0, &mut read).unwrap();
        assert_eq!(read, [5; BLOCK]);
        assert!(another.write_at(0, &read).is_err());
        assert_eq!(refused(FileDevice::open(&path, true)), io::ErrorKind::ResourceBusy);
        drop((one, another));
        FileDevice::open(&path, true).unwrap();
    }

    #[test]
    fn a_copy_of_the_handle_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let device = FileDevice::create(&path, true).unwrap();
        let copy = device.file.get().unwrap().try_clone().unwrap();
        drop(device);
        FileDevice::open(&path, true).unwrap();
        drop(copy);
    }

    #[test]
    fn a_new_file_is_private_and_never_replaces_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let device = FileDevice::create(&path, true).unwrap();
        assert_eq!(
            device.file.get().unwrap().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        let again = FileDevice::create(&path, true).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| FileDevice::open(path, true).unwrap_err().kind();
        assert_eq!(refused(dir.path()), io::ErrorKind::InvalidInput);
        assert_eq!(refused(Path::new("/dev/null")), io::ErrorKind::InvalidInput);
        assert_eq!(refused(&dir.path().join("absent")), io::ErrorKind::NotFound);
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert_eq!(refused(&pipe), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn ranges_that_are_not_whole_blocks_are_refused() {
        both_ways(|device| {
            let kind = |result: io::Result<()>| result.unwrap_err().kind();
            let refused = io::ErrorKind::InvalidInput;
            assert_eq!(kind(device.write_at(1, &[0; BLOCK])), refused);
            assert_eq!(kind(device.read_at(0, &mut [0; 100])), refused);
            assert_eq!(kind(device.set_len(100)), refused);
            assert_eq!(kind(device.punch(u64::MAX - 4095..u64::MAX)), refused);
        });
    }
}

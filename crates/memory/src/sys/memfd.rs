//! Memory behind a descriptor. It can be written until it is sealed, and never again.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::error::{Error, Feature, Result};

/// The seals that together make content immutable: no change of size, no write by any path.
const SEALS: [(libc::c_int, &str); 3] = [
    (libc::F_SEAL_WRITE, "F_SEAL_WRITE"),
    (libc::F_SEAL_SHRINK, "F_SEAL_SHRINK"),
    (libc::F_SEAL_GROW, "F_SEAL_GROW"),
];

/// How long to retry sealing while something else holds a page.
const SEAL_PATIENCE: Duration = Duration::from_secs(5);

/// The file-system type of huge-page memory, whose pages this crate does not handle.
const HUGETLBFS_MAGIC: libc::c_long = 0x958458f6;

/// Memory that can be written, of a fixed length, all holes at first.
#[derive(Debug)]
pub(crate) struct Memfd(File);

impl Memfd {
    /// Makes memory of `bytes`.
    pub fn new(bytes: usize) -> Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_NOEXEC_SEAL;
        #[cfg(test)]
        super::fault_injection::check().map_err(|e| Error::os("create memory for an image", e))?;
        // SAFETY: the name is a C string, and the flags take no further argument.
        let fd = unsafe { libc::memfd_create(c"tine".as_ptr(), flags) };
        if fd < 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::ENOSYS | libc::EINVAL | libc::EPERM) => Error::Unsupported {
                    feature: Feature::SealedMemory,
                    reason: format!("memfd_create failed: {error}"),
                },
                _ => Error::os("create memory for an image", error),
            });
        }
        // SAFETY: the descriptor is new and has no other owner.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(bytes as u64).map_err(|error| match error.raw_os_error() {
            Some(libc::EFBIG) => Error::os(
                "size the memory of an image beyond the limit on files (`ulimit -f`)",
                error,
            ),
            _ => Error::os("size the memory of an image", error),
        })?;
        Ok(Self(file))
    }

    /// Writes at an offset, through the descriptor, so that a shortage is an error and not a
    /// signal.
    pub fn write_at(&self, bytes: &[u8], offset: usize) -> Result<()> {
        #[cfg(test)]
        super::fault_injection::check()
            .map_err(|e| Error::os("write the memory of an image", e))?;
        self.0.write_all_at(bytes, offset as u64).map_err(|error| match error.raw_os_error() {
            // The memory lies in no file system that could be full. The kernel returns this if it
            // cannot promise the memory.
            Some(libc::ENOSPC) => Error::NoMemory,
            _ => Error::os("write the memory of an image", error),
        })
    }

    /// Frees the pages of a range, which read as zeros from then on.
    pub fn punch(&self, range: Range<usize>) -> Result<()> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (offset, bytes) = (range.start as libc::off_t, range.len() as libc::off_t);
        // SAFETY: the descriptor is open; the call touches no memory of ours.
        if unsafe { libc::fallocate(self.0.as_raw_fd(), mode, offset, bytes) } != 0 {
            return Err(Error::last("give zero pages back"));
        }
        Ok(())
    }

    /// The ranges that have been written, in order. Between them are holes.
    pub fn data(&self) -> Result<Vec<Range<usize>>> {
        data_ranges(&self.0)
    }

    /// Seals for good. Fails while a writable shared mapping exists.
    ///
    /// The kernel also refuses while anything else holds a page for a moment: a fault or an
    /// unmapping in flight on another processor, or perhaps its own compaction and reclaim. It
    /// waits about 0.15 s for such holders by itself. One refusal that lasted longer was seen, and
    /// its holder was not found. So sealing is retried until [`SEAL_PATIENCE`] is over.
    pub fn seal(self) -> Result<Sealed> {
        let seals = SEALS.iter().fold(libc::F_SEAL_SEAL, |all, (seal, _)| all | seal);
        let begun = Instant::now();
        loop {
            // SAFETY: fcntl with F_ADD_SEALS takes an integer.
            if unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_ADD_SEALS, seals) } == 0 {
                return Ok(Sealed(self.0));
            }
            let error = Error::last("seal an image");
            let held = matches!(&error, Error::Os { source, .. } if source.raw_os_error() == Some(libc::EBUSY));
            if !held || begun.elapsed() > SEAL_PATIENCE {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl AsRawFd for Memfd {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Memory that no process can change any more.
#[derive(Debug)]
pub(crate) struct Sealed(File);

impl Sealed {
    /// Takes a descriptor from anywhere, after verifying its seals. Returns its length too.
    pub fn from_fd(fd: OwnedFd) -> Result<(Self, usize)> {
        // SAFETY: fcntl with F_GET_SEALS takes no argument.
        let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 {
            let error = io::Error::last_os_error();
            return Err(Error::Unsealed { reason: format!("it has no seals at all ({error})") });
        }
        if let Some((_, name)) = SEALS.iter().find(|(seal, _)| seals & seal == 0) {
            return Err(Error::Unsealed { reason: format!("{name} is missing") });
        }
        // SAFETY: statfs is plain data, for which zeros are a value, and fstatfs fills it.
        let mut system: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        if unsafe { libc::fstatfs(fd.as_raw_fd(), &mut system) } != 0 {
            return Err(Error::last("inspect an image's descriptor"));
        }
        if system.f_type as libc::c_long == HUGETLBFS_MAGIC {
            let reason = "it is made of pre-reserved huge pages, which are not supported".into();
            return Err(Error::Unsealed { reason });
        }
        let file = Self(File::from(fd));
        let len = file.len()?;
        Ok((file, len))
    }

    /// The length in bytes.
    pub fn len(&self) -> Result<usize> {
        let meta = self.0.metadata().map_err(|e| Error::os("inspect an image's descriptor", e))?;
        usize::try_from(meta.len()).map_err(|_| Error::Length {
            bytes: meta.len(),
            reason: "it exceeds the address space",
        })
    }

    /// Reads at an offset. What lies past the end reads as zeros.
    pub fn read_at(&self, bytes: &mut [u8], offset: usize) -> Result<()> {
        #[cfg(test)]
        super::fault_injection::check().map_err(|e| Error::os("read the memory of an image", e))?;
        let mut done = 0;
        while done < bytes.len() {
            match self.0.read_at(&mut bytes[done..], (offset + done) as u64) {
                Ok(0) => {
                    bytes[done..].fill(0);
                    break;
                }
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::os("read the memory of an image", error)),
            }
        }
        Ok(())
    }

    /// The ranges that hold data, in order.
    pub fn data(&self) -> Result<Vec<Range<usize>>> {
        data_ranges(&self.0)
    }

    /// Bytes of memory that the file holds now.
    pub fn allocated(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        let meta = self.0.metadata().map_err(|e| Error::os("inspect an image", e))?;
        Ok(meta.blocks() * 512)
    }

    /// A second descriptor of the same memory.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        let file =
            self.0.try_clone().map_err(|e| Error::os("duplicate an image's descriptor", e))?;
        Ok(file.into())
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Sealed {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

fn data_ranges(file: &File) -> Result<Vec<Range<usize>>> {
    let seek = |offset: usize, whence| -> Result<Option<usize>> {
        // SAFETY: lseek touches no memory of ours.
        let at = unsafe { libc::lseek(file.as_raw_fd(), offset as libc::off_t, whence) };
        match at {
            0.. => Ok(Some(at as usize)),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
                error => Err(Error::os("find the data of an image", error)),
            },
        }
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(start) = seek(at, libc::SEEK_DATA)? {
        at = seek(start, libc::SEEK_HOLE)?.unwrap_or(start);
        if at <= start {
            break;
        }
        ranges.push(start..at);
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_found_between_holes_and_punched_pages_are_holes_again() {
        let memory = Memfd::new(1 << 20).unwrap();
        memory.write_at(&[1; 8192], 4096).unwrap();
        memory.write_at(&[1; 4096], 65536).unwrap();
        assert_eq!(memory.data().unwrap(), [4096..12288, 65536..69632]);
        memory.punch(4096..8192).unwrap();
        assert_eq!(memory.data().unwrap(), [8192..12288, 65536..69632]);
    }

    #[test]
    fn sealed_memory_refuses_every_write() {
        let sealed = Memfd::new(4096).unwrap().seal().unwrap();
        assert!(sealed.0.write_all_at(&[1], 0).is_err());
        assert!(sealed.0.set_len(0).is_err() && sealed.0.set_len(8192).is_err());
    }

    #[test]
    fn a_descriptor_without_all_seals_is_refused_by_the_name_of_the_missing_one() {
        let memory = Memfd::new(4096).unwrap();
        // SAFETY: fcntl with F_ADD_SEALS takes an integer.
        unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_WRITE) };
        let refused = Sealed::from_fd(memory.0.into()).unwrap_err();
        assert!(refused.to_string().contains("F_SEAL_SHRINK"), "{refused}");

        let file = tempfile::tempfile().unwrap();
        assert!(matches!(Sealed::from_fd(file.into()), Err(Error::Unsealed { .. })));
    }
}

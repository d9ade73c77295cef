//! One file of the host, read whole: what it is, its extended attributes, its data without its
//! holes.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, SeekFrom, lgetxattr, llistxattr, openat, seek};
use rustix::io::Errno;
use tine_fs::Kind;

use super::BLOCK_BYTES;
use super::fingerprint::Meta;
use super::ids;
use super::seen::Seen;
use super::throttle::{CHUNK_BYTES, Throttle};

/// What a copy keeps of an entry.
pub fn meta(directory: BorrowedFd<'_>, name: &[u8], seen: &Seen) -> io::Result<Meta> {
    let kind = seen
        .kind()
        .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "a file of unknown kind"))?;
    let rdev = match kind {
        Kind::CharDevice | Kind::BlockDevice => device_number(seen.rdev),
        _ => 0,
    };
    let meta = Meta {
        kind,
        mode: seen.mode & 0o7777,
        uid: seen.uid,
        gid: seen.gid,
        rdev,
        atime: seen.atime,
        mtime: seen.mtime,
        size: if kind == Kind::File { seen.size } else { 0 },
        xattrs: xattrs(directory, name)?,
    };
    Ok(ids::kept(meta))
}

/// The 32 bits by which the kernel names a device to a file system.
pub fn device_number((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The pair that a 32-bit device number stands for.
pub fn device_pair(rdev: u32) -> (u32, u32) {
    ((rdev & 0xf_ff00) >> 8, (rdev & 0xff) | ((rdev >> 12) & 0xf_ff00))
}

/// A path for the calls that take no directory descriptor; names `directory` itself when `name` is
/// `.`.
pub fn through_proc(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    Ok(CString::new(path)?)
}

/// How btrfs shall store a file is no matter of the file.
const OF_THE_HOST: &[u8] = b"btrfs.";

fn xattrs(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = through_proc(directory, name)?;
    let list = match grow(|buffer| llistxattr(&path, buffer)) {
        // The host's file system has none.
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => Vec::new(),
        list => list?,
    };
    let mut found = Vec::new();
    let names = list.split(|&byte| byte == 0);
    for name in names.filter(|name| !name.is_empty() && !name.starts_with(OF_THE_HOST)) {
        let value = grow(|buffer| lgetxattr(&path, name, buffer))?;
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// Calls with an ever larger buffer until the answer fits.
fn grow(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1024];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() <= 1 << 20 => buffer.resize(buffer.len() * 8, 0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens a regular file to be read, and nothing that took its place.
pub fn open_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Reading should leave no trace; only an owner may ask for that.
    match openat(directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => Ok(openat(directory, name, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// Opens a directory to be read.
pub fn open_directory(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?)
}

/// Visits the data of a file in chunks that begin on block boundaries, without its holes.
pub fn read_data<E: From<io::Error>>(
    file: &OwnedFd,
    size: u64,
    throttle: Throttle<'_>,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; CHUNK_BYTES.min(size as usize)];
    let mut offset = 0;
    while offset < size {
        let Some((start, end)) = next_data(file, offset, size)? else { break };
        offset = start;
        while offset < end {
            let want = buffer.len().min(throttle.chunk_bytes()).min((end - offset) as usize);
            let got = read_full(file.as_fd(), offset, &mut buffer[..want])?;
            visit(offset, &buffer[..got])?;
            if got < want {
                let short = "it became shorter while it was read";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, short).into());
            }
            offset += got as u64;
        }
    }
    Ok(())
}

/// The next stretch of data, widened to whole blocks.
fn next_data(file: &OwnedFd, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let start = match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // A file system that knows no holes.
        Err(Errno::INVAL) => return Ok(Some((offset, size))),
        Err(error) => return Err(error.into()),
    };
    let end = seek(file, SeekFrom::Hole(start))?;
    let start = (start / BLOCK_BYTES * BLOCK_BYTES).max(offset);
    Ok(Some((start, end.next_multiple_of(BLOCK_BYTES).min(size))))
}

fn read_full(file: BorrowedFd<'_>, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(file, &mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(got) => done += got,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// A path for messages.
pub fn shown(root: &Path, path: &[u8]) -> std::path::PathBuf {
    match path {
        [] => root.to_path_buf(),
        path => root.join(std::ffi::OsStr::from_bytes(path)),
    }
}

/// The path of an entry below the root.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match parent {
        [] => name.to_vec(),
        parent => [parent, b"/", name].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_number_survives_its_encoding() {
        for (major, minor) in [(1, 3), (259, 5), (8, 1 << 18)] {
            assert_eq!(device_pair(device_number((major, minor))), (major, minor));
        }
    }

    #[test]
    fn holes_are_not_read() {
        let file = tempfile::tempfile().unwrap();
        let size = 64 << 20;
        file.set_len(size).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"end", size - 3).unwrap();
        let mut read = 0;
        read_data::<io::Error>(&file.into(), size, Throttle(&|| false), |_, bytes| {
            read += bytes.len();
            Ok(())
        })
        .unwrap();
        assert!((3..1 << 20).contains(&read), "{read}");
    }
}

//! Reads files of a data directory, which may hold anything under any name: a pipe that no process
//! writes to, a device, a file without an end. Only a regular file is read, and nothing is waited
//! for.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// More than any file that is read whole has.
const BYTES_MAX: u64 = 64 << 20;

/// Reads a file, links followed. That they stay in the branch has been checked.
///
/// # Errors
/// When it is not there, is no regular file, or cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    open_and_read(path, OFlags::NONBLOCK)
}

/// Reads a file that is never a link.
///
/// # Errors
/// As [`read`], and when it is a link.
pub(super) fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    open_and_read(path, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

/// Reads a text that is never a link; bytes that are no text are replaced.
///
/// # Errors
/// As [`read_own`].
pub(super) fn read_own_text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_own(path)?).into_owned())
}

fn open_and_read(path: &Path, flags: OFlags) -> io::Result<Vec<u8>> {
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if metadata.len() > BYTES_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is too large"));
    }
    let mut text = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn nothing_but_a_regular_file_is_read_and_nothing_is_waited_for() {
        let tree = tempfile::tempdir().unwrap();
        let path = |name: &str| tree.path().join(name);
        fs::write(path("file"), "text").unwrap();
        symlink("file", path("link")).unwrap();
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::File::create(path("endless")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path("link")).unwrap(), b"text");
        assert_eq!(read_own_text(&path("file")).unwrap(), "text");
        assert!(read_own(&path("link")).is_err());
        for name in ["pipe", "endless", "."] {
            assert!(read(&path(name)).is_err() && read_own(&path(name)).is_err(), "{name}");
        }
        assert_eq!(read(&path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

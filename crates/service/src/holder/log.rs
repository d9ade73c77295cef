//! The file next to the store with the errors that the holder could report to no command.
//!
//! Other users may be able to write the directory that it lies in, so whatever is at its path is
//! looked at before a line goes there: a link is not followed, and a file of another user, or one
//! that has a second name elsewhere, is left alone.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::protocol::identity::Identity;

/// Its place, for the store at `store`, an absolute path.
pub fn path(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_os_string();
    name.push(".log");
    store.with_file_name(name)
}

/// Opens it to append to, made if it is missing.
///
/// # Errors
/// When something is there that is no plain file of this user's own.
pub fn open(store: &Path) -> io::Result<File> {
    let path = path(store);
    let flags = OFlags::CREATE
        | OFlags::APPEND
        | OFlags::WRONLY
        | OFlags::CLOEXEC
        | OFlags::NOFOLLOW
        // A pipe or a device is not waited for before it is refused.
        | OFlags::NONBLOCK
        | OFlags::NOCTTY;
    let mode = Mode::RUSR | Mode::WUSR;
    // The path of a store has no links in it; one that has come meanwhile was put there to lead
    // elsewhere.
    let opened = match openat2(CWD, &path, flags, mode, ResolveFlags::NO_SYMLINKS) {
        Err(Errno::NOSYS | Errno::PERM) => openat(CWD, &path, flags, mode),
        opened => opened,
    };
    let file = File::from(opened?);
    let meta = file.metadata()?;
    if !meta.is_file() || meta.uid() != geteuid().as_raw() || meta.nlink() > 1 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is not a file of this user alone",
        ));
    }
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

/// Leaves a line in the log, which is the standard error of a holder. A log that takes nothing, on
/// a full disk for one, is no reason to stop.
pub fn write(error: &impl Display) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// Removes the log of this holder if it says nothing, and if it is still the one at its path.
pub fn remove_if_empty(store: &Path) {
    let Ok(own) = io::stderr().as_fd().try_clone_to_owned().map(File::from) else { return };
    let Ok(own) = own.metadata() else { return };
    let path = path(store);
    if own.len() == 0 && Identity::at(&path) == Some(Identity::of(&own)) {
        // Should it stay, it stays empty.
        let _ = fs::remove_file(&path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_log_is_made_and_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().canonicalize().unwrap().join("store.tine");
        writeln!(open(&store).unwrap(), "one").unwrap();
        writeln!(open(&store).unwrap(), "two").unwrap();
        assert_eq!(fs::read_to_string(path(&store)).unwrap(), "one\ntwo\n");
        assert_eq!(fs::metadata(path(&store)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_plain_file_of_this_user_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().canonicalize().unwrap().join("store.tine");
        let place = path(&store);
        let victim = dir.path().join("victim");

        symlink(&victim, &place).unwrap();
        assert!(open(&store).is_err(), "a link to nothing");
        assert!(!victim.exists());
        fs::write(&victim, "precious").unwrap();
        assert!(open(&store).is_err(), "a link to a file");
        fs::remove_file(&place).unwrap();

        fs::hard_link(&victim, &place).unwrap();
        assert!(open(&store).is_err(), "a second name of a file");
        fs::remove_file(&place).unwrap();

        rustix::fs::mkfifoat(CWD, &place, Mode::RUSR | Mode::WUSR).unwrap();
        assert!(open(&store).is_err(), "a pipe");
        fs::remove_file(&place).unwrap();

        if geteuid().is_root() {
            fs::write(&place, "").unwrap();
            std::os::unix::fs::chown(&place, Some(1), Some(1)).unwrap();
            assert!(open(&store).is_err(), "a file of another user");
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_directory_that_was_replaced_by_a_link_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        fs::create_dir(dir.join("elsewhere")).unwrap();
        symlink(dir.join("elsewhere"), dir.join("place")).unwrap();
        assert!(open(&dir.join("place/store.tine")).is_err());
        assert_eq!(fs::read_dir(dir.join("elsewhere")).unwrap().count(), 0);
    }
}

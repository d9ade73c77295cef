//! Where the holder of a store listens: beside the store, for its owner alone.
//!
//! The address of a Unix socket holds 108 bytes, fewer than a path may have. So it is named through the
//! descriptor of its directory, and by a digest where even the file's name is long.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;
use tine_sys::descriptors;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Code, Error, Result};

/// `/proc/self/fd/N/` and this many bytes fit an address.
const NAME_BYTES_MAX: usize = 80;

/// The place of the socket of the store at `store`, an absolute path.
pub fn path(store: &Path) -> PathBuf {
    let name = store.file_name().unwrap_or_default().as_bytes();
    let name = match name.len() + ".sock".len() <= NAME_BYTES_MAX {
        true => [name, b".sock"].concat(),
        false => format!(".tine-{:016x}.sock", xxh3_64(name)).into_bytes(),
    };
    store.with_file_name(OsStr::from_bytes(&name))
}

/// A short way to name the socket, good as long as the directory stays open.
fn short(path: &Path) -> io::Result<(File, PathBuf)> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::PATH | OFlags::DIRECTORY).bits() as i32)
        .open(parent.unwrap_or(Path::new(".")))?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
        .join(path.file_name().unwrap_or_default());
    Ok((directory, short))
}

/// Listens for commands of this user; whoever calls holds the store, so what is there is left over.
pub fn listen(store: &Path) -> Result<UnixListener> {
    let path = path(store);
    let bind = || {
        remove(store)?;
        let (_directory, short) = short(&path)?;
        let listener = UnixListener::bind(&short)?;
        fs::set_permissions(&short, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(|error: io::Error| Error::path("listen on", &path, error))
}

/// Removes the socket, and nothing else that may be there.
pub fn remove(store: &Path) -> io::Result<()> {
    let path = path(store);
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(&path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What became of an attempt to reach the holder.
pub enum Attempt {
    /// Somebody of this user listens.
    Reached(UnixStream),
    /// Nobody ever listened, or said so when it stopped.
    Absent,
    /// The socket of a holder that died is there.
    Dead,
}

/// Connects to the holder, if there is one.
///
/// # Errors
/// `not-permitted` when another user's process listens.
pub fn connect(store: &Path) -> Result<Attempt> {
    let path = path(store);
    let connect = || {
        let (_directory, short) = short(&path)?;
        UnixStream::connect(short)
    };
    let stream = match connect() {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Attempt::Absent),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                    Ok(Attempt::Dead)
                }
                io::ErrorKind::PermissionDenied => Err(someone_elses(store)),
                _ => Err(Error::path("connect to", &path, error)),
            };
        }
    };
    must_be_same_user(&stream, store)?;
    Ok(Attempt::Reached(stream))
}

/// An error unless the process at the other end runs as this user.
pub fn must_be_same_user(stream: &UnixStream, store: &Path) -> Result<()> {
    let peer = descriptors::peer(stream).map_err(|error| Error::io("asking who it is", error))?;
    match peer.uid == geteuid().as_raw() {
        true => Ok(()),
        false => Err(someone_elses(store)),
    }
}

fn someone_elses(store: &Path) -> Error {
    let what = format!("store {} is in use by another user", store.display());
    Error::new(Code::NotPermitted, what).hint("run the command as the user who owns the store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_deep_in_long_directories_has_a_socket_that_works() {
        let dir = tempfile::tempdir().unwrap();
        let deep = (0..5).fold(dir.path().to_path_buf(), |path, _| path.join("d".repeat(100)));
        fs::create_dir_all(&deep).unwrap();
        for name in ["store.tine".to_owned(), "n".repeat(250)] {
            let store = deep.join(name);
            let listener = listen(&store).unwrap();
            assert!(matches!(connect(&store).unwrap(), Attempt::Reached(_)));
            let mode = fs::metadata(path(&store)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(listener);
            assert!(matches!(connect(&store).unwrap(), Attempt::Dead));
            remove(&store).unwrap();
            assert!(matches!(connect(&store).unwrap(), Attempt::Absent));
        }
    }

    #[test]
    fn a_file_in_the_place_of_the_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.tine");
        fs::write(path(&store), "mine").unwrap();
        assert!(listen(&store).is_err());
        assert_eq!(fs::read(path(&store)).unwrap(), b"mine");
    }
}

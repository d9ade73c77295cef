//! Where the holder of a store listens: next to the store, for its owner alone.
//!
//! The address of a Unix socket holds 108 bytes, fewer than a path may have. So it is named through
//! the descriptor of its directory, and by a digest where even the file's name is long.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, fchmod, renameat_with};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::geteuid;
use tine_sys::descriptors;
use xxhash_rust::xxh3::xxh3_64;

use crate::protocol::identity::Identity;
use crate::protocol::{Code, Error, Result};

/// Commands that may wait until they are taken on.
const BACKLOG: i32 = 128;

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

/// Listens for the store, in the place of a holder that died, or of one that holds a store which
/// stood at the path before. A holder of this very store cannot be there: the caller has it open.
pub fn listen(store: &Path) -> Result<(UnixListener, Socket)> {
    listen_at(store, |fresh, place| {
        if fs::symlink_metadata(place).is_ok_and(|meta| !meta.file_type().is_socket()) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there"));
        }
        // At once: a command that connects finds the one socket or the other, never none.
        fs::rename(fresh, place)
    })
}

/// Listens for the store where there is no socket, and takes the place of nothing.
pub fn listen_anew(store: &Path) -> Result<(UnixListener, Socket)> {
    listen_at(store, |fresh, place| {
        Ok(renameat_with(CWD, fresh, CWD, place, RenameFlags::NOREPLACE)?)
    })
}

fn listen_at(
    store: &Path,
    put: impl Fn(&Path, &Path) -> io::Result<()>,
) -> Result<(UnixListener, Socket)> {
    let path = path(store);
    let bind = || {
        let (_directory, short) = short(&path)?;
        let (listener, fresh) = bind_beside(&short)?;
        let identity = Identity::at(&fresh).ok_or(io::ErrorKind::NotFound)?;
        put(&fresh, &short).inspect_err(|_| {
            // The error to tell is why it has no place.
            let _ = fs::remove_file(&fresh);
        })?;
        Ok((listener, Socket { path: path.clone(), identity }))
    };
    bind().map_err(|error: io::Error| Error::path("listen on", &path, error))
}

/// A socket that listens under a name of its own in the same directory.
fn bind_beside(short: &Path) -> io::Result<(UnixListener, PathBuf)> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The name gets the mode that the socket has; changed by path, it could be that of a link's
    // target.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    for number in 0.. {
        let fresh = short.with_file_name(format!(".tine-{}-{number}.sock", std::process::id()));
        match rustix::net::bind(&socket, &SocketAddrUnix::new(&fresh)?) {
            Ok(()) => {
                rustix::net::listen(&socket, BACKLOG)?;
                return Ok((UnixListener::from(socket), fresh));
            }
            // Left over from a process of the same number, or put there by another user.
            Err(rustix::io::Errno::ADDRINUSE) if number < 100 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// A socket in its place.
#[derive(Clone, Debug)]
pub struct Socket {
    path: PathBuf,
    identity: Identity,
}

impl Socket {
    /// Returns `true` if nothing is in its place.
    pub fn is_missing(&self) -> bool {
        fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Removes it, unless another has taken its place.
    pub fn remove(&self) -> io::Result<()> {
        if Identity::at(&self.path) != Some(self.identity) {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What became of an attempt to reach the holder.
pub enum Attempt {
    /// A process of this user listens.
    Reached(UnixStream),
    /// No process listens, and the last one removed its socket.
    Absent,
    /// The socket of a holder that died is there.
    Dead(Option<Socket>),
}

/// Connects to the holder, if there is one.
///
/// # Errors
/// `not-permitted` when another user's process listens.
pub fn connect(store: &Path) -> Result<Attempt> {
    let path = path(store);
    // Looked at before the connection, so that it is the socket on which no process listened.
    let found = Identity::at(&path).map(|identity| Socket { path: path.clone(), identity });
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
                    Ok(Attempt::Dead(found))
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
    Error::new(Code::NotPermitted, what)
        .hint("run the command as that user, or ask for the store's branches to be unmounted")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_store_deep_in_long_directories_has_a_socket_that_works() {
        let dir = tempfile::tempdir().unwrap();
        let deep = (0..5).fold(dir.path().to_path_buf(), |path, _| path.join("d".repeat(100)));
        fs::create_dir_all(&deep).unwrap();
        for name in ["store.tine".to_owned(), "n".repeat(250)] {
            let store = deep.join(name);
            let (listener, socket) = listen(&store).unwrap();
            assert!(matches!(connect(&store).unwrap(), Attempt::Reached(_)));
            let mode = fs::metadata(path(&store)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(listener);
            assert!(matches!(connect(&store).unwrap(), Attempt::Dead(Some(_))));
            socket.remove().unwrap();
            assert!(matches!(connect(&store).unwrap(), Attempt::Absent));
            assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_socket_that_is_made_anew_takes_the_place_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.tine");
        let (_old, old) = listen(&store).unwrap();
        assert!(!old.is_missing() && listen_anew(&store).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::remove_file(path(&store)).unwrap();
        assert!(old.is_missing());
        let (_new, new) = listen_anew(&store).unwrap();
        assert!(matches!(connect(&store).unwrap(), Attempt::Reached(_)));
        assert!(!new.is_missing());
    }

    #[test]
    fn a_file_in_the_place_of_the_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.tine");
        fs::write(path(&store), "mine").unwrap();
        assert!(listen(&store).is_err());
        assert_eq!(fs::read(path(&store)).unwrap(), b"mine");
    }

    #[test]
    fn a_link_in_the_place_of_the_socket_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.tine");
        let target = dir.path().join("target");
        fs::write(&target, "").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&target, path(&store)).unwrap();
        assert!(listen(&store).is_err());
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn the_end_of_a_holder_leaves_the_socket_of_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.tine");
        let (_old, old) = listen(&store).unwrap();
        let (_new, new) = listen(&store).unwrap();
        old.remove().unwrap();
        assert!(matches!(connect(&store).unwrap(), Attempt::Reached(_)));
        new.remove().unwrap();
        assert!(matches!(connect(&store).unwrap(), Attempt::Absent));
    }
}

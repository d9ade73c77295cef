//! Directories that last as long as the machine runs: mount points, sockets and records of servers.
//!
//! They lie where other users can reach them (a server started by root runs as another), under a
//! path short enough for a Unix socket, and belong to this user alone.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fchmod, openat};
use rustix::process::geteuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::machine::mount_table;
use crate::protocol::{Code, Error, Result};

const MOUNT: &str = "mnt";

/// The directory of this user.
fn root() -> PathBuf {
    let user = geteuid();
    let given = std::env::var_os("XDG_RUNTIME_DIR").filter(|given| !given.is_empty());
    match given {
        _ if user.is_root() && Path::new("/run").is_dir() => PathBuf::from("/run/tine"),
        Some(given) if !user.is_root() => PathBuf::from(given).join("tine"),
        _ => PathBuf::from(format!("/tmp/tine-{}", user.as_raw())),
    }
}

/// The directory of the store that is at the path now: branches of one that stood there before may
/// have the same numbers, and servers that still run. Of a store that is gone, that of one which
/// was there.
fn of_store(store: &Path) -> PathBuf {
    let of_path = format!("{:016x}-", xxh3_64(store.as_os_str().as_bytes()));
    if let Ok(meta) = fs::metadata(store) {
        let name = format!("{of_path}{:x}", meta.ino());
        let usual = root().join(&name);
        // A session without a runtime directory, as over `su`, or one with another, also finds what
        // a server was started with.
        return match usual.is_dir() {
            true => usual,
            false => elsewhere(store, OsStr::new(&name)).unwrap_or(usual),
        };
    }
    let entries = fs::read_dir(root()).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    let is_of = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_bytes().starts_with(of_path.as_bytes()))
    };
    paths.find(is_of).unwrap_or_else(|| root().join(of_path))
}

/// The directory of the store in the runtime directory of another session of this user.
fn elsewhere(store: &Path, name: &OsStr) -> Option<PathBuf> {
    let user = geteuid().as_raw();
    let roots = [format!("/run/user/{user}/tine"), format!("/tmp/tine-{user}")];
    let usual = roots.iter().map(|root| Path::new(root).join(name));
    let mounts = mount_table::ours().unwrap_or_default();
    let mounted = mounts
        .iter()
        .filter(|mount| mount.store == store && is_for_a_server(&mount.directory))
        .filter_map(|mount| Some(mount.directory.parent()?.parent()?.to_owned()));
    usual.chain(mounted).find(|path| path.file_name() == Some(name) && must_be_ours(path).is_ok())
}

/// Where the directory of one branch is, or would be.
pub fn place(store: &Path, id: u64) -> PathBuf {
    of_store(store).join(id.to_string())
}

/// The directory of one branch, made if it is missing.
pub fn of_branch(store: &Path, id: u64) -> Result<PathBuf> {
    let place = place(store, id);
    make_below(store, &place, || make_ours(&place))?;
    Ok(place)
}

/// Makes the directory of a store, then `path` in it by `how`. A command that removes the last
/// thing in that directory removes it as well, so that it may be gone again by then.
pub fn make_below<T>(
    store: &Path,
    path: &Path,
    mut how: impl FnMut() -> io::Result<T>,
) -> Result<T> {
    const ATTEMPTS: u32 = 1000;
    let directory = of_store(store);
    let root = directory.parent().unwrap_or(&directory).to_owned();
    let mut attempt = || make_ours(&root).and_then(|()| make_ours(&directory)).and_then(|()| how());
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(made) => return Ok(made),
            Err(_) => break,
        }
    }
    attempt().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied if must_be_ours(&root).is_err() => foreign(&root),
        io::ErrorKind::PermissionDenied if must_be_ours(&directory).is_err() => foreign(&directory),
        _ => Error::path("make", path, error),
    })
}

/// Removes the directory of a store and that of the user, each if nothing is left in it.
pub fn remove_if_empty(of_store: &Path) {
    for directory in of_store.ancestors().take(2) {
        // Other branches, or other stores, have theirs.
        if fs::remove_dir(directory).is_err() {
            return;
        }
    }
}

/// Where a branch is mounted for its server, in the directory of the branch.
pub fn mount_in(place: &Path) -> PathBuf {
    place.join(MOUNT)
}

/// Returns `true` if a mount was made for a server, and not by a command that mounts.
pub fn is_for_a_server(mount: &Path) -> bool {
    let of_store = mount.parent().and_then(Path::parent).and_then(Path::file_name);
    let is_of_store = |name: &OsStr| {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
        let halves = name.to_str().and_then(|name| name.split_once('-'));
        halves.is_some_and(|(path, number)| path.len() == 16 && digits(path) && digits(number))
    };
    mount.file_name().is_some_and(|name| name == MOUNT) && of_store.is_some_and(is_of_store)
}

/// The directories of branches that there are.
pub fn branches(store: &Path) -> Result<Vec<PathBuf>> {
    let directory = of_store(store);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::path("read", &directory, error)),
    };
    must_be_ours(&directory).map_err(|_| foreign(&directory))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = paths.map_err(|error| Error::path("read", &directory, error))?;
    // Beside them are their locks.
    paths.retain(|path| path.is_dir());
    Ok(paths)
}

/// Makes a directory that others may pass through, or takes the one that is there if it is ours.
pub fn make(directory: &Path) -> Result<()> {
    make_ours(directory).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied if must_be_ours(directory).is_err() => foreign(directory),
        _ => Error::path("make", directory, error),
    })
}

/// The same, with `PermissionDenied` where it is not ours.
fn make_ours(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Ok(()) => open_up(directory),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => must_be_ours(directory),
        Err(error) => Err(error),
    }
}

/// Lets others pass through, whatever the mask of this process took away; never through a link.
fn open_up(directory: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, directory, flags, Mode::empty())?;
    Ok(fchmod(&opened, Mode::from_raw_mode(0o711))?)
}

/// Any user may make a directory in `/tmp` before us.
fn must_be_ours(directory: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(directory)?;
    match meta.is_dir() && meta.uid() == geteuid().as_raw() {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn foreign(directory: &Path) -> Error {
    let what = format!("{} belongs to another user", directory.display());
    Error::new(Code::NotPermitted, what).hint("set XDG_RUNTIME_DIR to a directory of yours")
}

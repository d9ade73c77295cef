//! Directories that last as long as the machine runs: mount points, sockets and records of servers.
//!
//! They lie where other users can reach them (a server started by root runs as another), under a path
//! short enough for a Unix socket, and belong to this user alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Code, Error, Result};

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

fn of_store(store: &Path) -> PathBuf {
    root().join(format!("{:016x}", xxh3_64(store.as_os_str().as_bytes())))
}

/// The directory of one branch, made if it is missing.
pub fn of_branch(store: &Path, id: u64) -> Result<PathBuf> {
    make(&root())?;
    make(&of_store(store))?;
    let place = of_store(store).join(id.to_string());
    make(&place)?;
    Ok(place)
}

/// Where a branch is mounted for its server, in the directory of the branch.
pub fn mount_in(place: &Path) -> PathBuf {
    place.join(MOUNT)
}

/// Whether a mount is one for a server, and not one that a person asked for.
pub fn is_for_a_server(mount: &Path) -> bool {
    mount.starts_with(root()) && mount.file_name().is_some_and(|name| name == MOUNT)
}

/// The error of a branch that is mounted for its server.
pub fn serving(name: &str) -> Error {
    Error::new(Code::BranchBusy, format!("a PostgreSQL server runs on branch {name}"))
        .hint(format!("stop it first: `tine postgres stop {name}`"))
}

/// The directories of branches that there are.
pub fn branches(store: &Path) -> Result<Vec<PathBuf>> {
    let directory = of_store(store);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::path("read", &directory, error)),
    };
    must_be_ours(&root())?;
    let path = |entry: io::Result<fs::DirEntry>| Ok(entry?.path());
    entries.map(path).collect::<io::Result<_>>().map_err(|e| Error::path("read", &directory, e))
}

/// Makes a directory that others may pass through, or takes the one that is there if it is ours.
pub fn make(directory: &Path) -> Result<()> {
    match fs::create_dir(directory) {
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o711))
            .map_err(|error| Error::path("make", directory, error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => must_be_ours(directory),
        Err(error) => Err(Error::path("make", directory, error)),
    }
}

/// Anybody may make a directory in `/tmp` before us.
fn must_be_ours(directory: &Path) -> Result<()> {
    let meta =
        fs::symlink_metadata(directory).map_err(|error| Error::path("read", directory, error))?;
    match meta.is_dir() && meta.uid() == geteuid().as_raw() {
        true => Ok(()),
        false => {
            let what = format!("{} belongs to somebody else", directory.display());
            Err(Error::new(Code::NotPermitted, what)
                .hint("set XDG_RUNTIME_DIR to a directory of yours"))
        }
    }
}

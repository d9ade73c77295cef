//! An import brought up to date with its directory.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::client::{Access, Client, ProgressHooks};
use crate::machine::mount_table;
use crate::protocol::imports::{FindImport, FoundImport, Refresh, Refreshed};
use crate::protocol::{Code, Error, Hint, Result};

/// Brings the import that `name` was made from up to date, and the branch with it unless it has
/// changes of its own or is in use.
///
/// # Errors
/// `branch-not-found`; `unsupported` for a branch that no directory was imported into;
/// `base-changed` or `not-permitted` with the names of the files that could not be read;
/// `branch-busy`, `no-space`, `interrupted`. Then all is as it was.
pub fn refresh(client: &Client, name: &str, hooks: &mut ProgressHooks<'_>) -> Result<Refreshed> {
    let mut access = client.reach()?;
    let found = access.ask(FindImport::Of(name.into()))?;
    let Some(import) = found else {
        let what = format!("no directory was imported for branch {name}");
        return Err(Error::new(Code::Unsupported, what).hint(Hint::ImportAnew));
    };
    // The branch of the name follows, and no other fork of the import.
    let own = import.import.strip_suffix("@import") == Some(name);
    let follower = own.then(|| name.to_owned());
    let refreshed = refresh_import(client, &mut access, &import, follower, hooks)?;
    access.leave()?;
    Ok(refreshed)
}

/// Brings an import up to date.
///
/// # Errors
/// As [`refresh`].
pub(crate) fn refresh_import(
    client: &Client,
    access: &mut Access,
    import: &FoundImport,
    follower: Option<String>,
    hooks: &mut ProgressHooks<'_>,
) -> Result<Refreshed> {
    let (path, opened) = open_source(&import.directory, "refresh")?;
    must_be_outside(client, &path, "refresh")?;
    let ask = Refresh { import: import.import.clone(), source: path, follower };
    access.ask_long(ask, &[opened.as_fd()], hooks)
}

/// Opens a directory that is to be read into a branch.
///
/// # Errors
/// When it is not there, or no directory.
pub(crate) fn open_source(directory: &Path, verb: &str) -> Result<(PathBuf, OwnedFd)> {
    let path =
        fs::canonicalize(directory).map_err(|error| Error::path("read", directory, error))?;
    // Asking for a directory never waits, as opening a pipe does.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, &path, flags, Mode::empty()) {
        Ok(opened) => Ok((path, opened)),
        Err(Errno::NOTDIR) => {
            let what = format!("cannot {verb} {}: it is not a directory", directory.display());
            Err(Error::new(Code::Io, what).hint("name the directory that it is in"))
        }
        Err(error) => Err(Error::path("read", directory, error)),
    }
}

/// An error if reading `path` would have the holder read the store itself, or a mount that it
/// serves.
pub(crate) fn must_be_outside(client: &Client, path: &Path, verb: &str) -> Result<()> {
    if client.store().starts_with(path) {
        let (path, store) = (path.display(), client.store().display());
        let what = format!("cannot {verb} {path}: the store itself, {store}, is in it");
        return Err(Error::new(Code::Unsupported, what).hint(Hint::MoveStoreOut));
    }
    let mounts =
        mount_table::ours().map_err(|error| Error::io("cannot read the table of mounts", error))?;
    let own = mounts.iter().filter(|mount| mount.store == client.store());
    for mount in own {
        if path.starts_with(&mount.directory) || mount.directory.starts_with(path) {
            let (directory, branch) = (mount.directory.display(), &mount.branch);
            let what = format!(
                "cannot {verb} {}: branch {branch} of this store is mounted at {directory}",
                path.display()
            );
            return Err(Error::new(Code::Unsupported, what)
                .hint(Hint::ForkMounted { branch: branch.clone() }));
        }
    }
    Ok(())
}

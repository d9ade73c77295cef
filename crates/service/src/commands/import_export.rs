//! Commands that carry a directory in or a branch out.
//!
//! The command opens the directory and hands it to the holder, which copies: other commands, mounts
//! and servers of the same store go on meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::client::{Access, Client, ProgressHooks};
use crate::commands::flush::flush;
use crate::commands::refresh::{must_be_outside, open_source};
use crate::protocol::copies::{Export, Exported, Import, Imported};
use crate::protocol::{Code, Error, Result};

/// Copies `directory` into `name@import`, which only a refresh changes, and forks that as the new
/// branch `name`.
///
/// # Errors
/// `branch-exists`, `name-invalid`; `base-changed` or `not-permitted` with the names of the files
/// that could not be read; `no-space`, `interrupted`. Then there is no branch.
pub fn import(
    client: &Client,
    directory: &Path,
    name: &str,
    hooks: &mut ProgressHooks<'_>,
) -> Result<Imported> {
    let (path, opened) = open_source(directory, "import")?;
    let mut holder = client.hold()?;
    must_be_outside(client, &path, "import")?;
    holder.ask_long(Import { source: path, name: name.into() }, &[opened.as_fd()], hooks)
}

/// Copies the branch `name` to `directory`, which is made, or must be empty.
///
/// # Errors
/// `branch-not-found`, `no-space`, `not-permitted`, `interrupted`. Then `directory` is as it was.
pub fn export(
    client: &Client,
    name: &str,
    directory: &Path,
    hooks: &mut ProgressHooks<'_>,
) -> Result<Exported> {
    let target =
        std::path::absolute(directory).map_err(|error| Error::path("write", directory, error))?;
    must_be_free(&target)?;
    let mut access = client.hold_to_read()?;
    flush(&mut access, name)?;
    let unfinished = make_beside(&target)?;
    let result = fill(access, name, &unfinished, &target, hooks);
    if result.is_err() {
        // The error to tell is why it failed.
        let _ = remove_tree(&unfinished);
    }
    result
}

fn fill(
    mut access: Access,
    name: &str,
    unfinished: &Path,
    target: &Path,
    hooks: &mut ProgressHooks<'_>,
) -> Result<Exported> {
    let opened = File::open(unfinished).map_err(|error| Error::path("open", unfinished, error))?;
    let export = Export { name: name.into(), target: target.into() };
    let exported = access.ask_long(export, &[opened.as_fd()], hooks)?;
    fs::rename(unfinished, target).map_err(|error| Error::path("make", target, error))?;
    Ok(exported)
}

fn must_be_free(target: &Path) -> Result<()> {
    let taken = |why: &str| {
        let what = format!("cannot export to {}: {why}", target.display());
        Err(Error::new(Code::Io, what).hint("name a directory that is new or empty"))
    };
    match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => taken("it is not empty"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            taken("it is not a directory")
        }
        Err(error) => Err(Error::path("write", target, error)),
    }
}

/// A new directory next to the target, to take its place when it is complete.
fn make_beside(target: &Path) -> Result<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".tine-{}", std::process::id()));
    let unfinished = target.with_file_name(name);
    // Until it is complete, nothing of it is for others, whatever the caller's mask leaves open.
    match fs::DirBuilder::new().mode(0o700).create(&unfinished) {
        Ok(()) => Ok(unfinished),
        Err(error) => Err(Error::path("make", target, error)),
    }
}

/// Removes a tree, read-only directories included.
fn remove_tree(root: &Path) -> io::Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(root)?;
            fs::remove_dir_all(root)
        }
        done => done,
    }
}

fn open_up(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

//! A look into a branch without a mount: the entries of a directory, and the bytes of a file.

use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::client::Client;
use crate::commands::flush::flush;
use crate::protocol::look::{EntryRow, ListDirectory, ReadFile};
use crate::protocol::{Error, RawBytes, Result};

/// The entries of the directory at `path`, or the one entry if it is no directory; with what a
/// mount of the branch still keeps. Symbolic links are followed inside the branch.
///
/// # Errors
/// `branch-not-found`; `io` when there is nothing at the path, or a link on the way leads out of
/// the branch.
pub fn list(client: &Client, name: &str, path: &[u8]) -> Result<Vec<EntryRow>> {
    let mut access = client.reach_to_read()?;
    flush(&mut access, name)?;
    let path = RawBytes(path.to_vec());
    let entries = access.ask(ListDirectory { name: name.into(), path })?;
    access.leave()?;
    Ok(entries)
}

/// Writes the bytes of the file at `path` to `to`: those of one moment. A reader that has seen
/// enough is no failure.
///
/// # Errors
/// As [`list`], and those of writing.
pub fn copy_out(
    client: &Client,
    name: &str,
    path: &[u8],
    to: &mut (impl Write + Send),
) -> Result<()> {
    let mut access = client.reach_to_read()?;
    flush(&mut access, name)?;
    let ask = ReadFile { name: name.into(), path: RawBytes(path.to_vec()) };
    // The process that has the store open writes into a pipe: it does not touch what the
    // command's output leads to.
    let (mut from, into) = io::pipe().map_err(|error| Error::io("cannot make a pipe", error))?;
    let (answer, copied) = std::thread::scope(|scope| {
        let copier = scope.spawn(move || io::copy(&mut from, to).and_then(|_| to.flush()));
        let answer = access.ask_with(ask, &[into.as_fd()]);
        drop(into);
        (answer, copier.join())
    });
    let copied = copied.unwrap_or_else(|_| Err(io::Error::other("the copier failed")));
    match copied {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return access.leave(),
        Err(error) => return Err(Error::io("cannot write what was read", error)),
        Ok(()) => answer?,
    };
    access.leave()
}

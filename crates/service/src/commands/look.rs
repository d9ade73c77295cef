//! A look into a branch without a mount: the entries of a directory, and the bytes of a file.

use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::client::Client;
use crate::commands::flush::flush;
use crate::commands::inspect::unexpected;
use crate::protocol::answers::Entries;
use crate::protocol::{Error, RawBytes, Request, Response, Result};

/// The entries of the directory at `path`, or the one entry if it is no directory; with what a mount of the branch
/// still keeps. Symbolic links are followed inside the branch.
///
/// # Errors
/// `branch-not-found`; `io` when there is nothing at the path, or a link on the way leads out of the branch.
pub fn list(client: &Client, name: &str, path: &[u8]) -> Result<Entries> {
    let mut reach = client.reach()?;
    flush(&mut reach, name)?;
    let request = Request::Entries { name: name.into(), path: RawBytes(path.to_vec()) };
    let response = reach.call(request)?;
    reach.leave()?;
    match response {
        Response::Entries(entries) => Ok(entries),
        _ => Err(unexpected()),
    }
}

/// Writes the bytes of the file at `path` to `to`: those of one moment. A reader that has seen enough is no failure.
///
/// # Errors
/// As [`list`], and those of writing.
pub fn copy_out(
    client: &Client,
    name: &str,
    path: &[u8],
    to: &mut (impl Write + Send),
) -> Result<()> {
    let mut reach = client.reach()?;
    flush(&mut reach, name)?;
    let request = Request::Read { name: name.into(), path: RawBytes(path.to_vec()) };
    // Whoever has the store open writes into a pipe, and does not touch what the command's output leads to.
    let (mut from, into) = io::pipe().map_err(|error| Error::io("cannot make a pipe", error))?;
    let (response, copied) = std::thread::scope(|scope| {
        let copier = scope.spawn(move || io::copy(&mut from, to).and_then(|_| to.flush()));
        let response = reach.call_with(request, &[into.as_fd()]);
        drop(into);
        (response, copier.join())
    });
    let copied = copied.unwrap_or_else(|_| Err(io::Error::other("the copier failed")));
    match copied {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return reach.leave(),
        Err(error) => return Err(Error::io("cannot write what was read", error)),
        Ok(()) => response?,
    };
    reach.leave()
}

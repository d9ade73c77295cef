//! A connection to the holder of a store.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tine_sys::descriptors;

use crate::protocol::identity::Identity;
use crate::protocol::wire::{self, ClientMessage, Hello, PROTOCOL, Reply};
use crate::protocol::{Code, Error, Progress, ProgressUpdate, Request, Response, Result};

/// A connection to the holder of a store, which answers one request after the other.
pub struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Hears the holder's first words, and which store it holds; `None` when it ended instead.
    pub(super) fn begin(
        stream: UnixStream,
        patience: Duration,
    ) -> Result<Option<(Connection, Option<Identity>)>> {
        let listen_for = |limit| {
            stream.set_read_timeout(limit).map_err(|error| Error::io("preparing to listen", error))
        };
        listen_for(Some(patience))?;
        let hello = match wire::receive::<Hello>(&stream) {
            Ok(hello) => hello,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let pid = descriptors::peer(&stream).map_or(0, |peer| peer.pid);
                let what = format!("the holder of the store (process {pid}) does not answer");
                return Err(Error::new(Code::StoreLocked, what)
                    .hint("see whether it is stopped, or waits for its disk; if need be, end it"));
            }
            Err(_) => return Ok(None),
        };
        listen_for(None)?;
        if hello.protocol != PROTOCOL {
            let what = format!(
                "the store is held by tine {} (process {}), which this version cannot talk to",
                hello.version, hello.pid
            );
            return Err(Error::new(Code::StoreLocked, what)
                .hint("unmount its branches with that version, then try again"));
        }
        match hello.refused {
            Some(error) => Err(error),
            None => Ok(Some((Connection { stream }, hello.store))),
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Those of the request, and `io` when the holder is gone.
    pub fn call(&mut self, request: Request) -> Result<Response> {
        self.call_with(request, &[], &mut |_| {})
    }

    /// Answers a request that takes descriptors, or long.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn call_with(
        &mut self,
        request: Request,
        fds: &[BorrowedFd<'_>],
        progress: &mut dyn FnMut(ProgressUpdate),
    ) -> Result<Response> {
        wire::send(&self.stream, &ClientMessage::Execute(request), fds).map_err(gone)?;
        loop {
            match wire::receive(&self.stream).map_err(gone)? {
                Reply::Progress(step) => progress(step),
                Reply::Done(result) => return result,
            }
        }
    }

    /// Answers a request that takes long, and tells `hooks` how far it is.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn call_long(
        &mut self,
        request: Request,
        fd: BorrowedFd<'_>,
        hooks: &mut ProgressHooks<'_>,
    ) -> Result<Response> {
        (hooks.begin)(self.canceller()?);
        self.call_with(request, &[fd], hooks.step)
    }

    /// A handle by which another thread can stop the request under way.
    ///
    /// # Errors
    /// When no descriptor is to be had.
    pub fn canceller(&self) -> Result<Canceller> {
        let stream = self.stream.try_clone().map_err(|e| Error::io("preparing to cancel", e))?;
        Ok(Canceller(Worker::Holder(stream)))
    }
}

/// What follows a long request.
pub struct ProgressHooks<'a> {
    /// Given the handle that stops the request, before it begins.
    pub begin: &'a mut dyn FnMut(Canceller),
    /// Told how far the request is.
    pub step: &'a mut dyn FnMut(ProgressUpdate),
}

/// Stops the request under way.
pub struct Canceller(Worker);

/// Who works on a request.
enum Worker {
    Holder(UnixStream),
    ThisProcess(Arc<Progress>),
}

impl From<Arc<Progress>> for Canceller {
    fn from(progress: Arc<Progress>) -> Canceller {
        Canceller(Worker::ThisProcess(progress))
    }
}

impl Canceller {
    /// Asks who works on it to stop and undo it; the call then ends with `interrupted`.
    pub fn cancel(&self) {
        match &self.0 {
            // A holder that is gone has stopped already.
            Worker::Holder(stream) => drop(wire::send(stream, &ClientMessage::Cancel, &[])),
            Worker::ThisProcess(progress) => progress.cancel(),
        }
    }
}

fn gone(error: io::Error) -> Error {
    let what = format!("the holder of the store went away: {error}");
    Error::new(Code::Io, what).hint("try again: what was acknowledged is kept")
}

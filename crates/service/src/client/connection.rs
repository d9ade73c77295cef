//! A connection to the holder of a store.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tine_sys::descriptors;

use crate::protocol::identity::Identity;
use crate::protocol::wire::{self, ClientMessage, Hello, PROTOCOL, Reply};
use crate::protocol::{Ask, Code, Error, Progress, ProgressUpdate, Request, Result};

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
            Some(why) => {
                Err(serde_json::from_value(why).unwrap_or_else(|error| gone(error.into())))
            }
            None => Ok(Some((Connection { stream }, hello.store))),
        }
    }

    /// Has a request answered.
    ///
    /// # Errors
    /// Those of the request, and `io` when the holder is gone.
    pub fn ask<A: Ask + Into<Request>>(&mut self, ask: A) -> Result<A::Answer> {
        self.ask_with(ask, &[])
    }

    /// Has a request answered that takes descriptors.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn ask_with<A: Ask + Into<Request>>(
        &mut self,
        ask: A,
        fds: &[BorrowedFd<'_>],
    ) -> Result<A::Answer> {
        self.exchange(ask, fds, &mut |_| {})
    }

    /// Has a request answered that takes long, and tells `hooks` how far it is.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn ask_long<A: Ask + Into<Request>>(
        &mut self,
        ask: A,
        fds: &[BorrowedFd<'_>],
        hooks: &mut ProgressHooks<'_>,
    ) -> Result<A::Answer> {
        (hooks.begin)(self.canceller()?);
        self.exchange(ask, fds, hooks.step)
    }

    fn exchange<A: Ask + Into<Request>>(
        &mut self,
        ask: A,
        fds: &[BorrowedFd<'_>],
        progress: &mut dyn FnMut(ProgressUpdate),
    ) -> Result<A::Answer> {
        let message = ClientMessage::Execute(ask.into());
        wire::send(&self.stream, &message, fds).map_err(gone)?;
        loop {
            match wire::receive::<Reply<A::Answer>>(&self.stream).map_err(gone)? {
                Reply::Progress(step) => progress(step),
                Reply::Done(result) => return result,
            }
        }
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

/// The process that works on a request.
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
    /// Has the request stopped and undone; it then ends with `interrupted`.
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

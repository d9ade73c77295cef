//! Where commands connect to a holder.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::holder::{connection, limits};
use crate::protocol::identity::Identity;
use crate::protocol::socket::{self, Socket};
use crate::protocol::{Error, Result};

/// How long it waits for a command before the holder looks whether it is still needed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where commands come in.
pub struct Listener {
    listener: UnixListener,
    socket: Socket,
    /// Given up for the moment in which a command gets the error that there is no descriptor left
    /// for it.
    spare: Option<OwnedFd>,
}

fn spare() -> Option<OwnedFd> {
    std::fs::File::open("/dev/null").ok().map(OwnedFd::from)
}

fn prepare(listener: &UnixListener) -> Result<()> {
    let nonblocking = listener.set_nonblocking(true);
    nonblocking.map_err(|error| Error::io("preparing the socket", error))
}

impl Listener {
    /// Listens next to the store at `path`.
    ///
    /// # Errors
    /// When the socket cannot be made there.
    pub fn new(path: &Path) -> Result<Listener> {
        let (listener, socket) = socket::listen(path)?;
        prepare(&listener)?;
        Ok(Listener { listener, socket, spare: spare() })
    }

    /// Makes the socket anew if it was removed, by what cleans up old files for one: no command
    /// would find the mounts. Where the path is that of another store by now, nothing is made.
    ///
    /// # Errors
    /// When the socket cannot be made there.
    pub fn keep(&mut self, path: &Path, store: Option<Identity>) -> Result<()> {
        if !self.socket.is_missing() {
            return Ok(());
        }
        let here = std::fs::metadata(path).ok().map(|meta| Identity::of(&meta));
        if store.is_none() || here.is_some() && here != store {
            return Ok(());
        }
        let (listener, socket) = socket::listen_anew(path)?;
        prepare(&listener)?;
        (self.listener, self.socket) = (listener, socket);
        Ok(())
    }

    /// Removes the socket, unless another has taken its place: a command that connects now finds
    /// the end of the stream, and looks again.
    pub fn remove(&self) {
        // One that stays is that of a holder which died, to the next command.
        let _ = self.socket.remove();
    }

    /// The next command, if one comes within a moment.
    pub fn accept(&mut self) -> Option<UnixStream> {
        if !connection::readable(&self.listener, LOOK_EVERY) {
            return None;
        }
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).ok()?;
                Some(stream)
            }
            Err(error) => {
                match Errno::from_io_error(&error) {
                    Some(Errno::MFILE | Errno::NFILE) => self.turn_away(),
                    // The command has gone.
                    Some(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                    // It stays in the queue, and would be found there at once again.
                    _ => thread::sleep(LOOK_EVERY),
                }
                None
            }
        }
    }

    /// Takes a command from the queue to tell it that it cannot be served.
    fn turn_away(&mut self) {
        drop(self.spare.take());
        match self.listener.accept() {
            Ok((stream, _)) => connection::refuse(&stream, limits::no_descriptor()),
            // Another thread was faster to use the descriptor; the command waits.
            Err(_) => thread::sleep(LOOK_EVERY),
        }
        self.spare = spare();
    }
}

//! The way to a store that cannot be written: on a disk that the system made read-only because it
//! fails, in a file that is immutable or another user's. What only reads works on it, in this
//! process, with the journal in memory.

use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::access;

use super::{Client, LOOK_EVERY, Purpose};
use crate::client::{Access, locked};
use crate::holder::Context;
use crate::protocol::{Code, Error, Hint, Result};

/// How long it waits for another user's process that writes the store: a short command is over by
/// then, and a holder of mounts stays.
const PATIENCE: Duration = Duration::from_secs(2);

impl Client {
    /// As [`Client::reach`], for requests that only read, or end something: a store that cannot be
    /// written is opened for reading alone, and one whose file was removed is a warning.
    ///
    /// # Errors
    /// As [`Client::reach`].
    pub fn reach_to_read(&self) -> Result<Access> {
        self.reach_for(Purpose::Look).or_else(|error| self.open_to_read(error))
    }

    /// As [`Client::hold`], for requests that only read and take long; in this process where there
    /// can be no holder.
    ///
    /// # Errors
    /// As [`Client::hold`].
    pub fn hold_to_read(&self) -> Result<Access> {
        self.hold_for(Purpose::Look).map(Access::Remote).or_else(|error| self.open_to_read(error))
    }

    /// Opens the store for reading, after an error that opening it for writing ended with.
    fn open_to_read(&self, error: Error) -> Result<Access> {
        if !matches!(error.code, Code::NotPermitted | Code::NoSpace | Code::Io) {
            return Err(error);
        }
        let deadline = Instant::now() + self.patience.min(PATIENCE);
        loop {
            match Context::open_read_only(&self.store, &self.options) {
                Ok(context) => return Ok(Access::Local(Box::new(context))),
                // A holder that is there has said why it cannot serve.
                Err(busy) if busy.code == Code::StoreLocked && error.code == Code::Io => {
                    return Err(error);
                }
                Err(busy) if busy.code == Code::StoreLocked => match Instant::now() < deadline {
                    true => thread::sleep(LOOK_EVERY),
                    false => return Err(locked::explained(busy, &self.store)),
                },
                Err(_) => return Err(error),
            }
        }
    }

    /// The error, with what can still be done where the store can be read and not written.
    pub(super) fn with_what_works(&self, error: Error) -> Error {
        let can = |what| access(&self.store, what).is_ok();
        let refused = matches!(error.code, Code::NotPermitted | Code::Io);
        match refused && can(rustix::fs::Access::READ_OK) && !can(rustix::fs::Access::WRITE_OK) {
            true => error.hint(Hint::ReadOrCopyStore),
            false => error,
        }
    }
}

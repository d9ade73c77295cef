//! The queue of requests behind a FUSE device: taking one, answering it, waiting for the next.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::init::TRANSFER_BYTES_MAX;
use crate::protocol::{IN_HEADER_BYTES, WRITE_IN_BYTES};

/// How long a thread looks at an empty queue before it sleeps. A program that works on many small
/// files makes its next request within this time; each such request then costs about 10 µs instead
/// of a wake-up across processors.
const LOOK: Duration = Duration::from_micros(50);

/// The end of a device.
#[derive(Debug, PartialEq)]
pub(crate) struct Ended;

/// A device from which requests are read and to which answers are written.
#[derive(Debug)]
pub(crate) struct Queue {
    device: OwnedFd,
    /// Becomes readable when the threads are to stop.
    stop: OwnedFd,
}

/// Memory for one request, placed so that the data of a write starts at a page.
#[derive(Debug)]
pub(crate) struct Inbox {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Inbox {
    pub fn new() -> Inbox {
        const PAGE: usize = 4096;
        let before_data = IN_HEADER_BYTES + WRITE_IN_BYTES;
        let memory = vec![0; 3 * PAGE + TRANSFER_BYTES_MAX as usize];
        let to_page = memory.as_ptr().align_offset(PAGE);
        let start = to_page + PAGE - before_data;
        Inbox { memory, start, length: 0 }
    }

    /// The request that was taken last.
    pub fn message(&self) -> &[u8] {
        &self.memory[self.start..][..self.length]
    }
}

impl Queue {
    pub fn new(device: OwnedFd) -> std::io::Result<Queue> {
        fcntl_setfl(&device, fcntl_getfl(&device)? | OFlags::NONBLOCK)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Queue { device, stop })
    }

    /// Takes a request. Returns `false` if there is none.
    pub fn take(&self, inbox: &mut Inbox) -> Result<bool, Ended> {
        loop {
            match rustix::io::read(&self.device, &mut inbox.memory[inbox.start..]) {
                Ok(length) => {
                    inbox.length = length;
                    return Ok(true);
                }
                Err(Errno::AGAIN) => return Ok(false),
                // The program that asked was interrupted before the request was taken.
                Err(Errno::INTR | Errno::NOENT) => continue,
                Err(_) => return Err(Ended),
            }
        }
    }

    /// Takes a request that comes within a moment. Returns `false` if none does.
    pub fn look(&self, inbox: &mut Inbox) -> Result<bool, Ended> {
        let since = Instant::now();
        loop {
            if self.take(inbox)? {
                return Ok(true);
            }
            if since.elapsed() > LOOK {
                return Ok(false);
            }
            std::thread::yield_now();
        }
    }

    /// Sleeps until there may be a request.
    pub fn wait(&self) -> Result<(), Ended> {
        let mut events =
            [PollFd::new(&self.device, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
        match poll(&mut events, None) {
            Ok(_) if !events[1].revents().is_empty() => Err(Ended),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(_) => Err(Ended),
        }
    }

    /// Sends an answer or a notice. It is no error if the program was interrupted meanwhile or the
    /// kernel does not know the inode; the inner result is what else the kernel has against it.
    pub fn send(&self, message: &[u8]) -> Result<Result<(), Errno>, Ended> {
        loop {
            match rustix::io::write(&self.device, message) {
                Ok(_) | Err(Errno::NOENT) => return Ok(Ok(())),
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(Errno::NODEV) => return Err(Ended),
                Err(errno) => return Ok(Err(errno)),
            }
        }
    }

    /// Makes [`Queue::wait`] return [`Ended`] from now on.
    pub fn stop(&self) {
        // Adding one to a counter that is never read cannot overflow it.
        let _ = rustix::io::write(self.stop.as_fd(), &1u64.to_ne_bytes());
    }

    /// Returns `true` unless the kernel has ended the connection.
    pub fn is_connected(&self) -> bool {
        let mut events = [PollFd::new(&self.device, PollFlags::empty())];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut events, Some(&now)).is_ok() && !events[0].revents().contains(PollFlags::ERR)
    }
}

//! Flushes of one file by several threads at a time.
//!
//! The host reports a failed write-back from its page cache once, to the first flush. Of two
//! flushes side by side one could take the error that is about the other's data, and the other
//! would believe that all is well. So what lies in the page cache is flushed by one thread at a
//! time, and after a failure all flushes fail. Past the page cache a write's error is reported to
//! the caller that wrote, and flushes need not wait for each other.

use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

#[derive(Debug, Default)]
pub(super) struct Flushes {
    failed: Mutex<Option<Errno>>,
}

impl Flushes {
    /// Runs one flush; `alone` where the page cache holds what was written.
    pub fn run(&self, alone: bool, flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(errno) = *failed {
            return Err(errno.into());
        }
        if !alone {
            drop(failed);
            let flushed = flush();
            failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            return flushed.inspect_err(|error| *failed = Some(errno(error)));
        }
        flush().inspect_err(|error| *failed = Some(errno(error)))
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::device::{Device, Faults, MemoryDevice, SimulatedDevice, SyncFault};

    /// A disk that tells of its failure once.
    fn fails_once() -> SimulatedDevice {
        let faults = Faults { sync: Some((1, SyncFault::Once)), ..Faults::default() };
        SimulatedDevice::with_faults(&MemoryDevice::new(), faults)
    }

    #[test]
    fn a_flush_beside_one_that_fails_fails_too() {
        let (disk, flushes) = (fails_once(), Flushes::default());
        let (first_runs, begun) = channel();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                flushes.run(true, || {
                    first_runs.send(()).unwrap();
                    // The other one has time to ask the disk first, if it may.
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    disk.sync()
                })
            });
            begun.recv().unwrap();
            let second = flushes.run(true, || disk.sync());
            assert!(first.join().unwrap().is_err(), "nobody took its error");
            assert!(second.is_err(), "what it flushed may be lost with what the first did");
        });
    }

    #[test]
    fn after_a_failure_no_flush_is_believed() {
        for alone in [true, false] {
            let (disk, flushes) = (fails_once(), Flushes::default());
            assert!(flushes.run(alone, || disk.sync()).is_err());
            assert!(flushes.run(alone, || disk.sync()).is_err());
            assert!(disk.sync().is_ok(), "though the disk would say that all is well");
        }
    }
}

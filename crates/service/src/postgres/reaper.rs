//! Waits for a server that this process has started: one that has ended and was not waited for
//! keeps its number.

use std::process::Child;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::protocol::{Error, Result};

/// A thread that waits for a child once there is one.
pub(super) struct Reaper {
    hand_over: Sender<Child>,
}

impl Reaper {
    /// # Errors
    /// `Io` where no thread can be started.
    pub fn new() -> Result<Self> {
        let (hand_over, children) = channel::<Child>();
        let wait = move || {
            for mut child in children {
                // Only one that was waited for already fails.
                let _ = child.wait();
            }
        };
        let started = thread::Builder::new().name("reaper".into()).spawn(wait);
        started.map_err(|error| Error::io("starting a thread to wait for the server", error))?;
        Ok(Self { hand_over })
    }

    pub fn take(self, child: Child) {
        // The thread listens as long as this end is there.
        let _ = self.hand_over.send(child);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::postgres::process::start_ticks;

    #[test]
    fn a_child_that_ends_is_forgotten() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let killed = rustix::process::Pid::from_raw(pid as i32).unwrap();
        Reaper::new().unwrap().take(child);
        rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(start_ticks(pid), None);
    }
}

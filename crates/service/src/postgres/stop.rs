//! Ends a server: by its own means, fast and then at once, and at last by a kill with all its
//! processes. A kill loses nothing that was acknowledged: the next start recovers, as after a power
//! cut.

use std::time::Duration;

use rustix::process::Signal;

use super::process::Process;
use crate::protocol::{Code, Error, Result};

/// After a kill only a process that waits for a disk is left.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How long a server has to end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// As long as its last checkpoint usually takes.
    Orderly,
    /// A moment: what is in the branch will be thrown away, or cut off.
    Forced,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did as it was asked, or had ended already.
    ByItself,
    /// It did not react, and was killed.
    Killed,
}

impl Haste {
    /// What the server is asked, and how long it may take: first a fast shutdown, then an immediate
    /// one.
    fn steps(self) -> [(Signal, Duration); 2] {
        let (fast, immediate) = match self {
            Haste::Orderly => (30, 10),
            Haste::Forced => (5, 2),
        };
        [(Signal::INT, fast), (Signal::QUIT, immediate)]
            .map(|(signal, seconds)| (signal, Duration::from_secs(seconds)))
    }
}

/// Ends a server, and waits for it.
///
/// # Errors
/// `NotPermitted` if it is another user's, `Io` if not even a kill ends it.
pub(super) fn end(server: &Process, haste: Haste) -> Result<Ended> {
    for (signal, patience) in haste.steps() {
        server.send(signal)?;
        // One that was stopped (state `T`) reacts to nothing but this, and the server waits for its
        // processes.
        for process in server.descendants()?.iter().chain([server]) {
            process.send(Signal::CONT)?;
        }
        if server.ends_within(patience)? {
            return Ok(Ended::ByItself);
        }
    }
    // It starts no more of them once it is killed, so it goes first. What it starts until then ends
    // without it.
    let processes = server.descendants()?;
    server.send(Signal::KILL)?;
    for process in &processes {
        process.send(Signal::KILL)?;
    }
    for process in processes.iter().chain([server]) {
        if !process.ends_within(KILL_PATIENCE)? {
            let message = format!("server process {} does not end, although killed", process.pid);
            return Err(Error::new(Code::Io, message)
                .hint("it waits for a disk or a file system that does not answer"));
        }
    }
    Ok(Ended::Killed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;

    /// A shell that does as `script` says; what it starts is its child.
    fn shell(script: &str) -> (Child, Process) {
        let child = Command::new("sh").arg("-c").arg(script).process_group(0).spawn().unwrap();
        let process = Process::open(child.id()).unwrap().unwrap();
        // It has read its script once it has a child.
        while process.descendants().unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        (child, process)
    }

    #[test]
    fn a_server_that_does_not_react_is_killed_with_what_it_has_started() {
        let (mut child, server) = shell("trap '' INT QUIT; sh -c 'sleep 97; :'; :");
        let processes = server.descendants().unwrap();
        assert_eq!(end(&server, Haste::Forced).unwrap(), Ended::Killed);
        assert!(processes.iter().all(|process| process.ends_within(Duration::ZERO).unwrap()));
        child.wait().unwrap();
    }

    #[test]
    fn a_server_that_was_stopped_goes_on_and_ends_by_itself() {
        let (mut child, server) = shell("trap 'kill $!; exit' INT; sleep 96 & wait; wait");
        for process in server.descendants().unwrap().iter().chain([&server]) {
            process.send(Signal::STOP).unwrap();
        }
        let begun = std::time::Instant::now();
        assert_eq!(end(&server, Haste::Orderly).unwrap(), Ended::ByItself);
        assert!(begun.elapsed() < Duration::from_secs(20));
        child.wait().unwrap();
        assert_eq!(end(&server, Haste::Orderly).unwrap(), Ended::ByItself);
    }
}

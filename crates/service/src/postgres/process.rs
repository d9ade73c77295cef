//! Processes: telling whether one still is the one that was meant, and reaching it and no other
//! that gets its number.

use std::fs;
use std::io::{Error as IoError, ErrorKind};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::protocol::{Error, Result};

/// When a process began; `None` if it is gone, or a zombie that waits for its parent.
pub(super) fn start_ticks(pid: u32) -> Option<u64> {
    Some(Status::of(pid)?.start_ticks)
}

/// Returns `true` if the process is there and has not ended.
pub(crate) fn runs(pid: u32) -> bool {
    start_ticks(pid).is_some()
}

/// Waits, if the process has ended, until its parent has waited for it too. Until then the kernel
/// keeps its number, and a signal to it succeeds as if it still ran.
///
/// Returns at once if the process runs or is gone, and after `patience` if the parent does not
/// wait.
pub(super) fn wait_until_reaped(pid: u32, patience: Duration) {
    let begun = Instant::now();
    let directory = format!("/proc/{pid}");
    // The program is gone from the table before the process counts as ended.
    let is_ending = || {
        let program = fs::read_link(format!("{directory}/exe"));
        program.is_err_and(|error| error.kind() == ErrorKind::NotFound)
            && fs::exists(&directory).unwrap_or(false)
    };
    while is_ending() && begun.elapsed() < patience {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Returns `true` if the process runs PostgreSQL's server, as far as this user may know.
pub(super) fn runs_postgres(pid: u32) -> bool {
    let of_server = |name: &str| name.contains("postgres") || name.contains("postmaster");
    match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(program) => of_server(&program.file_name().unwrap_or_default().to_string_lossy()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| of_server(&name))
        }
        Err(_) => false,
    }
}

/// The user that a process runs as.
pub(super) fn owner(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // The real one, the effective one, and two more.
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What the system says of a process that has not ended.
struct Status {
    parent: u32,
    start_ticks: u64,
}

impl Status {
    fn of(pid: u32) -> Option<Status> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; the fields after it are numbered from 3.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
        let parent = fields.next()?.parse().ok()?;
        Some(Status { parent, start_ticks: fields.nth(17)?.parse().ok()? })
    }
}

/// A process by a descriptor, which goes on to mean that process when its number has gone to
/// another.
pub(super) struct Process {
    pub pid: u32,
    descriptor: OwnedFd,
}

impl Process {
    /// `None` if it has ended.
    ///
    /// # Errors
    /// `Io` where the system has no such descriptors, or none is left.
    pub fn open(pid: u32) -> Result<Option<Process>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(descriptor) => Ok(Some(Process { pid, descriptor })),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(failed(pid, error)),
        }
    }

    /// Sends a signal. One to a process that has ended reaches none.
    ///
    /// # Errors
    /// `NotPermitted` if it is another user's.
    pub fn send(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(failed(self.pid, error)),
        }
    }

    /// Waits for the end of the process; `false` if it has not come in time.
    ///
    /// # Errors
    /// `Io` when the system cannot wait.
    pub fn ends_within(&self, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.descriptor, PollFlags::IN)], Some(&timeout)) {
                Ok(0) if left.is_zero() => return Ok(false),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(failed(self.pid, error)),
            }
        }
    }

    /// The processes that it has started, and those that these have, as far as none has ended.
    ///
    /// # Errors
    /// `Io` when the table of processes cannot be read.
    pub fn descendants(&self) -> Result<Vec<Process>> {
        let mut family = vec![self.pid];
        let mut found = Vec::new();
        let failed = |error| Error::io("cannot read the table of processes", error);
        let numbers: Vec<u32> = fs::read_dir("/proc")
            .map_err(failed)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        let mut members = 0;
        while let Some(&parent) = family.get(members) {
            members += 1;
            let is_child = |pid: u32| Status::of(pid).is_some_and(|status| status.parent == parent);
            for &pid in numbers.iter().filter(|&&pid| is_child(pid)) {
                // Looked at once more: the number may have gone to another before it was opened.
                if let Some(process) = Process::open(pid)?
                    && is_child(pid)
                {
                    family.push(pid);
                    found.push(process);
                }
            }
        }
        Ok(found)
    }
}

fn failed(pid: u32, error: Errno) -> Error {
    Error::io(format!("cannot stop server process {pid}"), IoError::from(error))
}

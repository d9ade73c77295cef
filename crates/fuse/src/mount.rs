//! A mounted branch: its threads, from the first request to the last.

use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tine_fs::Fs;
use tine_sys::fuse_device::{self, Placement};

use crate::crew::Crew;
use crate::door::{Door, Report, Then};
use crate::flushes::Flushes;
use crate::queue::{Ended, Inbox, Queue};
use crate::refused::Refusals;
use crate::reply::Reply;
use crate::request::{Call, Request, Truncated};
use crate::{Error, Result, tuning};

/// Threads that serve a mount unless told otherwise: as many requests may wait for the disk at a time.
const THREADS: usize = 8;

/// How a branch is mounted.
#[derive(Clone)]
pub struct MountOptions {
    /// What `findmnt` and `df` show as the source.
    pub source: String,
    /// Refuse writes.
    pub read_only: bool,
    /// Let every user in, not only the one who mounts; the kernel checks permissions either way.
    pub allow_other: bool,
    /// Threads that serve requests, at least 2.
    pub threads: usize,
    /// Told of errors that programs see only as `EIO`, and of those that nobody sees.
    pub report: Report,
}

impl MountOptions {
    /// A writable mount for the user who mounts, or for everybody if that is root; errors go to
    /// standard error.
    pub fn new(source: impl Into<String>) -> MountOptions {
        let source = source.into();
        let name = source.clone();
        MountOptions {
            source,
            read_only: false,
            allow_other: rustix::process::geteuid().is_root(),
            threads: THREADS,
            report: Arc::new(move |error: &dyn Display| eprintln!("error: {name}: {error}")),
        }
    }
}

/// Mounts on `directory` and gives the device, whose requests [`Mount::start`] serves.
///
/// Until somebody serves it, whoever touches the directory waits. The device may be carried to
/// another process; when its last copy is closed, the mount answers `ENOTCONN`.
///
/// # Errors
/// When the device is absent or not permitted, the directory none, or mounting refused.
pub fn mount_at(directory: &Path, options: &MountOptions) -> Result<OwnedFd> {
    Ok(fuse_device::mount(&Placement {
        directory,
        source: &options.source,
        read_only: options.read_only,
        allow_other: options.allow_other,
    })?)
}

/// Threads that serve the mount of a branch.
///
/// The mount lives on when this is dropped; it ends when it is unmounted or stopped.
pub struct Mount {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    directory: Option<PathBuf>,
}

struct Shared {
    door: Door,
    queue: Queue,
    crew: Crew,
    flushes: Flushes,
    refusals: Refusals,
}

impl Mount {
    /// Serves the mount behind `device` until it is unmounted.
    ///
    /// `directory` is where it is mounted, if this process sees it there: it is then tuned (where
    /// permitted), and can be unmounted from here. `None` for a mount in another namespace.
    ///
    /// # Errors
    /// When the kernel speaks no version of FUSE that is known, or threads cannot be started.
    pub fn start(
        fs: Fs,
        device: OwnedFd,
        directory: Option<&Path>,
        options: &MountOptions,
    ) -> Result<Mount> {
        let queue = Queue::new(device).map_err(Error::Start)?;
        let shared = Arc::new(Shared {
            door: Door::new(fs, options.report.clone()),
            queue,
            crew: Crew::default(),
            flushes: Flushes::default(),
            refusals: Refusals::default(),
        });
        shared.shake_hands()?;
        if let Some(directory) = directory {
            tuning::lift_limits(directory);
        }
        let mut mount =
            Mount { shared, threads: Vec::new(), directory: directory.map(Path::to_owned) };
        let started = (0..options.threads.max(2))
            .try_for_each(|number| mount.spawn(&format!("fuse-{number}"), Shared::serve))
            .and_then(|()| mount.spawn("fuse-refused", Shared::drop_refused));
        if let Err(error) = started {
            mount.stop();
            return Err(Error::Start(error));
        }
        Ok(mount)
    }

    fn spawn(&mut self, name: &str, work: fn(&Shared)) -> std::io::Result<()> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(&shared))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where it is mounted, as far as this process sees it.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Whether the mount still answers.
    pub fn is_alive(&self) -> bool {
        self.shared.queue.is_connected() && !self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Takes the mount off its directory. What is open stays usable until it is closed; when the last
    /// such file goes, so do the threads.
    ///
    /// # Errors
    /// When it is mounted in another namespace, or unmounting is refused.
    pub fn unmount(&self) -> Result<()> {
        let directory = self.directory.as_deref().ok_or(Error::Elsewhere)?;
        Ok(fuse_device::unmount(directory)?)
    }

    /// Ends the mount at once, wherever it is: requests under way are finished, later ones are
    /// answered with `ENOTCONN` by the kernel, and written data that it still keeps is lost.
    ///
    /// The directory stays taken until it is unmounted.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Waits until the mount has ended and everything that the kernel held is let go.
    pub fn join(self) {
        for thread in self.threads {
            // Every call is guarded against panics; what remains would be a defect of this crate.
            let _ = thread.join();
        }
        self.shared.door.close();
    }
}

impl Shared {
    /// The first exchange, before any thread starts.
    fn shake_hands(&self) -> Result<()> {
        let mut inbox = Inbox::new();
        let mut reply = Reply::new();
        while self.door.agreed() == 0 {
            self.queue.wait().map_err(|Ended| Error::NotMounted)?;
            if !self.queue.take(&mut inbox).map_err(|Ended| Error::NotMounted)? {
                continue;
            }
            let Ok(request) = Request::decode(inbox.message()) else {
                return Err(Error::Protocol("its first message is cut short".to_owned()));
            };
            let Call::Init { major, minor, .. } = request.call else {
                return Err(Error::Protocol("its first message is not INIT".to_owned()));
            };
            self.door.serve(&request, &mut reply);
            let answer = reply.message();
            let refused = answer[4..8] != [0; 4];
            self.send(answer).map_err(|Ended| Error::NotMounted)?;
            if refused {
                return Err(Error::Protocol(format!("it speaks version {major}.{minor}")));
            }
        }
        Ok(())
    }

    fn serve(&self) {
        let mut inbox = Inbox::new();
        let mut reply = Reply::new();
        while self.crew.report_for_duty() {
            if let Err(Ended) = self.attend(&mut inbox, &mut reply) {
                self.stop();
                return;
            }
        }
    }

    /// Stays at the queue until somebody else does.
    fn attend(&self, inbox: &mut Inbox, reply: &mut Reply) -> std::result::Result<(), Ended> {
        let mut served_in_a_row = 0u32;
        loop {
            if !self.queue.take(inbox)? {
                served_in_a_row = 0;
                if !self.queue.look(inbox)? {
                    if self.crew.leave_to_others() {
                        return Ok(());
                    }
                    self.crew.sleep_at_queue(|| self.queue.wait())?;
                    continue;
                }
            }
            served_in_a_row += 1;
            if served_in_a_row.is_multiple_of(4) {
                self.crew.call_for_help();
            }
            let message = inbox.message();
            let request = match Request::decode(message) {
                Ok(request) => request,
                Err(Truncated { unique }) => {
                    self.refuse(unique, reply)?;
                    continue;
                }
            };
            let flush = matches!(request.call, Call::FSync);
            if flush && self.flushes.leave(message) {
                self.crew.back_at_queue();
                continue;
            }
            let long = request.may_take_long();
            if long {
                self.crew.step_away();
            }
            self.answer(&request, reply)?;
            if flush {
                self.answer_flushes(reply)?;
            }
            if long {
                return Ok(());
            }
            self.crew.back_at_queue();
        }
    }

    fn answer(&self, request: &Request<'_>, reply: &mut Reply) -> std::result::Result<(), Ended> {
        let then = self.door.serve(request, reply);
        if let Some(notice) = reply.notice() {
            self.send(&notice)?;
        }
        if then != Then::Silence {
            self.send(reply.message())?;
        }
        if let Some(refused) = reply.refused() {
            self.refusals.push(refused);
        }
        if then == Then::Stop { Err(Ended) } else { Ok(()) }
    }

    /// Answers the flushes that were left to this thread.
    fn answer_flushes(&self, reply: &mut Reply) -> std::result::Result<(), Ended> {
        while let Some(messages) = self.flushes.next() {
            for message in messages {
                match Request::decode(&message) {
                    Ok(request) => self.answer(&request, reply)?,
                    Err(Truncated { unique }) => self.refuse(unique, reply)?,
                }
            }
        }
        Ok(())
    }

    /// Answers a message that is cut short, as far as it says whose it is.
    fn refuse(&self, unique: Option<u64>, reply: &mut Reply) -> std::result::Result<(), Ended> {
        let Some(unique) = unique else { return Ok(()) };
        reply.start();
        reply.finish(unique, libc::EIO);
        self.send(reply.message())
    }

    /// Makes the kernel forget what was written back in vain, until the mount ends.
    fn drop_refused(&self) {
        while let Some(refused) = self.refusals.next() {
            if let Err(Ended) = self.send(&refused.notice()) {
                return;
            }
        }
    }

    fn send(&self, message: &[u8]) -> std::result::Result<(), Ended> {
        let sent = self.queue.send(message)?;
        sent.unwrap_or_else(|errno| {
            self.door.report(&format_args!("the kernel refused a message: {errno}"))
        });
        Ok(())
    }

    fn stop(&self) {
        self.crew.stop();
        self.queue.stop();
        self.refusals.stop();
    }
}

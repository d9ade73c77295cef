//! A mounted branch: its threads, from the first request to the last.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tine_fs::Fs;
use tine_sys::fuse_device::{self, Placement};
use tine_sys::ids::IdMap;

use crate::dispatch::{Dispatcher, Report};
use crate::init::{self, Negotiated};
use crate::queue::Queue;
use crate::reply::Reply;
use crate::server::Server;
use crate::tuning::Limits;
use crate::{Error, KernelCache, Result};

/// Threads that serve a mount by default: as many requests may wait for the disk at a
/// time.
const THREADS: usize = 8;

/// How a branch is mounted.
#[derive(Clone)]
pub struct MountOptions {
    /// What `findmnt` and `df` show as the source.
    pub source: String,
    /// What they show after `fuse.` as the type.
    pub subtype: &'static str,
    /// Refuse writes.
    pub read_only: bool,
    /// Let every user in, not only the one that mounts. The kernel checks permissions either way.
    pub allow_other: bool,
    /// Honour set-id bits and file capabilities; only root may ask for it.
    pub suid: bool,
    /// Honour device nodes; only root may ask for it.
    pub dev: bool,
    /// The numbers that the branch keeps for users and groups of the mount's user namespace.
    pub ids: IdMap,
    /// Threads that serve requests, at least 2.
    pub threads: usize,
    /// Told of errors that programs see only as `EIO`, and of those that no program sees.
    pub report: Report,
}

impl MountOptions {
    /// A writable mount that only the mounting user may enter, root or not. Errors go to standard
    /// error.
    pub fn new(source: impl Into<String>) -> MountOptions {
        let source = source.into();
        let name = source.clone();
        MountOptions {
            source,
            subtype: "tine",
            read_only: false,
            allow_other: false,
            suid: false,
            dev: false,
            ids: IdMap::default(),
            threads: THREADS,
            report: Arc::new(move |error: &dyn Display| {
                // Standard error may be a file on a full disk.
                let _ = writeln!(io::stderr(), "error: {name}: {error}");
            }),
        }
    }
}

/// The device of a mount, which may be carried to another process together with what was
/// negotiated.
#[derive(Debug)]
pub struct Device {
    /// The requests of the kernel come from here, and answers go back.
    pub descriptor: OwnedFd,
    /// What the kernel agreed to while it mounted; absent if it still waits for the answer to INIT.
    pub negotiated: Option<Negotiated>,
}

impl From<OwnedFd> for Device {
    /// The device of a mount that still waits for the answer to INIT.
    fn from(descriptor: OwnedFd) -> Device {
        Device { descriptor, negotiated: None }
    }
}

/// Mounts on `directory` and gives the device, whose requests [`Mount::start`] serves.
///
/// Until it is served, each access to the directory waits. The device may be carried to another
/// process; when its last copy is closed, the mount answers `ENOTCONN`.
///
/// # Errors
/// When the device is absent or not permitted, the directory none, or mounting refused; where the
/// kernel can tell so early (Linux 6.18), also when its FUSE cannot be served.
pub fn mount_at(directory: &Path, options: &MountOptions) -> Result<Device> {
    let placement = Placement {
        directory,
        source: &options.source,
        subtype: options.subtype,
        read_only: options.read_only,
        allow_other: options.allow_other,
        suid: options.suid,
        dev: options.dev,
    };
    let mut negotiated = None;
    let mut answer = |message: &[u8]| {
        let mut reply = Reply::new();
        negotiated = Some(init::answer(message, &mut reply));
        reply.message().to_vec()
    };
    let descriptor = fuse_device::mount(&placement, Some(&mut answer));
    match negotiated.transpose() {
        // Tells more than the error that mount(2) makes of it.
        Err(refused) => Err(refused),
        Ok(negotiated) => Ok(Device { descriptor: descriptor?, negotiated: negotiated.flatten() }),
    }
}

/// Threads that serve the mount of a branch.
///
/// The mount lives on when this is dropped; it ends when it is unmounted or stopped.
pub struct Mount {
    server: Arc<Server>,
    threads: Vec<JoinHandle<()>>,
    directory: Option<PathBuf>,
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
        device: Device,
        directory: Option<&Path>,
        options: &MountOptions,
    ) -> Result<Mount> {
        let queue = Queue::new(device.descriptor).map_err(Error::Start)?;
        let dispatcher = Dispatcher::new(fs, options.ids.clone(), options.report.clone());
        let server = Arc::new(Server::new(dispatcher, queue));
        server.negotiate(device.negotiated)?;
        server.prepare(directory.and_then(Limits::lifted));
        let mut mount =
            Mount { server, threads: Vec::new(), directory: directory.map(Path::to_owned) };
        let started = (0..options.threads.max(2))
            .try_for_each(|number| mount.spawn(&format!("fuse-{number}"), Server::work))
            .and_then(|()| mount.spawn("fuse-keeper", Server::keep_house));
        if let Err(error) = started {
            mount.stop();
            return Err(Error::Start(error));
        }
        Ok(mount)
    }

    fn spawn(&mut self, name: &str, work: fn(&Server)) -> std::io::Result<()> {
        let server = self.server.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(&server))?;
        self.threads.push(thread);
        Ok(())
    }

    /// The directory of the mount, if this process sees it.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Returns `true` if the mount still answers.
    pub fn is_alive(&self) -> bool {
        self.server.is_connected() && !self.threads.iter().all(JoinHandle::is_finished)
    }

    /// What the kernel keeps of its files.
    pub fn kernel_cache(&self) -> KernelCache {
        KernelCache(self.server.clone())
    }

    /// Takes the mount off its directory. Files that are open stay usable until they are closed;
    /// the threads end with the last one.
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
        self.server.stop();
    }

    /// Waits until the mount has ended and everything that the kernel held is released.
    pub fn join(self) {
        for thread in self.threads {
            // Every call is guarded against panics; what remains would be a defect of this crate.
            let _ = thread.join();
        }
        self.server.close();
    }
}

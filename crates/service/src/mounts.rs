//! The branches that this process serves over FUSE, each on one connection.
//!
//! A mount ends by itself when the kernel lets go of it; whoever looks next tidies up after it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tine_fs::Fs;
use tine_fuse::KernelCache;
use tine_sys::ids::IdMap;

use crate::request::Mount;
use crate::{Code, Error, Result, runtime};

/// How often a waiting request looks whether a mount has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The mounts of one holder; empty in a process that is none.
#[derive(Default)]
pub struct Mounts {
    served: Mutex<BTreeMap<String, Served>>,
    /// The branches that were mounted for one command which nobody asked about yet.
    begun: Mutex<BTreeSet<String>>,
}

struct Served {
    mount: Mount,
    connection: tine_fuse::Mount,
}

impl Mounts {
    /// Serves a branch on a mounted device.
    pub fn attach(
        &self,
        name: &str,
        fs: Fs,
        device: OwnedFd,
        mount: Mount,
        ids: IdMap,
    ) -> Result<()> {
        let mut served = self.alive();
        if let Some(other) = served.get(name) {
            return Err(busy(name, &other.mount));
        }
        let mut options = tine_fuse::MountOptions::new(name);
        options.read_only = mount.read_only;
        options.ids = ids;
        // Tuning is by number, not by path, so this touches no mount of ours.
        let directory = mount.private_to.is_none().then_some(mount.directory.as_path());
        let connection =
            tine_fuse::Mount::start(fs, device, directory, &options).map_err(refused)?;
        if mount.private_to.is_some() {
            self.begun().insert(name.into());
        }
        served.insert(name.into(), Served { mount, connection });
        Ok(())
    }

    /// Whether a branch was mounted for one command since this was last asked.
    pub fn forget_beginning(&self, name: &str) -> bool {
        self.begun().remove(name)
    }

    fn begun(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a branch is mounted.
    pub fn find(&self, name: &str) -> Option<Mount> {
        self.alive().get(name).map(|served| served.mount.clone())
    }

    /// All of them, by branch.
    pub fn list(&self) -> Vec<(String, Mount)> {
        self.alive().iter().map(|(name, served)| (name.clone(), served.mount.clone())).collect()
    }

    /// What the kernel keeps of the files of a mounted branch.
    pub fn kernel_cache(&self, name: &str) -> Option<KernelCache> {
        self.alive().get(name).map(|served| served.connection.kernel_cache())
    }

    /// An error if the branch is mounted.
    pub fn must_be_free(&self, name: &str) -> Result<()> {
        match self.find(name) {
            Some(mount) => Err(busy(name, &mount)),
            None => Ok(()),
        }
    }

    /// Cuts the connection of a branch, so that nobody can use the mount any more.
    pub fn cut(&self, name: &str) {
        let served = self.alive().remove(name);
        if let Some(served) = served {
            served.connection.stop();
            served.connection.join();
        }
    }

    /// Waits until a branch is no longer mounted.
    pub fn await_detached(&self, name: &str, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while let Some(mount) = self.find(name) {
            if Instant::now() >= deadline {
                return Err(busy(name, &mount));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The table without the mounts that have ended.
    fn alive(&self) -> MutexGuard<'_, BTreeMap<String, Served>> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let ended: Vec<String> = served
            .iter()
            .filter(|(_, served)| !served.connection.is_alive())
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            if let Some(ended) = served.remove(&name) {
                ended.connection.join();
            }
        }
        served
    }
}

fn busy(name: &str, mount: &Mount) -> Error {
    let directory = mount.directory.display();
    match mount.private_to {
        None if runtime::is_for_a_server(&mount.directory) => runtime::serving(name),
        None => {
            let what = format!("branch {name} is mounted at {directory}");
            Error::new(Code::BranchBusy, what)
                .hint(format!("unmount it first: `tine unmount {name}`"))
        }
        Some(pid) => {
            let what = format!("branch {name} is in use by a command (process {pid})");
            Error::new(Code::BranchBusy, what).hint("wait until that command has ended")
        }
    }
}

fn refused(error: tine_fuse::Error) -> Error {
    let hint = error.advice().map(str::to_owned);
    let error = Error::new(Code::Unsupported, error.to_string());
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

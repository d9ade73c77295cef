//! The branches that this process serves over FUSE, each on one connection, by their names in the
//! store.
//!
//! A mount ends by itself when the kernel lets go of it. The next look at the table removes it from
//! there.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tine_fs::Fs;
use tine_fuse::{Device, KernelCache};
use tine_sys::ids::IdMap;

use crate::holder::history::Held;
use crate::holder::limits;
use crate::machine::busy;
use crate::protocol::mounts::{Mount, MountedBranch};
use crate::protocol::{Code, Error, Result, Wanted};

/// Descriptors that are kept free for commands when a branch is mounted: one that unmounts needs
/// one, too.
const KEPT_FREE: usize = 8;

/// How often a waiting request looks whether a mount has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The mounts of one holder; empty in a process that is none.
#[derive(Default)]
pub struct Mounts {
    /// Those of them that would give way to a change that finds no room.
    pub(super) held: Held,
    served: Mutex<BTreeMap<String, Served>>,
    /// The branches that were mounted for one command, and the process that is going to ask whether
    /// they were.
    begun: Mutex<BTreeSet<(String, u32)>>,
}

struct Served {
    mount: Mount,
    connection: tine_fuse::Mount,
}

impl Mounts {
    /// Serves a branch of the store, which a person calls `shown`, on a mounted device.
    pub fn attach(
        &self,
        name: &str,
        shown: &str,
        fs: Fs,
        device: Device,
        mount: Mount,
        ids: IdMap,
    ) -> Result<()> {
        let mut served = self.alive();
        if let Some(other) = served.get(name) {
            return Err(busy::busy(shown, &other.mount, Wanted::Entered));
        }
        must_have_descriptors(&device.descriptor)?;
        let mut options = tine_fuse::MountOptions::new(name);
        options.read_only = mount.read_only;
        options.ids = ids;
        // Tuning is by number, not by path, so this touches no mount of ours.
        let directory = mount.private_to.is_none().then_some(mount.directory.as_path());
        let connection =
            tine_fuse::Mount::start(fs, device, directory, &options).map_err(refused)?;
        if let Some(run) = mount.run {
            self.begun().insert((name.into(), run));
        }
        self.held.add(name);
        served.insert(name.into(), Served { mount, connection });
        Ok(())
    }

    /// Returns `true` if a branch was mounted for the command that the process `run` waits for,
    /// since it last asked.
    pub fn forget_beginning(&self, name: &str, run: u32) -> bool {
        self.begun().remove(&(name.into(), run))
    }

    fn begun(&self) -> MutexGuard<'_, BTreeSet<(String, u32)>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a branch is mounted.
    pub fn find(&self, name: &str) -> Option<Mount> {
        self.alive().get(name).map(|served| served.mount.clone())
    }

    /// All of them, by branch.
    pub fn list(&self) -> Vec<MountedBranch> {
        let row = |(name, served): (&String, &Served)| MountedBranch {
            branch: name.clone(),
            mount: served.mount.clone(),
        };
        self.alive().iter().map(row).collect()
    }

    /// What the kernel keeps of the files of a mounted branch.
    pub fn kernel_cache(&self, name: &str) -> Option<KernelCache> {
        self.alive().get(name).map(|served| served.connection.kernel_cache())
    }

    /// An error if the branch, which a person calls `shown`, is mounted.
    pub fn must_be_free(&self, name: &str, shown: &str, wanted: Wanted) -> Result<()> {
        match self.find(name) {
            Some(mount) => Err(busy::busy(shown, &mount, wanted)),
            None => Ok(()),
        }
    }

    /// Ends the connection of a branch: no program can use the mount any more.
    pub fn abort(&self, name: &str) {
        let served = self.alive().remove(name);
        if let Some(served) = served {
            served.connection.stop();
            served.connection.join();
            self.held.remove(name);
        }
    }

    /// Waits until a branch is no longer mounted. Returns `false` if it still is.
    pub fn await_detached(&self, name: &str, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while self.find(name).is_some() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
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
                self.held.remove(&name);
            }
        }
        served
    }
}

/// An error unless this process may open some more files than those of a mount.
fn must_have_descriptors(device: &OwnedFd) -> Result<()> {
    let copies: std::io::Result<Vec<OwnedFd>> =
        (0..KEPT_FREE).map(|_| device.try_clone()).collect();
    copies.map(drop).map_err(|_| limits::no_descriptor())
}

fn refused(error: tine_fuse::Error) -> Error {
    let hint = error.advice().map(str::to_owned);
    let error = Error::new(Code::Unsupported, error.to_string());
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

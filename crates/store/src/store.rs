//! The store: the handle that everything begins with.

use crate::branch::{Branch, BranchInfo, ForkOptions, ResetTarget};
use crate::check::{self, CheckReport};
#[cfg(any(test, feature = "testing"))]
use crate::device::LossyDevice;
use crate::device::{Device, FileDevice, Overlay};
use crate::error::{Error, Result};
use crate::held::HeldBytes;
use crate::open_store::Shared;
#[cfg(any(test, feature = "testing"))]
use crate::options::Lossy;
use crate::options::Options;
use crate::recover;
use crate::space::TrimPolicy;
use crate::usage::{StoreSpace, StoreUsage};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An open store; cheap to clone, shared between threads. It closes when the last handle of it or
/// of its branches and snapshots is dropped.
///
/// It belongs to the process that opened it. In a child of `fork(2)` each call of it, and of what
/// was made by it, is [`Error::NotInherited`]; the child has no copy of the file and does not keep
/// it locked. The child may open stores of its own. Where another thread may have been starting or
/// ending as it was forked, only with [`Options::background`] off: a lock of the standard library
/// may be taken then that no thread of the child gives back, and it waits for ever when it starts
/// one.
///
/// ```
/// # fn main() -> tine_store::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("s.tine");
/// use tine_store::{Options, Store};
/// let store = Store::create(&path, &Options::default())?;
/// let main = store.create_branch("main")?;
/// let mut txn = main.write()?;
/// txn.put(b"colour", b"green")?;
/// txn.commit()?;
///
/// let trial = store.fork("main", "trial")?; // O(1), whatever the branch holds
/// let mut txn = trial.write()?;
/// txn.put(b"colour", b"red")?;
/// txn.commit()?;
///
/// assert_eq!(main.read()?.get(b"colour")?, Some(b"green".to_vec()));
/// assert_eq!(trial.read()?.get(b"colour")?, Some(b"red".to_vec()));
/// store.sync()?; // now it survives a power cut
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Makes an empty store; its file is readable by its owner alone.
    ///
    /// # Errors
    /// [`Error::StoreExists`]; [`Error::NoSpace`]; I/O errors. A file begun is removed again.
    pub fn create(path: &Path, options: &Options) -> Result<Store> {
        let file = FileDevice::create(path, options.direct).map_err(|e| open_error(path, e))?;
        let created = behind(file, options).and_then(|device| Store::create_on(device, options));
        if created.is_err() {
            // The error that matters is the one above.
            let _ = std::fs::remove_file(path);
        }
        created
    }

    /// Opens a store, and recovers it if it was not closed.
    ///
    /// # Errors
    /// [`Error::StoreNotFound`], [`Error::Locked`], [`Error::NotAStore`], [`Error::Version`],
    /// [`Error::Damaged`]; I/O errors.
    pub fn open(path: &Path, options: &Options) -> Result<Store> {
        let file = FileDevice::open(path, options.direct).map_err(|e| open_error(path, e))?;
        Store::open_on(behind(file, options)?, options).map_err(|error| named(error, path))
    }

    /// Opens a store without writing its file: for one on a medium that cannot be written, or of
    /// another user. What its journal holds is brought in in memory; what is changed here stays
    /// there as well, and goes with the last handle. Several may have one file open so, and none
    /// for writing meanwhile.
    ///
    /// # Errors
    /// As [`Store::open`]; [`Error::Locked`] while a process has it open for writing.
    pub fn open_read_only(path: &Path, options: &Options) -> Result<Store> {
        let file =
            FileDevice::open_read_only(path, options.direct).map_err(|e| open_error(path, e))?;
        let over =
            Overlay::over(Arc::new(file)).map_err(|e| Error::io("measuring the store", e))?;
        let options = Options { background: false, ..options.clone() };
        Store::open_on(Arc::new(over), &options).map_err(|error| named(error, path))
    }

    /// Makes an empty store on a device.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; I/O errors.
    pub fn create_on(device: Arc<dyn Device>, options: &Options) -> Result<Store> {
        Ok(Store { shared: Shared::start(recover::create(device, options)?)? })
    }

    /// Opens the store on a device.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(device: Arc<dyn Device>, options: &Options) -> Result<Store> {
        Ok(Store { shared: Shared::start(recover::open(device, options)?)? })
    }

    fn branch_of(&self, inner: Arc<crate::branch::BranchInner>) -> Branch {
        Branch { shared: Arc::clone(&self.shared), inner }
    }

    /// Makes an empty branch.
    ///
    /// # Errors
    /// [`Error::NameInvalid`], [`Error::BranchExists`], [`Error::NoSpace`].
    pub fn create_branch(&self, name: &str) -> Result<Branch> {
        Ok(self.branch_of(self.shared.engine()?.create_branch(name)?))
    }

    /// Forks a branch or snapshot, in O(1). Durable after [`Store::sync`] or [`Branch::sync`].
    ///
    /// # Errors
    /// [`Error::BranchNotFound`], [`Error::BranchExists`], [`Error::NameInvalid`],
    /// [`Error::NoSpace`].
    pub fn fork(&self, from: &str, new: &str) -> Result<Branch> {
        self.fork_with(from, new, &ForkOptions::default())
    }

    /// Forks with options.
    ///
    /// # Errors
    /// As [`Store::fork`].
    pub fn fork_with(&self, from: &str, new: &str, options: &ForkOptions) -> Result<Branch> {
        Ok(self.branch_of(self.shared.engine()?.fork(from, new, options)?))
    }

    /// Forks into a branch that can't be written.
    ///
    /// # Errors
    /// As [`Store::fork`].
    pub fn snapshot(&self, from: &str, new: &str) -> Result<Branch> {
        self.fork_with(from, new, &ForkOptions { sealed: true, ..ForkOptions::default() })
    }

    /// Deletes a branch, in O(1) and whatever was forked from it; its space comes back in the
    /// background.
    ///
    /// # Errors
    /// [`Error::BranchNotFound`].
    pub fn delete(&self, name: &str) -> Result<()> {
        self.shared.engine()?.delete(name)
    }

    /// Gives a branch another name.
    ///
    /// # Errors
    /// [`Error::BranchNotFound`], [`Error::BranchExists`], [`Error::NameInvalid`].
    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        self.shared.engine()?.rename(old, new)
    }

    /// Makes a branch equal to `to`, or to its own fork point, in O(1).
    ///
    /// # Errors
    /// [`Error::BranchNotFound`], [`Error::Sealed`], [`Error::NoForkPoint`].
    pub fn reset(&self, name: &str, to: Option<&str>) -> Result<()> {
        let target = to.map_or(ResetTarget::ForkPoint, ResetTarget::StateOf);
        self.shared.engine()?.reset(name, target)
    }

    /// Makes a branch what `to` is, in O(1): its content, and its fork point. So it has changed
    /// what `to` has, where after [`Store::reset`] it has changed nothing.
    ///
    /// # Errors
    /// [`Error::BranchNotFound`], [`Error::Sealed`].
    pub fn restore(&self, name: &str, to: &str) -> Result<()> {
        self.shared.engine()?.reset(name, ResetTarget::CopyOf(to))
    }

    /// The branch with the name.
    ///
    /// # Errors
    /// [`Error::BranchNotFound`].
    pub fn branch(&self, name: &str) -> Result<Branch> {
        let inner = crate::sync::lock(&self.shared.engine()?.catalog).named(name)?;
        Ok(self.branch_of(inner))
    }

    /// All branches and snapshots, by name.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn branches(&self) -> Result<Vec<BranchInfo>> {
        self.shared.engine()?.branch_infos()
    }

    /// What the store takes on the host, and for what.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn usage(&self) -> Result<StoreUsage> {
        self.shared.engine()?.store_usage()
    }

    /// How much room for data there is.
    ///
    /// # Errors
    /// I/O errors.
    pub fn space(&self) -> Result<StoreSpace> {
        self.shared.engine()?.store_space()
    }

    /// Bytes of data that find room, perhaps after a checkpoint. As
    /// [`StoreSpace::available_bytes`], but counts also what readers of this moment hold.
    ///
    /// # Errors
    /// I/O errors.
    pub fn room_bytes(&self) -> Result<u64> {
        self.shared.engine()?.room_bytes()
    }

    /// Returns `true` if this many bytes of data find room.
    ///
    /// # Errors
    /// I/O errors.
    pub fn has_room_for(&self, bytes: u64) -> Result<bool> {
        self.shared.engine()?.finds_room_for(bytes)
    }

    /// Returns `true` if a failed write or flush has ended all writing until the store is opened
    /// anew. It can still be read, but for a child of `fork(2)`, which cannot write either.
    pub fn is_poisoned(&self) -> bool {
        self.shared.engine().map_or(true, |engine| engine.health.poisoned())
    }

    /// Returns when everything committed so far, in all branches, is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`] and I/O errors.
    pub fn sync(&self) -> Result<()> {
        let engine = self.shared.engine()?;
        engine.sync_to(engine.journal.next())
    }

    /// Writes a checkpoint, as happens by itself every few seconds.
    ///
    /// # Errors
    /// [`Error::Poisoned`] and I/O errors.
    pub fn checkpoint(&self) -> Result<()> {
        self.shared.engine()?.checkpoint()
    }

    /// Frees all that deleted branches held, and gives it back to the host.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn reclaim_all(&self) -> Result<()> {
        let engine = self.shared.engine()?;
        while engine.reclaim_step()? {
            if engine.needs_checkpoint() {
                engine.checkpoint()?;
            }
        }
        engine.checkpoint()?;
        engine.trim_space(TrimPolicy::Idle)
    }

    /// Takes apart up to `steps` nodes of deleted branches. Returns `true` if there are more. A
    /// checkpoint makes their space free.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn reclaim_some(&self, steps: usize) -> Result<bool> {
        let engine = self.shared.engine()?;
        for _ in 0..steps {
            if !engine.reclaim_step()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns `true` if something of what deleted branches held waits to be taken apart. What was
    /// found damaged does not: only the next opening tries it again.
    pub fn has_more_to_reclaim(&self) -> bool {
        self.shared.engine().is_ok_and(|engine| !engine.reclaim.is_empty())
    }

    /// Recomputes everything from scratch and compares it with what the store says.
    ///
    /// # Errors
    /// I/O errors; what is wrong with the store itself is in the report.
    pub fn check(&self) -> Result<CheckReport> {
        check::check(self.shared.engine()?)
    }

    /// Bytes that deleting all of these branches would free, with the fork points that they alone
    /// keep. It ends early when `go_on` says so, which it is asked before each node. Costs a walk
    /// of what they hold alone.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn held_bytes(&self, names: &[&str], go_on: &mut dyn FnMut() -> bool) -> Result<HeldBytes> {
        self.shared.engine()?.held_bytes(names, go_on)
    }

    /// Has `give_way` called when a change finds no room and nothing more comes free by itself:
    /// before it fails with [`Error::NoSpace`]. It deletes what can be done without, and returns
    /// `true` if there was something; then the change tries again. It is given how often it was
    /// asked for the same change, from 0 on.
    ///
    /// It runs in the thread of the change, which may hold the writer of a branch: it must not
    /// begin a change of a branch that others write, and not wait for one. Deleting is no such
    /// change. Only the first of these calls counts for a store.
    pub fn on_shortage(&self, give_way: impl Fn(&Store, u32) -> bool + Send + Sync + 'static) {
        let Ok(engine) = self.shared.engine() else { return };
        // A handle in here would keep the store open for ever.
        let shared = Arc::downgrade(&self.shared);
        let give_way = move |asked: u32| {
            shared.upgrade().is_some_and(|shared| give_way(&Store { shared }, asked))
        };
        engine.shortage.set(Box::new(give_way));
    }

    /// Makes everything durable and closes the store, if this is the last handle; else the last one
    /// closes it.
    ///
    /// # Errors
    /// [`Error::Poisoned`] and I/O errors.
    pub fn close(self) -> Result<()> {
        self.shared.engine()?;
        match Arc::into_inner(self.shared) {
            Some(shared) => shared.shut(),
            None => Ok(()),
        }
    }
}

#[cfg(not(any(test, feature = "testing")))]
fn behind(file: FileDevice, _: &Options) -> Result<Arc<dyn Device>> {
    Ok(Arc::new(file))
}

/// The device that the options ask for, over the file.
#[cfg(any(test, feature = "testing"))]
fn behind(file: FileDevice, options: &Options) -> Result<Arc<dyn Device>> {
    let Some(how) = options.lossy else { return Ok(Arc::new(file)) };
    let lossy = LossyDevice::over(Arc::new(file), how == Lossy::IgnoresFlushes)
        .map_err(|e| Error::io("measuring the store", e))?;
    Ok(Arc::new(lossy))
}

/// An error of what is on a device, with the file that it is about.
fn named(error: Error, path: &Path) -> Error {
    match error {
        Error::NotAStore { why, .. } => Error::NotAStore { what: path.display().to_string(), why },
        other => other,
    }
}

pub(crate) fn open_error(path: &Path, error: io::Error) -> Error {
    let at = path.to_path_buf();
    match error.kind() {
        io::ErrorKind::NotFound => Error::StoreNotFound { path: at },
        io::ErrorKind::AlreadyExists => Error::StoreExists { path: at },
        io::ErrorKind::WouldBlock => Error::Locked { path: at, here: false },
        // The host's own "busy" has a number.
        io::ErrorKind::ResourceBusy if error.raw_os_error().is_none() => {
            Error::Locked { path: at, here: true }
        }
        io::ErrorKind::InvalidInput => {
            Error::NotAStore { what: path.display().to_string(), why: error.to_string() }
        }
        _ => Error::io(format!("opening the store {}", path.display()), error),
    }
}

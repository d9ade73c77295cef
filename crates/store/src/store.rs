//! The store: its file, its lock and its branches.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::branch::{Block, Cell, Entry, Tree, lock};
use crate::txn::entry_bytes;
use crate::{BLOCK_BYTES, Branch, Error, Result, dump};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the node cache.
    pub cache_bytes: usize,
    /// Whether to go round the page cache of the host.
    pub direct: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { cache_bytes: 128 << 20, direct: true }
    }
}

/// What is known of a branch without opening it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct BranchInfo {
    pub id: u64,
    pub name: String,
    pub parent: Option<String>,
    pub sealed: bool,
    pub created: SystemTime,
    pub expires: Option<SystemTime>,
    pub referenced_bytes: u64,
}

/// Where the bytes of a store are.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct StoreUsage {
    pub file_bytes: u64,
    pub data_bytes: u64,
    pub metadata_bytes: u64,
    pub free_bytes: u64,
    pub reclaim_pending_bytes: u64,
    pub branches: u64,
}

/// What a branch holds, alone and with others.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct BranchUsage {
    pub referenced_bytes: u64,
    pub exclusive_bytes: u64,
    pub pinned_by_base_bytes: u64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Severity {
    Warning,
    Error,
    Fatal,
}

/// One thing that a check found.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Finding {
    pub severity: Severity,
    pub what: String,
    pub place: String,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct CheckReport {
    pub findings: Vec<Finding>,
    pub blocks_checked: u64,
}

pub(crate) struct Inner {
    path: PathBuf,
    file: File,
    pub branches: Mutex<BTreeMap<String, Arc<Cell>>>,
    pub next_id: AtomicU64,
    dirty: AtomicBool,
    writing: Mutex<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            eprintln!("error: {error}");
        }
    }
}

impl Inner {
    fn flush(&self) -> Result<()> {
        let _guard = lock(&self.writing);
        if self.dirty.swap(false, Ordering::AcqRel) {
            dump::save(&self.file, self).map_err(|source| Error::Io {
                what: format!("writing {}", self.path.display()),
                source,
            })?;
        }
        Ok(())
    }
}

/// An open store; cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    fn with_file(path: &Path, file: File, fresh: bool) -> Result<Store> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: path.into() }),
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io { what: "locking".into(), source });
            }
        }
        let (next_id, cells) = if fresh { (1, Vec::new()) } else { dump::load(&file, path)? };
        let named = |cell: Cell| {
            let name = lock(&cell.name).clone();
            (name, Arc::new(cell))
        };
        let branches = cells.into_iter().map(named).collect();
        Ok(Store(Arc::new(Inner {
            path: path.into(),
            file,
            branches: Mutex::new(branches),
            next_id: next_id.into(),
            dirty: fresh.into(),
            writing: Mutex::new(()),
        })))
    }

    /// Makes a store; refuses a file that exists.
    pub fn create(path: &Path, _options: &Options) -> Result<Store> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => Error::StoreExists { path: path.into() },
            _ => Error::Io { what: format!("creating {}", path.display()), source },
        })?;
        let store = Store::with_file(path, file, true)?;
        store.sync()?;
        Ok(store)
    }

    /// Opens a store and keeps everybody else out.
    pub fn open(path: &Path, _options: &Options) -> Result<Store> {
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(|source| match source
                .kind()
            {
                std::io::ErrorKind::NotFound => Error::StoreNotFound { path: path.into() },
                _ => Error::Io { what: format!("opening {}", path.display()), source },
            })?;
        Store::with_file(path, file, false)
    }

    pub(crate) fn mark_dirty(&self) {
        self.0.dirty.store(true, Ordering::Release);
    }

    fn add(&self, name: &str, parent: Option<&Cell>, sealed: bool) -> Result<Branch> {
        check_name(name)?;
        let mut branches = lock(&self.0.branches);
        if branches.contains_key(name) {
            return Err(Error::BranchExists { name: name.into() });
        }
        let base = parent.map(|cell| lock(&cell.tree).clone());
        let cell = Arc::new(Cell {
            id: self.0.next_id.fetch_add(1, Ordering::Relaxed),
            name: Mutex::new(name.into()),
            parent: parent.map(|cell| cell.id),
            sealed,
            created: SystemTime::now(),
            tree: Mutex::new(base.clone().unwrap_or_default()),
            base,
            writer: Mutex::new(()),
            deleted: AtomicBool::new(false),
        });
        branches.insert(name.into(), cell.clone());
        self.mark_dirty();
        Ok(Branch { store: self.clone(), cell })
    }

    /// Makes an empty branch.
    pub fn create_branch(&self, name: &str) -> Result<Branch> {
        self.add(name, None, false)
    }

    /// Makes a writable branch of what another holds now.
    pub fn fork(&self, from: &str, new: &str) -> Result<Branch> {
        self.add(new, Some(&*self.branch(from)?.cell), false)
    }

    /// Makes a sealed branch of what another holds now.
    pub fn snapshot(&self, from: &str, new: &str) -> Result<Branch> {
        self.add(new, Some(&*self.branch(from)?.cell), true)
    }

    /// Deletes a branch.
    pub fn delete(&self, name: &str) -> Result<()> {
        let cell = lock(&self.0.branches).remove(name);
        let cell = cell.ok_or_else(|| Error::BranchNotFound { name: name.into() })?;
        cell.deleted.store(true, Ordering::Release);
        self.mark_dirty();
        Ok(())
    }

    /// Renames a branch.
    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        check_name(new)?;
        let mut branches = lock(&self.0.branches);
        if branches.contains_key(new) {
            return Err(Error::BranchExists { name: new.into() });
        }
        let cell =
            branches.remove(old).ok_or_else(|| Error::BranchNotFound { name: old.into() })?;
        *lock(&cell.name) = new.into();
        branches.insert(new.into(), cell);
        self.mark_dirty();
        Ok(())
    }

    /// Puts a branch back to its fork point, or to what another branch holds.
    pub fn reset(&self, name: &str, to: Option<&str>) -> Result<()> {
        let branch = self.branch(name)?;
        let tree = match to {
            Some(other) => self.branch(other)?.read()?.tree,
            None => branch.cell.base.clone().unwrap_or_default(),
        };
        let _writer = lock(&branch.cell.writer);
        *lock(&branch.cell.tree) = tree;
        self.mark_dirty();
        Ok(())
    }

    /// Opens a branch by name.
    pub fn branch(&self, name: &str) -> Result<Branch> {
        let cell = lock(&self.0.branches).get(name).cloned();
        let cell = cell.ok_or_else(|| Error::BranchNotFound { name: name.into() })?;
        Ok(Branch { store: self.clone(), cell })
    }

    /// Every branch, sorted by name.
    pub fn branches(&self) -> Result<Vec<BranchInfo>> {
        let branches = lock(&self.0.branches).clone();
        let name_of =
            |id| branches.iter().find(|(_, cell)| cell.id == id).map(|(name, _)| name.clone());
        Ok(branches
            .iter()
            .map(|(name, cell)| BranchInfo {
                id: cell.id,
                name: name.clone(),
                parent: cell.parent.and_then(name_of),
                sealed: cell.sealed,
                created: cell.created,
                expires: None,
                referenced_bytes: lock(&cell.tree)
                    .iter()
                    .map(|(key, entry)| entry_bytes(key, entry))
                    .sum(),
            })
            .collect())
    }

    pub(crate) fn branch_usage(&self, cell: &Cell) -> crate::BranchUsage {
        let blocks = |tree: &Tree| {
            tree.values()
                .filter_map(|entry| match entry {
                    Entry::Block(block) => Some(Block::as_ptr(block)),
                    Entry::Bytes(_) => None,
                })
                .collect::<HashSet<_>>()
        };
        let tree = lock(&cell.tree).clone();
        let mut mine = blocks(&tree);
        for other in lock(&self.0.branches).values().filter(|other| other.id != cell.id) {
            let theirs = blocks(&lock(&other.tree).clone());
            mine.retain(|block| !theirs.contains(block));
        }
        crate::BranchUsage {
            referenced_bytes: tree.iter().map(|(key, entry)| entry_bytes(key, entry)).sum(),
            exclusive_bytes: (mine.len() * BLOCK_BYTES) as u64,
            pinned_by_base_bytes: 0,
        }
    }

    /// Where the bytes of the store are.
    pub fn usage(&self) -> Result<StoreUsage> {
        let file_bytes = self.0.file.metadata().map_or(0, |meta| meta.len());
        let branches = lock(&self.0.branches).len() as u64;
        Ok(StoreUsage { file_bytes, data_bytes: file_bytes, branches, ..StoreUsage::default() })
    }

    /// Makes every commit so far durable.
    pub fn sync(&self) -> Result<()> {
        self.0.flush()
    }

    /// Writes a checkpoint.
    pub fn checkpoint(&self) -> Result<()> {
        self.0.flush()
    }

    /// Checks the whole store.
    pub fn check(&self) -> Result<CheckReport> {
        Ok(CheckReport::default())
    }

    /// Closes the store cleanly.
    pub fn close(self) -> Result<()> {
        self.sync()
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let why = if name.is_empty() || name.len() > 128 {
        "it has 1 to 128 characters"
    } else if !name.chars().all(allowed) {
        "it is made of letters, digits, '.', '_', '-' and '/'"
    } else if name.starts_with(['-', '.']) {
        "it does not start with '-' or '.'"
    } else {
        return Ok(());
    };
    Err(Error::NameInvalid { name: name.into(), why: why.into() })
}

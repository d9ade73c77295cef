//! What is kept: its records and its content, for one request at a time.

use std::sync::MutexGuard;
use std::time::Duration;

use tine_store::{Branch, Store};

use super::record::Item;
use super::records::{self, Change, Records};
use crate::holder::names;
use crate::protocol::{Code, Error, Result};

/// How long a deleted branch can be brought back.
pub const KEEP_DELETED: Duration = Duration::from_secs(7 * 86_400);
/// Records of one branch; the oldest go with their points.
pub const POINTS_MAX: u64 = 10_000;
/// Records of branches that are gone for good.
pub const GONE_MAX: usize = 100;

/// The history, for one request at a time.
pub struct History<'a> {
    pub(super) store: &'a Store,
    _turn: MutexGuard<'a, ()>,
}

impl<'a> History<'a> {
    /// The history in its turn.
    pub fn of(store: &'a Store, turn: MutexGuard<'a, ()>) -> History<'a> {
        History { store, _turn: turn }
    }

    /// Changes records together.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Change<'_>) -> Result<T>) -> Result<T> {
        let branch: Branch = records::branch(self.store)?;
        let mut records = Change::begin(&branch)?;
        let changed = change(&mut records)?;
        records.commit()?;
        Ok(changed)
    }

    pub(super) fn records(&self) -> Result<Records> {
        Records::read(self.store)
    }

    /// Deletes the content of something, if it is there.
    pub(super) fn delete_content(&self, item: Item) -> Result<()> {
        delete_content(self.store, item)
    }
}

/// What the store calls the content of something that is kept.
pub fn content(item: Item) -> String {
    match item.serial {
        Some(serial) => names::point_name(item.branch, serial),
        None => names::deleted_name(item.branch),
    }
}

pub fn delete_content(store: &Store, item: Item) -> Result<()> {
    match store.delete(&content(item)) {
        Ok(()) | Err(tine_store::Error::BranchNotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub fn is_there(store: &Store, item: Item) -> Result<bool> {
    match store.branch(&content(item)) {
        Ok(_) => Ok(true),
        Err(tine_store::Error::BranchNotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Returns `true` if it may be the history that is damaged, or of another version.
pub fn is_of_history(error: &Error) -> bool {
    matches!(error.code, Code::StoreDamaged | Code::StoreVersion)
}

/// What came of work that other work does not depend on: damage of the history is for those who
/// ask for it.
///
/// # Errors
/// All others.
pub fn unless_damaged(done: Result<()>) -> Result<()> {
    done.or_else(|error| if is_of_history(&error) { Ok(()) } else { Err(error) })
}

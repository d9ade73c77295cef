//! What differs between two snapshots.

use crate::error::{Error, Result};
use crate::tree::{Difference, RawChange};
use crate::txn::{ReadTxn, Value, raw, value_of};
use std::sync::Arc;

/// A key whose entry differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// Its entry before; `None` if it was not there.
    pub before: Option<Value>,
    /// Its entry after; `None` if it is gone.
    pub after: Option<Value>,
}

/// Iterates the changes from one snapshot to another in order of their keys; those of tables are
/// passed over, see [`Table::diff`](crate::Table::diff). Subtrees that both share are skipped, so
/// the cost follows the changes. Two extents of equal length that name different blocks count as a
/// change, whatever the blocks hold.
#[derive(Debug)]
pub struct Diff {
    before: ReadTxn,
    _after: ReadTxn,
    walk: Option<Difference>,
}

/// Compares two snapshots of one store.
///
/// # Errors
/// [`Error::OtherStore`] for snapshots of two stores; the iterator yields damage and I/O errors.
pub fn diff(before: &ReadTxn, after: &ReadTxn) -> Result<Diff> {
    if !same_store(before, after)? {
        return Err(Error::OtherStore { what: "a snapshot" });
    }
    let walk = Difference::new(&before.root, &after.root);
    Ok(Diff { before: before.clone(), _after: after.clone(), walk: Some(walk) })
}

/// Returns `true` if addresses mean the same for both.
pub(crate) fn same_store(one: &ReadTxn, other: &ReadTxn) -> Result<bool> {
    Ok(Arc::ptr_eq(one.shared.engine()?, other.shared.engine()?))
}

impl Diff {
    /// The next change, by its key in the tree.
    pub(crate) fn step(&mut self) -> Result<Option<RawChange>> {
        let Some(walk) = &mut self.walk else { return Ok(None) };
        let step = self.before.shared.engine().and_then(|engine| walk.next(&engine.nodes));
        if !matches!(step, Ok(Some(_))) {
            self.walk = None;
        }
        step
    }
}

impl Iterator for Diff {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Result<Change>> {
        loop {
            let (key, before, after) = match self.step() {
                Ok(change) => change?,
                Err(error) => return Some(Err(error)),
            };
            if let Some(key) = raw(&key) {
                let [before, after] = [before, after].map(|value| value.as_deref().map(value_of));
                return Some(Ok(Change { key: key.into_owned(), before, after }));
            }
        }
    }
}

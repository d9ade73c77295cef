//! What differs between two states of a table.

use super::name::Prefix;
use super::read::Table;
use crate::diff::{Change, Diff, diff};
use crate::error::Result;
use crate::txn::Value;

/// A key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChange {
    /// The key.
    pub key: Vec<u8>,
    /// Its value before; `None` if it was not there.
    pub before: Option<Vec<u8>>,
    /// Its value after; `None` if it is gone.
    pub after: Option<Vec<u8>>,
}

/// Iterates the changes of a table in order of their keys.
#[derive(Debug)]
pub struct TableDiff {
    changes: Diff,
    prefix: Prefix,
}

impl TableDiff {
    pub(super) fn new(before: &Table, after: &Table) -> Result<TableDiff> {
        Ok(TableDiff { changes: diff(&before.txn, &after.txn)?, prefix: before.prefix.clone() })
    }

    fn own(&self, change: Change) -> Option<TableChange> {
        let bytes = |value| match value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Extent { .. } => None,
        };
        Some(TableChange {
            key: self.prefix.strip(&change.key)?.to_vec(),
            before: change.before.and_then(bytes),
            after: change.after.and_then(bytes),
        })
    }
}

impl Iterator for TableDiff {
    type Item = Result<TableChange>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.changes.next()? {
                Ok(change) => {
                    if let Some(own) = self.own(change) {
                        return Some(Ok(own));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

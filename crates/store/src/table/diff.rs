//! What differs between two states of a table.

use super::name::Prefix;
use super::range::{TableEntry, TableRange};
use super::read::Table;
use crate::diff::{Diff, diff, same_store};
use crate::error::{Error, Result};
use crate::txn::{Value, value_of};
use std::cmp::Ordering;
use std::iter::Peekable;

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

/// Iterates the changes of a table in order of their keys. Ends after the first error.
#[derive(Debug)]
pub struct TableDiff {
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Both states lie under the same keys of one store: what they share is skipped.
    Shared {
        changes: Diff,
        prefix: Prefix,
    },
    /// All entries of both, side by side.
    Apart {
        before: Peekable<TableRange>,
        after: Peekable<TableRange>,
    },
    Done,
}

impl TableDiff {
    pub(super) fn new(before: &Table, after: &Table) -> Result<TableDiff> {
        let alike = before.prefix == after.prefix && same_store(&before.txn, &after.txn)?;
        let way = if alike {
            let prefix = before.prefix.clone();
            Way::Shared { changes: diff(&before.txn, &after.txn)?, prefix }
        } else {
            Way::Apart { before: before.iter().peekable(), after: after.iter().peekable() }
        };
        Ok(TableDiff { way })
    }

    fn step(&mut self) -> Result<Option<TableChange>> {
        match &mut self.way {
            Way::Shared { changes, prefix } => {
                while let Some((key, before, after)) = changes.step()? {
                    if let Some(key) = prefix.strip(&key) {
                        let (before, after) = (inline(key, before)?, inline(key, after)?);
                        return Ok(Some(TableChange { key: key.to_vec(), before, after }));
                    }
                }
                Ok(None)
            }
            Way::Apart { before, after } => apart(before, after),
            Way::Done => Ok(None),
        }
    }
}

/// The bytes of an inline value.
fn inline(key: &[u8], value: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match value.as_deref().map(value_of) {
        None => Ok(None),
        Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
        Some(Value::Extent { .. }) => Err(Error::wrong_kind(key, "an extent", "an inline value")),
    }
}

/// The next key of two tables whose values differ.
fn apart(
    before: &mut Peekable<TableRange>,
    after: &mut Peekable<TableRange>,
) -> Result<Option<TableChange>> {
    loop {
        // The side that comes first, or both.
        let order = match (before.peek(), after.peek()) {
            (None, None) => return Ok(None),
            (Some(Ok(old)), Some(Ok(new))) => old.key().cmp(new.key()),
            (Some(_), Some(Err(_))) | (None, Some(_)) => Ordering::Greater,
            (Some(_), _) => Ordering::Less,
        };
        let old = if order.is_le() { before.next().transpose()? } else { None };
        let new = if order.is_ge() { after.next().transpose()? } else { None };
        let value = |entry: &Option<TableEntry>| entry.as_ref().map(|entry| entry.value().to_vec());
        let change = (value(&old), value(&new));
        if let Some(entry) = old.or(new)
            && change.0 != change.1
        {
            let (before, after) = change;
            return Ok(Some(TableChange { key: entry.key().to_vec(), before, after }));
        }
    }
}

impl Iterator for TableDiff {
    type Item = Result<TableChange>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if !matches!(step, Ok(Some(_))) {
            self.way = Way::Done;
        }
        step.transpose()
    }
}

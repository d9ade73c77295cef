//! Reading a table of a snapshot.

use super::cursor::TableCursor;
use super::diff::TableDiff;
use super::name::{Prefix, tables_end, tables_from};
use super::range::{TableEntry, TableRange};
use crate::error::Result;
use crate::format::table_key::name_in;
use crate::tree;
use crate::txn::ReadTxn;
use std::ops::{Bound, RangeBounds};

/// A table as a snapshot holds it.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) txn: ReadTxn,
    pub(super) prefix: Prefix,
}

impl ReadTxn {
    /// The table with the name; empty if nothing was ever put there.
    ///
    /// # Errors
    /// [`Error::NameInvalid`](crate::Error::NameInvalid) unless the name has 1 to 64 bytes.
    pub fn table(&self, name: &str) -> Result<Table> {
        self.shared.engine()?;
        Ok(Table { txn: self.clone(), prefix: Prefix::of(name)? })
    }

    /// Names of the tables that hold anything, shorter names first.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn tables(&self) -> Result<Vec<String>> {
        let nodes = &self.shared.engine()?.nodes;
        let mut names = Vec::new();
        let mut cursor = tree::Cursor::seek(nodes, &self.root, &tables_from())?;
        while let Some(found) = cursor.forward(nodes)?
            && found.key() < tables_end().as_slice()
        {
            // A store of before may hold keys in between that are no table's.
            if let Some(name) = name_in(found.key()) {
                cursor = tree::Cursor::seek(nodes, &self.root, &Prefix::of(name)?.end())?;
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

impl Table {
    /// The entry of a key.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<TableEntry>> {
        let found = self.prefix.with_key(key.as_ref(), |key| self.txn.find(key))?;
        found.map(|found| TableEntry::new(found, self.prefix.len())).transpose()
    }

    /// The entries whose keys lie in a range, in order of their keys; from the back too.
    pub fn range<K: AsRef<[u8]>>(&self, keys: impl RangeBounds<K>) -> TableRange {
        let whole = |bound: Bound<&K>| bound.map(|key| self.prefix.key(key.as_ref()));
        let from = match whole(keys.start_bound()) {
            Bound::Unbounded => Bound::Included(self.prefix.key(&[])),
            bound => bound,
        };
        let to = match whole(keys.end_bound()) {
            Bound::Unbounded => Bound::Excluded(self.prefix.end()),
            bound => bound,
        };
        TableRange::new(self.txn.clone(), self.prefix.len(), from, to)
    }

    /// All entries, in order of their keys; from the back too.
    pub fn iter(&self) -> TableRange {
        self.range::<&[u8]>(..)
    }

    /// A cursor before the first entry.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn cursor(&self) -> Result<TableCursor> {
        TableCursor::new(self.clone())
    }

    /// Number of entries. Costs two paths, however many they are.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn len(&self) -> Result<u64> {
        let nodes = &self.txn.shared.engine()?.nodes;
        let rank = |key: &[u8]| tree::rank(nodes, &self.txn.root, key);
        Ok(rank(&self.prefix.end())? - rank(&self.prefix.key(&[]))?)
    }

    /// Whether there is no entry.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// What changed from this table to `after`. If that is the table of the same name, of any
    /// branch of the store, the cost follows the changes of the branch. A table of another name, or
    /// of another store, is read as a whole.
    ///
    /// # Errors
    /// Damage and I/O errors; the iterator yields them.
    pub fn diff(&self, after: &Table) -> Result<TableDiff> {
        TableDiff::new(self, after)
    }
}

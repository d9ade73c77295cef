//! A place in a table that moves both ways.

use super::range::TableEntry;
use super::read::Table;
use crate::error::Result;
use crate::tree::Cursor;

/// Stands between two entries of a table, or at one of its ends.
#[derive(Debug)]
pub struct TableCursor {
    table: Table,
    place: Cursor,
}

impl TableCursor {
    pub(super) fn new(table: Table) -> Result<TableCursor> {
        let mut cursor = TableCursor { table, place: Cursor::default() };
        cursor.seek([])?;
        Ok(cursor)
    }

    fn go(&mut self, key: &[u8]) -> Result<()> {
        let txn = &self.table.txn;
        self.place = Cursor::seek(&txn.shared.engine()?.nodes, &txn.root, key)?;
        Ok(())
    }

    /// Goes before the first entry whose key is at or above `key`.
    ///
    /// # Errors
    /// Damage and I/O errors, as of all moves.
    pub fn seek(&mut self, key: impl AsRef<[u8]>) -> Result<()> {
        self.go(&self.table.prefix.key(key.as_ref()))
    }

    /// Goes after the last entry.
    ///
    /// # Errors
    /// Damage and I/O errors, as of all moves.
    pub fn seek_end(&mut self) -> Result<()> {
        self.go(&self.table.prefix.end())
    }

    /// The entry that comes next, which the cursor passes; `None` at the end.
    ///
    /// # Errors
    /// Damage and I/O errors, as of all moves.
    #[allow(clippy::should_implement_trait)] // A move can fail, and the other way is one too.
    pub fn next(&mut self) -> Result<Option<TableEntry>> {
        let nodes = &self.table.txn.shared.engine()?.nodes;
        let found = self.place.forward(nodes)?;
        match found.filter(|found| self.table.prefix.strip(found.key()).is_some()) {
            Some(found) => TableEntry::new(found, self.table.prefix.len()).map(Some),
            None => self.seek_end().map(|()| None),
        }
    }

    /// The entry that comes before, which the cursor passes; `None` at the start.
    ///
    /// # Errors
    /// Damage and I/O errors, as of all moves.
    pub fn prev(&mut self) -> Result<Option<TableEntry>> {
        let nodes = &self.table.txn.shared.engine()?.nodes;
        let found = self.place.back(nodes)?;
        match found.filter(|found| self.table.prefix.strip(found.key()).is_some()) {
            Some(found) => TableEntry::new(found, self.table.prefix.len()).map(Some),
            None => self.seek([]).map(|()| None),
        }
    }
}

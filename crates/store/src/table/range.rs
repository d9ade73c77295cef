//! Entries of a table in order, from both ends.

use crate::error::{Error, Result};
use crate::format::extent::TAG_BYTES;
use crate::tree::{Cursor, Found};
use crate::txn::ReadTxn;
use std::ops::{Bound, Deref};

/// A key and its value, in the memory of the node that holds them. It reads as its value.
#[derive(Debug, Clone)]
pub struct TableEntry {
    found: Found,
    /// Bytes of the key that name the table.
    prefix_len: usize,
}

impl TableEntry {
    pub(super) fn new(found: Found, prefix_len: usize) -> Result<TableEntry> {
        match found.value().first() {
            Some(&TAG_BYTES) => Ok(TableEntry { found, prefix_len }),
            _ => Err(Error::wrong_kind(&found.key()[prefix_len..], "an extent", "an inline value")),
        }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.found.key()[self.prefix_len..]
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.found.value()[1..]
    }
}

impl Deref for TableEntry {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.value()
    }
}

/// Iterates entries of a table in order of their keys. Ends after the first error.
#[derive(Debug)]
pub struct TableRange {
    txn: ReadTxn,
    prefix_len: usize,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    front: Option<Cursor>,
    back: Option<Cursor>,
    done: bool,
}

impl TableRange {
    pub(super) fn new(
        txn: ReadTxn,
        prefix_len: usize,
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
    ) -> TableRange {
        TableRange { txn, prefix_len, from, to, front: None, back: None, done: false }
    }

    fn step(&mut self) -> Result<Option<TableEntry>> {
        let (nodes, root) = (&self.txn.shared.engine()?.nodes, &self.txn.root);
        let cursor = match &mut self.front {
            Some(cursor) => cursor,
            none => none.insert(match &self.from {
                Bound::Included(key) => Cursor::seek(nodes, root, key)?,
                Bound::Excluded(key) => Cursor::seek(nodes, root, &behind(key))?,
                Bound::Unbounded => Cursor::seek(nodes, root, &[])?,
            }),
        };
        let Some(found) = cursor.forward(nodes)? else { return Ok(None) };
        let inside = match &self.to {
            Bound::Included(end) => found.key() <= end.as_slice(),
            Bound::Excluded(end) => found.key() < end.as_slice(),
            Bound::Unbounded => true,
        };
        if !inside {
            return Ok(None);
        }
        if self.back.is_some() {
            // What was given from the front is not given from the back.
            self.from = Bound::Excluded(found.key().to_vec());
        }
        TableEntry::new(found, self.prefix_len).map(Some)
    }

    fn step_back(&mut self) -> Result<Option<TableEntry>> {
        let (nodes, root) = (&self.txn.shared.engine()?.nodes, &self.txn.root);
        let cursor = match &mut self.back {
            Some(cursor) => cursor,
            none => {
                let back = match &self.to {
                    Bound::Included(key) => Cursor::seek(nodes, root, &behind(key))?,
                    Bound::Excluded(key) => Cursor::seek(nodes, root, key)?,
                    Bound::Unbounded => Cursor::seek_end(nodes, root)?,
                };
                if let Some(front) = &self.front
                    && let Some(last) = front.clone().back(nodes)?
                {
                    self.from = Bound::Excluded(last.key().to_vec());
                }
                none.insert(back)
            }
        };
        let Some(found) = cursor.back(nodes)? else { return Ok(None) };
        let inside = match &self.from {
            Bound::Included(start) => found.key() >= start.as_slice(),
            Bound::Excluded(start) => found.key() > start.as_slice(),
            Bound::Unbounded => true,
        };
        if !inside {
            return Ok(None);
        }
        // What was given from the back is not given from the front.
        self.to = Bound::Excluded(found.key().to_vec());
        TableEntry::new(found, self.prefix_len).map(Some)
    }

    fn end_at<T>(&mut self, step: Result<Option<T>>) -> Option<Result<T>> {
        self.done |= !matches!(step, Ok(Some(_)));
        step.transpose()
    }
}

impl Iterator for TableRange {
    type Item = Result<TableEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.end_at(step)
    }
}

impl DoubleEndedIterator for TableRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step_back();
        self.end_at(step)
    }
}

/// The next possible key.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

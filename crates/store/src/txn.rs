//! Snapshots to read, and the transaction that changes a branch.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, MutexGuard};

use crate::branch::{Entry, Tree, lock};
use crate::{BLOCK_BYTES, Branch, Error, KEY_BYTES_MAX, Result, Staged, VALUE_BYTES_MAX};

/// A value in the map of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Inline bytes.
    Bytes(Vec<u8>),
    /// A run of data blocks.
    Extent {
        /// Its length in blocks.
        blocks: u64,
    },
}

impl From<&Entry> for Value {
    fn from(entry: &Entry) -> Value {
        match entry {
            Entry::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Entry::Block(_) => Value::Extent { blocks: 1 },
        }
    }
}

/// A run of mapped blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first block number.
    pub block: u64,
    /// How many.
    pub blocks: u64,
}

pub(crate) fn block_key(map: &[u8], block: u64) -> Vec<u8> {
    [map, &block.to_be_bytes()].concat()
}

/// A consistent snapshot of one branch.
#[derive(Clone)]
pub struct ReadTxn {
    pub(crate) tree: Arc<Tree>,
}

impl ReadTxn {
    /// The inline value under a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(match self.tree.get(key) {
            Some(Entry::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        })
    }

    /// The entries between two bounds, in order.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Range {
        Range {
            tree: self.tree.clone(),
            from: from.map(<[u8]>::to_vec),
            to: to.map(<[u8]>::to_vec),
        }
    }

    /// Reads bytes of a map; holes read as zeros.
    pub fn read_map(&self, map: &[u8], offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        let (mut done, size) = (0, BLOCK_BYTES as u64);
        while done < buf.len() {
            let at = offset_bytes + done as u64;
            let skip = (at % size) as usize;
            let take = (BLOCK_BYTES - skip).min(buf.len() - done);
            let target = &mut buf[done..done + take];
            match self.tree.get(&block_key(map, at / size)) {
                Some(Entry::Block(block)) => target.copy_from_slice(&block[skip..skip + take]),
                _ => target.fill(0),
            }
            done += take;
        }
        Ok(())
    }

    /// The mapped runs that touch or follow a block.
    pub fn extents(&self, map: &[u8], from_block: u64) -> Extents {
        let from = block_key(map, from_block);
        let to = block_key(map, u64::MAX);
        let range = self.range(Bound::Included(&from), Bound::Included(&to));
        Extents { range, map_len: map.len(), next: None }
    }

    /// Bytes that the snapshot reaches.
    pub fn referenced_bytes(&self) -> Result<u64> {
        Ok(self.tree.iter().map(|(key, entry)| entry_bytes(key, entry)).sum())
    }
}

pub(crate) fn entry_bytes(key: &[u8], entry: &Entry) -> u64 {
    match entry {
        Entry::Bytes(bytes) => (key.len() + bytes.len()) as u64,
        Entry::Block(_) => BLOCK_BYTES as u64,
    }
}

/// Entries of a snapshot, in the order of their keys.
pub struct Range {
    tree: Arc<Tree>,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

impl Range {
    fn step(&mut self) -> Option<(&Vec<u8>, &Entry)> {
        let (from, to) =
            (self.from.as_ref().map(Vec::as_slice), self.to.as_ref().map(Vec::as_slice));
        if let (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) =
            (from, to)
            && (a > b || (a == b && (from, to) != (Bound::Included(a), Bound::Included(b))))
        {
            return None;
        }
        let (key, entry) = self.tree.range::<[u8], _>((from, to)).next()?;
        self.from = Bound::Excluded(key.clone());
        Some((key, entry))
    }
}

impl Iterator for Range {
    type Item = Result<(Vec<u8>, Value)>;
    fn next(&mut self) -> Option<Self::Item> {
        self.step().map(|(key, entry)| Ok((key.clone(), Value::from(entry))))
    }
}

/// Mapped runs of one map, merged where they touch.
pub struct Extents {
    range: Range,
    map_len: usize,
    next: Option<u64>,
}

impl Extents {
    fn block(&mut self) -> Option<u64> {
        if let Some(block) = self.next.take() {
            return Some(block);
        }
        let map_len = self.map_len;
        let (key, _) = self.range.step()?;
        key[map_len..].try_into().ok().map(u64::from_be_bytes)
    }
}

impl Iterator for Extents {
    type Item = Result<Run>;
    fn next(&mut self) -> Option<Self::Item> {
        let block = self.block()?;
        let mut blocks = 1;
        while let Some(next) = self.block() {
            if next != block + blocks {
                self.next = Some(next);
                break;
            }
            blocks += 1;
        }
        Some(Ok(Run { block, blocks }))
    }
}

/// The one transaction that may change a branch at a time; dropping it changes nothing.
pub struct WriteTxn<'a> {
    branch: &'a Branch,
    _writer: MutexGuard<'a, ()>,
    view: ReadTxn,
    changes: BTreeMap<Vec<u8>, Option<Entry>>,
}

impl<'a> WriteTxn<'a> {
    pub(crate) fn new(branch: &'a Branch, writer: MutexGuard<'a, ()>, view: ReadTxn) -> Self {
        WriteTxn { branch, _writer: writer, view, changes: BTreeMap::new() }
    }

    fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.changes.get(key).map_or_else(|| self.view.tree.get(key), Option::as_ref)
    }

    /// The inline value under a key, as this transaction has left it.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(match self.entry(key) {
            Some(Entry::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        })
    }

    /// The state at the start of the transaction.
    pub fn view(&self) -> &ReadTxn {
        &self.view
    }

    /// Sets an inline value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        for (what, bytes, bytes_max) in
            [("key", key.len(), KEY_BYTES_MAX), ("value", value.len(), VALUE_BYTES_MAX)]
        {
            if bytes > bytes_max {
                return Err(Error::TooLarge { what, bytes, bytes_max });
            }
        }
        self.changes.insert(key.to_vec(), Some(Entry::Bytes(value.to_vec())));
        Ok(())
    }

    /// Removes an inline value, if there is one.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.changes.insert(key.to_vec(), None);
        Ok(())
    }

    /// Puts staged blocks at a block number of a map.
    pub fn map(&mut self, map: &[u8], block: u64, staged: Staged) -> Result<()> {
        for (at, data) in (block..).zip(staged.blocks) {
            self.changes.insert(block_key(map, at), Some(Entry::Block(data)));
        }
        Ok(())
    }

    /// Makes a hole of blocks; `u64::MAX` blocks means to the end.
    pub fn unmap(&mut self, map: &[u8], block: u64, blocks: u64) -> Result<()> {
        let Some(last) = blocks.checked_sub(1).map(|more| block.saturating_add(more)) else {
            return Ok(());
        };
        let (from, to) = (block_key(map, block), block_key(map, last));
        let stored = self.view.tree.range(from.clone()..=to.clone()).map(|(key, _)| key.clone());
        let fresh = self.changes.range(from..=to).map(|(key, _)| key.clone());
        let keys: Vec<_> = stored.chain(fresh).collect();
        self.changes.extend(keys.into_iter().map(|key| (key, None)));
        Ok(())
    }

    /// Shares blocks of one map with another; holes are shared as holes.
    pub fn share(
        &mut self,
        from: &[u8],
        from_block: u64,
        to: &[u8],
        to_block: u64,
        blocks: u64,
    ) -> Result<()> {
        let source: Vec<_> =
            (0..blocks).map(|i| self.entry(&block_key(from, from_block + i)).cloned()).collect();
        for (at, entry) in (to_block..).zip(source) {
            self.changes.insert(block_key(to, at), entry);
        }
        Ok(())
    }

    /// Makes every change of the transaction visible at once.
    pub fn commit(self) -> Result<()> {
        drop(self.view);
        let mut tree = lock(&self.branch.cell.tree);
        let tree = Arc::make_mut(&mut tree);
        for (key, change) in self.changes {
            match change {
                Some(entry) => drop(tree.insert(key, entry)),
                None => drop(tree.remove(&key)),
            }
        }
        self.branch.store.mark_dirty();
        Ok(())
    }
}

/// One key that differs between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// Its value before.
    pub before: Option<Value>,
    /// Its value after.
    pub after: Option<Value>,
}

/// The differences between two snapshots, in the order of their keys.
pub struct Diff {
    changes: std::vec::IntoIter<Change>,
}

impl Iterator for Diff {
    type Item = Result<Change>;
    fn next(&mut self) -> Option<Self::Item> {
        self.changes.next().map(Ok)
    }
}

/// What differs between two snapshots.
pub fn diff(before: &ReadTxn, after: &ReadTxn) -> Result<Diff> {
    let same = |a: &Entry, b: &Entry| match (a, b) {
        (Entry::Bytes(a), Entry::Bytes(b)) => a == b,
        (Entry::Block(a), Entry::Block(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    let mut changes = Vec::new();
    for (key, entry) in before.tree.iter() {
        let other = after.tree.get(key);
        if !other.is_some_and(|other| same(entry, other)) {
            changes.push(Change {
                key: key.clone(),
                before: Some(entry.into()),
                after: other.map(Value::from),
            });
        }
    }
    for (key, entry) in after.tree.iter().filter(|(key, _)| !before.tree.contains_key(*key)) {
        changes.push(Change { key: key.clone(), before: None, after: Some(entry.into()) });
    }
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(Diff { changes: changes.into_iter() })
}

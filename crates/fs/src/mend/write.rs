//! The changes of a mending, in transactions of bounded size.

use std::collections::BTreeMap;
use std::ops::Range;

use tine_store::{Branch, ReadTxn, Staged, Value, WriteTxn};

use super::survey::range;
use crate::Result;

/// Operations in one transaction, at most.
const OPS_MAX: usize = 512;

/// Writes what differs from the state before.
pub(super) struct Batch<'b> {
    branch: &'b Branch,
    view: &'b ReadTxn,
    txn: Option<WriteTxn<'b>>,
    ops: usize,
}

impl<'b> Batch<'b> {
    pub fn new(branch: &'b Branch, view: &'b ReadTxn) -> Batch<'b> {
        Batch { branch, view, txn: None, ops: 0 }
    }

    /// The state before.
    pub fn view(&self) -> &'b ReadTxn {
        self.view
    }

    fn txn(&mut self) -> Result<&mut WriteTxn<'b>> {
        self.ops += 1;
        if self.ops >= OPS_MAX {
            self.take()?;
        }
        let txn = match self.txn.take() {
            Some(txn) => txn,
            None => self.branch.write()?,
        };
        Ok(self.txn.insert(txn))
    }

    fn take(&mut self) -> Result<()> {
        self.ops = 0;
        Ok(self.txn.take().map_or(Ok(()), WriteTxn::commit)?)
    }

    pub fn commit(mut self) -> Result<()> {
        self.take()
    }

    /// Puts a value unless it is there.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.view.get(key)?.as_deref() == Some(value) {
            Ok(())
        } else {
            Ok(self.txn()?.put(key, value)?)
        }
    }

    /// Makes the records under a letter those that are wanted.
    pub fn make_range(&mut self, letter: u8, wanted: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<()> {
        let mut there = BTreeMap::new();
        for found in range(self.view, letter) {
            let (key, value) = found?;
            if !wanted.contains_key(&key) || !matches!(value, Value::Bytes(_)) {
                self.remove(&key, &value)?;
            } else if let Value::Bytes(bytes) = value {
                there.insert(key, bytes);
            }
        }
        for (key, value) in wanted.iter().filter(|(key, value)| there.get(*key) != Some(value)) {
            self.txn()?.put(key, value)?;
        }
        Ok(())
    }

    /// Removes what was put under some keys.
    pub fn remove_all(&mut self, keys: &[Vec<u8>]) -> Result<()> {
        keys.iter().try_for_each(|key| Ok(self.txn()?.delete(key)?))
    }

    fn remove(&mut self, key: &[u8], value: &Value) -> Result<()> {
        match (value, key.split_last_chunk::<8>()) {
            (Value::Extent { blocks, .. }, Some((map, block))) => {
                let first = u64::from_be_bytes(*block);
                self.unmap(map, first..first.saturating_add(*blocks))
            }
            _ => Ok(self.txn()?.delete(key)?),
        }
    }

    pub fn map(&mut self, map: &[u8], block: u64, staged: Staged) -> Result<()> {
        Ok(self.txn()?.map(map, block, staged)?)
    }

    pub fn unmap(&mut self, map: &[u8], blocks: Range<u64>) -> Result<()> {
        Ok(self.txn()?.unmap(map, blocks)?)
    }
}

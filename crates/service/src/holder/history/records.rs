//! The records of the history, in a branch of their own that no person sees.
//!
//! | key | value |
//! |---|---|
//! | `v` | the version of what follows |
//! | `c` | the last number of the order below |
//! | `b` BRANCH | [`Line`]: where the branch stands |
//! | `p` BRANCH SERIAL | [`Point`] |
//! | `d` BRANCH | [`Deleted`] |
//! | `o` ORDER | [`Item`]: what is kept, the oldest first |
//! | `w` BRANCH SERIAL | what is kept comes or goes just now; serial 0 is the branch itself |
//!
//! Numbers are big-endian, so that keys sort as they do.

use std::ops::Bound;

use tine_store::{Branch, ReadTxn, Store, Value, WriteTxn};

use super::record::{Deleted, Item, Line, Point, damaged, decode, encode};
use crate::holder::names;
use crate::protocol::{Code, Error, Result};

const VERSION: &[u8] = b"1";

fn key(kind: u8, numbers: &[u64]) -> Vec<u8> {
    let mut key = vec![kind];
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key
}

fn numbers<const N: usize>(key: &[u8]) -> Result<[u64; N]> {
    let digits = key.get(1..).filter(|digits| digits.len() == N * 8);
    let digits = digits.ok_or_else(|| damaged("a key is no number"))?;
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits.chunks_exact(8)) {
        *number = digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit));
    }
    Ok(numbers)
}

/// The records as they are at one moment.
pub struct Records(Option<ReadTxn>);

impl Records {
    pub fn read(store: &Store) -> Result<Records> {
        let txn = match store.branch(names::HISTORY) {
            Err(tine_store::Error::BranchNotFound { .. }) => return Ok(Records(None)),
            branch => branch?.read()?,
        };
        Records::of(txn)
    }

    fn of(txn: ReadTxn) -> Result<Records> {
        match txn.get(b"v")? {
            Some(version) if version == VERSION => Ok(Records(Some(txn))),
            _ => Err(Error::new(Code::StoreVersion, "the history was written by another version")
                .hint("use a newer tine to open this store")),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(match &self.0 {
            Some(txn) => txn.get(key)?,
            None => None,
        })
    }

    /// The entries whose keys begin with these numbers, from the first on.
    fn with<'r>(
        &'r self,
        kind: u8,
        of: &[u64],
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> + use<'r> {
        let (from, to) = (key(kind, of), [key(kind, of), vec![0xff; 17]].concat());
        let range = self
            .0
            .as_ref()
            .map(|txn| txn.range(Bound::Included(from.as_slice()), Bound::Included(to.as_slice())));
        range.into_iter().flatten().map(|entry| match entry? {
            (key, Value::Bytes(bytes)) => Ok((key, bytes)),
            _ => Err(damaged("data in place of a record")),
        })
    }

    pub fn line(&self, branch: u64) -> Result<Line> {
        self.get(&key(b'b', &[branch]))?.map_or(Ok(Line::default()), |bytes| decode(&bytes))
    }

    pub fn point(&self, branch: u64, serial: u64) -> Result<Option<Point>> {
        self.get(&key(b'p', &[branch, serial]))?.map(|bytes| decode(&bytes)).transpose()
    }

    /// The points of a branch, by serial.
    pub fn points(&self, branch: u64) -> impl Iterator<Item = Result<(u64, Point)>> {
        self.with(b'p', &[branch]).map(|entry| {
            let (key, bytes) = entry?;
            let [_, serial] = numbers(&key)?;
            Ok((serial, decode(&bytes)?))
        })
    }

    pub fn deleted(&self, branch: u64) -> Result<Option<Deleted>> {
        self.get(&key(b'd', &[branch]))?.map(|bytes| decode(&bytes)).transpose()
    }

    /// All deleted branches.
    pub fn all_deleted(&self) -> impl Iterator<Item = Result<(u64, Deleted)>> {
        self.with(b'd', &[]).map(|entry| {
            let (key, bytes) = entry?;
            let [branch] = numbers(&key)?;
            Ok((branch, decode(&bytes)?))
        })
    }

    /// What is kept, the oldest first.
    pub fn oldest(&self) -> impl Iterator<Item = Result<(u64, Item)>> {
        self.with(b'o', &[]).map(|entry| {
            let (key, bytes) = entry?;
            let [order] = numbers(&key)?;
            Ok((order, decode(&bytes)?))
        })
    }

    /// What was under way when a process ended.
    pub fn under_way(&self) -> impl Iterator<Item = Result<Item>> {
        self.with(b'w', &[]).map(|entry| {
            let [branch, serial] = numbers(&entry?.0)?;
            Ok(Item { branch, serial: (serial != 0).then_some(serial) })
        })
    }
}

/// Records to be changed together. Called with the turn of the history held, so that what was read
/// before is still so.
pub struct Change<'b> {
    txn: WriteTxn<'b>,
    order: u64,
}

/// The branch that the records are in, which is made if there is none.
pub fn branch(store: &Store) -> Result<Branch> {
    match store.branch(names::HISTORY) {
        Err(tine_store::Error::BranchNotFound { .. }) => {}
        branch => return Ok(branch?),
    }
    let branch = store.create_branch(names::HISTORY)?;
    let mut txn = branch.write()?;
    txn.put(b"v", VERSION)?;
    txn.commit()?;
    Ok(branch)
}

impl<'b> Change<'b> {
    pub fn begin(branch: &'b Branch) -> Result<Change<'b>> {
        let txn = branch.write()?;
        let order = match txn.get(b"c")? {
            Some(bytes) => decode(&bytes)?,
            None => 0,
        };
        Ok(Change { txn, order })
    }

    /// Says that it lets go of something, so that it has room on a full disk.
    pub fn gives_back(&mut self) {
        self.txn.gives_back();
    }

    fn put(&mut self, key: &[u8], value: &impl serde::Serialize) -> Result<()> {
        Ok(self.txn.put(key, &encode(value)?)?)
    }

    /// The number of what is kept from now on.
    pub fn next_order(&mut self, item: Item) -> Result<u64> {
        self.order += 1;
        let order = self.order;
        self.put(b"c", &order)?;
        self.put(&key(b'o', &[order]), &item)?;
        Ok(order)
    }

    /// It is kept no more.
    pub fn drop_order(&mut self, order: u64) -> Result<()> {
        Ok(self.txn.delete(&key(b'o', &[order]))?)
    }

    pub fn put_line(&mut self, branch: u64, line: &Line) -> Result<()> {
        self.put(&key(b'b', &[branch]), line)
    }

    pub fn drop_line(&mut self, branch: u64) -> Result<()> {
        Ok(self.txn.delete(&key(b'b', &[branch]))?)
    }

    pub fn put_point(&mut self, branch: u64, serial: u64, point: &Point) -> Result<()> {
        self.put(&key(b'p', &[branch, serial]), point)
    }

    pub fn drop_point(&mut self, branch: u64, serial: u64) -> Result<()> {
        Ok(self.txn.delete(&key(b'p', &[branch, serial]))?)
    }

    pub fn put_deleted(&mut self, branch: u64, deleted: &Deleted) -> Result<()> {
        self.put(&key(b'd', &[branch]), deleted)
    }

    pub fn drop_deleted(&mut self, branch: u64) -> Result<()> {
        Ok(self.txn.delete(&key(b'd', &[branch]))?)
    }

    /// Notes that the content of something comes or goes.
    pub fn begin_way(&mut self, item: Item) -> Result<()> {
        Ok(self.txn.put(&key(b'w', &[item.branch, item.serial.unwrap_or(0)]), b"")?)
    }

    /// It has come, or is gone.
    pub fn end_way(&mut self, item: Item) -> Result<()> {
        Ok(self.txn.delete(&key(b'w', &[item.branch, item.serial.unwrap_or(0)]))?)
    }

    pub fn commit(self) -> Result<()> {
        Ok(self.txn.commit()?)
    }
}

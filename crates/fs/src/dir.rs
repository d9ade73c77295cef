//! Directories: finding names in them and listing them.

use std::ops::Bound;

use tine_store::{ReadTxn, Value};

use crate::fs::{Fs, inode};
use crate::inode::{Inode, Link};
use crate::name_hash::Seed;
use crate::tree_txn::no_entry;
use crate::{Attr, Error, Ino, Kind, NAME_BYTES_MAX, ROOT, Result, bucket, key};

/// The positions after `.` and `..`; those of entries are greater, see [`crate::bucket`].
const AFTER_DOT: u64 = 1;
pub(crate) const AFTER_DOTS: u64 = 2;

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The file it names.
    pub ino: Ino,
    /// What kind of file that is.
    pub kind: Kind,
    /// Where to go on after this entry. It stays right whatever is added or removed.
    pub position: u64,
}

impl Fs {
    /// The attributes of an entry of a directory, also of `.` and `..`.
    pub fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        Ok(self.lookup_in(&self.snapshot()?, parent, name)?.attr)
    }

    /// The attributes of the file at a path from the root. Symbolic links are not followed.
    pub fn resolve(&self, path: &[u8]) -> Result<Attr> {
        let txn = self.snapshot()?;
        let mut at = inode(&txn, ROOT)?;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            at = self.lookup_in(&txn, at.attr.ino, name)?;
        }
        Ok(at.attr)
    }

    fn lookup_in(&self, txn: &ReadTxn, parent: Ino, name: &[u8]) -> Result<Inode> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Error::NameTooLong { bytes: name.len(), bytes_max: NAME_BYTES_MAX });
        }
        match name {
            b"." => directory(txn, parent),
            b".." => directory(txn, parent_of(&directory(txn, parent)?)),
            _ => lookup(txn, self.seed(), parent, name)?.ok_or_else(|| no_entry(parent, name)),
        }
    }

    /// Visits the entries of a directory after a position (0 is the start) until `visit` returns
    /// `false`. The first two are `.` and `..`.
    pub fn readdir(
        &self,
        ino: Ino,
        position: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<()> {
        list(&self.snapshot()?, self.seed(), ino, position, &mut |entry| Ok(visit(entry)))
    }

    /// As [`Fs::readdir`], with the attributes of each entry.
    pub fn readdir_plus(
        &self,
        ino: Ino,
        position: u64,
        visit: &mut dyn FnMut(DirEntry<'_>, &Attr) -> bool,
    ) -> Result<()> {
        let txn = self.snapshot()?;
        list(&txn, self.seed(), ino, position, &mut |entry| {
            let attr = match entry.name {
                b"." | b".." => directory(&txn, entry.ino)?.attr,
                _ => listed(&txn, ino, &entry)?.attr,
            };
            Ok(visit(entry, &attr))
        })
    }
}

/// What an entry of a directory names, if there is one.
pub(crate) fn lookup(txn: &ReadTxn, seed: Seed, parent: Ino, name: &[u8]) -> Result<Option<Inode>> {
    let place = bucket::Place::of(parent, seed, name);
    let bytes = txn.get(&key::bucket(parent, place.hash))?.unwrap_or_default();
    match bucket::find(place, &bytes, name)? {
        Some(entry) => {
            named(txn, parent, bucket::position(place.hash, entry.slot), entry).map(Some)
        }
        None => directory(txn, parent).map(|_| None),
    }
}

/// The inode that an entry names. It has to be there, and at this place.
fn named(txn: &ReadTxn, dir: Ino, position: u64, entry: bucket::Entry<'_>) -> Result<Inode> {
    let bucket::Entry { ino, kind, name, .. } = entry;
    listed(txn, dir, &DirEntry { name, ino, kind, position })
}

fn listed(txn: &ReadTxn, dir: Ino, entry: &DirEntry<'_>) -> Result<Inode> {
    let missing = Error::Damaged { ino: entry.ino, what: "attributes" };
    let inode = crate::path::inode(txn, entry.ino)?.ok_or(missing)?;
    inode.must_be_at(entry.kind, Link { parent: dir, position: entry.position })?;
    Ok(inode)
}

fn directory(txn: &ReadTxn, ino: Ino) -> Result<Inode> {
    let found = inode(txn, ino)?;
    if found.is_dir() { Ok(found) } else { Err(Error::NotDirectory { ino }) }
}

/// What `..` names. The parent of a directory that was removed while in use is itself.
fn parent_of(dir: &Inode) -> Ino {
    dir.home.map_or(dir.attr.ino, |home| home.parent)
}

pub(crate) fn list(
    txn: &ReadTxn,
    seed: Seed,
    ino: Ino,
    position: u64,
    visit: &mut dyn FnMut(DirEntry<'_>) -> Result<bool>,
) -> Result<()> {
    let dir = directory(txn, ino)?;
    for (name, ino, place) in [(&b"."[..], ino, AFTER_DOT), (b"..", parent_of(&dir), AFTER_DOTS)] {
        let entry = DirEntry { name, ino, kind: Kind::Directory, position: place };
        if position < place && !visit(entry)? {
            return Ok(());
        }
    }
    let first = key::bucket(ino, bucket::split(position).0);
    let last = key::after(&key::of(key::BUCKET, ino));
    for found in txn.range(Bound::Included(&first), Bound::Excluded(&last)) {
        let damaged = Error::Damaged { ino, what: "entries" };
        let (key, Value::Bytes(bytes)) = found? else { return Err(damaged) };
        let hash = key::parse(&key).and_then(|(_, _, rest)| key::hash(rest)).ok_or(damaged)?;
        for entry in in_order(bucket::Place { dir: ino, hash, seed }, &bytes)? {
            let place = bucket::position(hash, entry.slot);
            let entry =
                DirEntry { name: entry.name, ino: entry.ino, kind: entry.kind, position: place };
            if position < place && !visit(entry)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The entries of a bucket, by slot. A later one may have taken a lower slot.
fn in_order(place: bucket::Place, bytes: &[u8]) -> Result<Vec<bucket::Entry<'_>>> {
    let mut entries = bucket::entries(place, bytes).collect::<Result<Vec<_>>>()?;
    entries.sort_unstable_by_key(|entry| entry.slot);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name_hash::ALL_SHARE;

    #[test]
    fn entries_that_share_a_hash_are_listed_by_position() {
        let place = bucket::Place::of(ROOT, ALL_SHARE, b"");
        let mut bytes = Vec::new();
        for name in [b"a", b"b", b"c"] {
            bucket::add(place, &mut bytes, name, Ino::new(2), Kind::File).unwrap();
        }
        let mut bytes = bucket::without(place, &bytes, b"a").unwrap();
        bucket::add(place, &mut bytes, b"d", Ino::new(2), Kind::File).unwrap();
        let names: Vec<_> =
            in_order(place, &bytes).unwrap().iter().map(|entry| entry.name).collect();
        assert_eq!(names, [b"d", b"b", b"c"]);
    }
}

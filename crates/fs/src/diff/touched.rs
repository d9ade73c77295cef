//! The entries of two snapshots that differ, gathered by inode.

use std::collections::BTreeMap;

use tine_store::{BLOCK_BYTES, ReadTxn, Value};

use crate::diff::change::Change;
use crate::inode::Inode;
use crate::name_hash::Seed;
use crate::{Error, Ino, ROOT, Result, bucket, key, path};

/// What changed of one inode.
#[derive(Default)]
pub(super) struct Touched {
    pub before: Option<Inode>,
    pub after: Option<Inode>,
    /// Names that it lost and names that it gained, each with the directory.
    pub lost: Vec<(Ino, Vec<u8>)>,
    pub gained: Vec<(Ino, Vec<u8>)>,
    /// Its data or target changed; the runs of data that differ are below.
    data: bool,
    runs_before: Vec<Placed>,
    runs_after: Vec<Placed>,
    xattrs: bool,
}

impl Touched {
    /// The same between two other records.
    pub fn between(self, before: Option<Inode>, after: Option<Inode>) -> Touched {
        Touched { before, after, ..self }
    }

    /// Bytes of data that differ, in whole blocks.
    pub fn bytes_that_differ(&self) -> u64 {
        blocks_that_differ(&self.runs_before, &self.runs_after) * BLOCK_BYTES as u64
    }
}

/// The inodes that differ.
pub(super) fn gather(
    before: &ReadTxn,
    after: &ReadTxn,
    seeds: [Seed; 2],
) -> Result<BTreeMap<Ino, Touched>> {
    let mut inodes: BTreeMap<Ino, Touched> = BTreeMap::new();
    for change in tine_store::diff(before, after)? {
        let change = change?;
        let Some((letter, ino, rest)) = key::parse(&change.key) else { continue };
        match letter {
            key::INODE => {
                let touched = inodes.entry(ino).or_default();
                touched.before = inode(ino, change.before.as_ref())?;
                touched.after = inode(ino, change.after.as_ref())?;
            }
            key::BUCKET => {
                let hash = key::hash(rest).ok_or(Error::Damaged { ino, what: "entries" })?;
                let [old, new] = seeds.map(|seed| bucket::Place { dir: ino, hash, seed });
                let (old, new) = (names(old, &change.before)?, names(new, &change.after)?);
                for (name, child) in old.iter().filter(|entry| !new.contains(entry)) {
                    inodes.entry(*child).or_default().lost.push((ino, name.clone()));
                }
                for (name, child) in new.iter().filter(|entry| !old.contains(entry)) {
                    inodes.entry(*child).or_default().gained.push((ino, name.clone()));
                }
            }
            key::DATA => {
                let touched = inodes.entry(ino).or_default();
                touched.data = true;
                let block = key::number(rest);
                touched.runs_before.extend(placed(block, change.before.as_ref()));
                touched.runs_after.extend(placed(block, change.after.as_ref()));
            }
            key::TARGET => inodes.entry(ino).or_default().data = true,
            key::XATTR => inodes.entry(ino).or_default().xattrs = true,
            _ => {}
        }
    }
    for (ino, touched) in &mut inodes {
        // A record that did not change is not in the difference; then both sides have it.
        if touched.before.is_none() && touched.after.is_none() {
            touched.before = path::inode(before, *ino)?;
            touched.after = path::inode(after, *ino)?;
        }
    }
    Ok(inodes)
}

fn inode(ino: Ino, value: Option<&Value>) -> Result<Option<Inode>> {
    match value {
        Some(Value::Bytes(bytes)) => Inode::decode(ino, bytes).map(Some),
        Some(Value::Extent { .. }) => Err(Error::Damaged { ino, what: "attributes" }),
        None => Ok(None),
    }
}

fn names(place: bucket::Place, value: &Option<Value>) -> Result<Vec<(Vec<u8>, Ino)>> {
    let Some(Value::Bytes(bytes)) = value else { return Ok(Vec::new()) };
    bucket::entries(place, bytes)
        .map(|entry| entry.map(|entry| (entry.name.to_vec(), entry.ino)))
        .collect()
}

/// A run of data by its blocks in the file and in the store.
struct Placed {
    block: u64,
    blocks: u64,
    place: u64,
}

fn placed(block: Option<u64>, value: Option<&Value>) -> Option<Placed> {
    match (block, value) {
        (Some(block), Some(&Value::Extent { blocks, place })) => {
            Some(Placed { block, blocks, place })
        }
        _ => None,
    }
}

/// How many blocks of a file two lists of runs, both in order, do not have in common.
fn blocks_that_differ(before: &[Placed], after: &[Placed]) -> u64 {
    let blocks = |runs: &[Placed]| runs.iter().map(|run| run.blocks).sum::<u64>();
    let (mut both, mut same) = (0, 0);
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        let (a_end, b_end) = (a.block.saturating_add(a.blocks), b.block.saturating_add(b.blocks));
        let overlap = a_end.min(b_end).saturating_sub(a.block.max(b.block));
        both += overlap;
        if a.place.wrapping_sub(a.block) == b.place.wrapping_sub(b.block) {
            same += overlap;
        }
        if a_end < b_end {
            old.next()
        } else {
            new.next()
        };
    }
    (blocks(before) + blocks(after)).saturating_sub(both + same)
}

/// An inode, unless it is an orphan: that has no path.
pub(super) fn named(inode: Option<Inode>) -> Option<Inode> {
    inode.filter(|inode| inode.home.is_some())
}

pub(super) fn same_file(old: &Inode, new: &Inode) -> bool {
    old.attr.kind == new.attr.kind && (old.attr.crtime == new.attr.crtime || old.attr.ino == ROOT)
}

/// How a file that is on both sides changed where it is, if it did.
pub(super) fn in_place(old: &Inode, new: &Inode, touched: &Touched) -> Option<Change> {
    if touched.data || data_size(old) != data_size(new) {
        return Some(Change::Modified);
    }
    let changed = touched.xattrs || attributes_differ(old, new);
    changed.then_some(Change::Metadata)
}

fn data_size(inode: &Inode) -> u64 {
    if inode.is_dir() { 0 } else { inode.attr.size }
}

pub(super) fn data_bytes(inode: &Inode) -> u64 {
    inode.blocks() * BLOCK_BYTES as u64
}

/// The times of a directory are not looked at: they tell of files that came and went, such as a
/// lock that was taken and released.
fn attributes_differ(old: &Inode, new: &Inode) -> bool {
    let times =
        old.is_dir() || (old.attr.atime, old.attr.mtime) == (new.attr.atime, new.attr.mtime);
    let (old, new) = (&old.attr, &new.attr);
    (old.mode, old.uid, old.gid, old.rdev) != (new.mode, new.uid, new.gid, new.rdev) || !times
}

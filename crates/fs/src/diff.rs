//! What changed between two snapshots, by path.
//!
//! The store tells which entries differ and skips what the snapshots share, so the cost follows the
//! changes. They are gathered by inode; a path is then found by going up from the inode to its
//! directories.

use std::collections::BTreeMap;

use tine_store::{BLOCK_BYTES, ReadTxn, Value};

use crate::inode::Inode;
use crate::name_hash::Seed;
use crate::path::Paths;
use crate::{Error, Ino, Kind, ROOT, Result, bucket, key, path};

/// How a path changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its data changed.
    Modified,
    /// It had another path before (the same inode); its data may have changed too, see
    /// [`PathChange::bytes`].
    Renamed {
        /// The path before.
        from: Vec<u8>,
    },
    /// Only its attributes changed: owner, permissions, times, extended attributes.
    Metadata,
}

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// The path from the root, without a leading slash; the root itself is empty.
    pub path: Vec<u8>,
    /// What kind of file it is (or was).
    pub kind: Kind,
    /// How it changed.
    pub change: Change,
    /// Bytes of data that changed, in whole blocks: of an added or deleted file, what its data
    /// takes; of others, what was written or cut.
    pub bytes: u64,
}

/// What changed of one inode.
#[derive(Default)]
struct Touched {
    before: Option<Inode>,
    after: Option<Inode>,
    /// Names that it lost and names that it gained, each with the directory.
    lost: Vec<(Ino, Vec<u8>)>,
    gained: Vec<(Ino, Vec<u8>)>,
    /// Its data or target changed; the runs of data that differ are below.
    data: bool,
    runs_before: Vec<Placed>,
    runs_after: Vec<Placed>,
    xattrs: bool,
    /// Entries of this directory changed.
    entries: bool,
}

/// What changed between two snapshots of a file tree, sorted by path; costs what changed, not what
/// there is.
///
/// An inode is the same file on both sides if its number and its time of birth agree. A file that
/// lost one name and gained another is renamed; a further name of an old file is added. Of a
/// directory whose entries changed, the times are not looked at: the entries say it.
pub fn diff(before: &ReadTxn, after: &ReadTxn) -> Result<Vec<PathChange>> {
    let (before_paths, after_paths) = (Paths::new(before)?, Paths::new(after)?);
    let seeds = [before_paths.seed(), after_paths.seed()];
    let mut report = Report { before: before_paths, after: after_paths, changes: Vec::new() };
    for (ino, touched) in gather(before, after, seeds)? {
        report.inode(ino, touched, before, after)?;
    }
    Ok(in_order(report.changes))
}

fn gather(before: &ReadTxn, after: &ReadTxn, seeds: [Seed; 2]) -> Result<BTreeMap<Ino, Touched>> {
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
                inodes.entry(ino).or_default().entries = true;
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

struct Report<'a> {
    before: Paths<'a>,
    after: Paths<'a>,
    changes: Vec<PathChange>,
}

impl Report<'_> {
    fn inode(
        &mut self,
        ino: Ino,
        mut touched: Touched,
        before: &ReadTxn,
        after: &ReadTxn,
    ) -> Result<()> {
        // A record that did not change is not in the difference; then both sides have it.
        if touched.before.is_none() && touched.after.is_none() {
            touched.before = path::inode(before, ino)?;
            touched.after = path::inode(after, ino)?;
        }
        let (old, new) = (named(touched.before), named(touched.after));
        match (old, new) {
            (Some(old), Some(new)) if same_file(&old, &new) => self.kept(&old, &new, &touched),
            (old, new) => {
                if let Some(old) = old {
                    self.lost(&old, &touched)?;
                }
                match new {
                    Some(new) => self.gained(&new, &touched),
                    None => Ok(()),
                }
            }
        }
    }

    /// A file that is there before and after.
    fn kept(&mut self, old: &Inode, new: &Inode, touched: &Touched) -> Result<()> {
        let blocks = blocks_that_differ(&touched.runs_before, &touched.runs_after);
        let bytes = blocks * BLOCK_BYTES as u64;
        let moves = touched.lost.len().min(touched.gained.len());
        for (lost, gained) in touched.lost.iter().zip(&touched.gained) {
            let from = self.before.of_name(lost.0, &lost.1)?;
            let path = self.after.of_name(gained.0, &gained.1)?;
            if let (Some(from), Some(path)) = (from, path) {
                self.push(path, new.attr.kind, Change::Renamed { from }, bytes);
            }
        }
        for (parent, name) in &touched.lost[moves..] {
            if let Some(path) = self.before.of_name(*parent, name)? {
                self.push(path, old.attr.kind, Change::Deleted, 0);
            }
        }
        for (parent, name) in &touched.gained[moves..] {
            if let Some(path) = self.after.of_name(*parent, name)? {
                self.push(path, new.attr.kind, Change::Added, 0);
            }
        }
        let change = match () {
            () if moves > 0 => return Ok(()),
            () if touched.data || data_size(old) != data_size(new) => Change::Modified,
            () if touched.xattrs || attributes_differ(old, new, touched.entries) => {
                Change::Metadata
            }
            () => return Ok(()),
        };
        if let Some(path) = self.path_after(new, touched)? {
            self.push(path, new.attr.kind, change, bytes);
        }
        Ok(())
    }

    /// A file that is there no more. Without its names it was an orphan.
    fn lost(&mut self, old: &Inode, touched: &Touched) -> Result<()> {
        for (parent, name) in &touched.lost {
            if let Some(path) = self.before.of_name(*parent, name)? {
                self.push(path, old.attr.kind, Change::Deleted, data_bytes(old));
            }
        }
        Ok(())
    }

    fn gained(&mut self, new: &Inode, touched: &Touched) -> Result<()> {
        for (parent, name) in &touched.gained {
            if let Some(path) = self.after.of_name(*parent, name)? {
                self.push(path, new.attr.kind, Change::Added, data_bytes(new));
            }
        }
        Ok(())
    }

    /// A path that leads to a file now, and did before unless every name of it is new.
    fn path_after(&mut self, inode: &Inode, touched: &Touched) -> Result<Option<Vec<u8>>> {
        if inode.attr.ino == ROOT {
            return Ok(Some(Vec::new()));
        }
        let mut gained = Vec::new();
        for (parent, name) in &touched.gained {
            gained.push(self.after.of_name(*parent, name)?);
        }
        let others = path::links(self.after.txn(), inode.attr.ino);
        for link in inode.home.map(Ok).into_iter().chain(others) {
            let path = self.after.of_link(link?)?;
            if !gained.contains(&path) {
                return Ok(path);
            }
        }
        inode.home.map_or(Ok(None), |home| self.after.of_link(home))
    }

    fn push(&mut self, path: Vec<u8>, kind: Kind, change: Change, bytes: u64) {
        self.changes.push(PathChange { path, kind, change, bytes });
    }
}

/// An inode, unless it is an orphan: that has no path.
fn named(inode: Option<Inode>) -> Option<Inode> {
    inode.filter(|inode| inode.home.is_some())
}

fn same_file(old: &Inode, new: &Inode) -> bool {
    old.attr.kind == new.attr.kind && (old.attr.crtime == new.attr.crtime || old.attr.ino == ROOT)
}

fn data_size(inode: &Inode) -> u64 {
    if inode.is_dir() { 0 } else { inode.attr.size }
}

fn data_bytes(inode: &Inode) -> u64 {
    inode.blocks() * BLOCK_BYTES as u64
}

fn attributes_differ(old: &Inode, new: &Inode, entries_changed: bool) -> bool {
    let (old, new) = (&old.attr, &new.attr);
    (old.mode, old.uid, old.gid, old.rdev) != (new.mode, new.uid, new.gid, new.rdev)
        || old.atime != new.atime
        || old.mtime != new.mtime && !entries_changed
}

/// Sorts changes by path, and says of a file that was replaced by another of its kind that it was
/// modified.
fn in_order(mut changes: Vec<PathChange>) -> Vec<PathChange> {
    changes.sort_by(|a, b| {
        (&a.path, a.change != Change::Deleted).cmp(&(&b.path, b.change != Change::Deleted))
    });
    changes.dedup_by(|later, earlier| {
        let replaced = later.path == earlier.path
            && later.kind == earlier.kind
            && (&earlier.change, &later.change) == (&Change::Deleted, &Change::Added);
        if replaced {
            earlier.change = Change::Modified;
            earlier.bytes = later.bytes;
        }
        replaced
    });
    changes
}

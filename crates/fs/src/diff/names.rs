//! What changed, name by name: what a patch tells, which knows nothing of inodes.
//!
//! Every name of a changed file is told, and a renamed directory file by file. So applying the
//! changes to the names of one side gives the names of the other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use tine_store::ReadTxn;

use crate::diff::change::{Change, NameChange, PathChange, in_order};
use crate::diff::inodes::Report;
use crate::diff::touched::{data_bytes, gather, in_place, named, same_file};
use crate::inode::Inode;
use crate::path::{Paths, inode, links};
use crate::{Error, Ino, Result, dir};

/// As [`diff`](crate::diff()), but for each name of a file by itself. Costs what changed, and what
/// lies below renamed directories.
///
/// A name that leads to another file than before is modified. A file that lost one name and gained
/// another is renamed. The changes are sorted by path, except that what is deleted to make room for
/// a file or a directory comes before all others.
pub fn diff_names(before: &ReadTxn, after: &ReadTxn) -> Result<Vec<NameChange>> {
    let mut report = Report::new(before, after)?;
    let (mut old, mut new) = (Names::default(), Names::default());
    let mut changed = HashMap::new();
    let mut moved = Vec::new();
    for (ino, touched) in gather(before, after, report.seeds())? {
        let (was, is) = (named(touched.before), named(touched.after));
        let files = [was, is].map(|inode| inode.filter(|inode| !inode.is_dir()));
        old.add(files[0], &mut report.before)?;
        new.add(files[1], &mut report.after)?;
        if let (Some(was), Some(is)) = (was, is)
            && same_file(&was, &is)
        {
            if was.is_dir() && was.home != is.home {
                moved.push(ino);
            }
            let change = in_place(&was, &is, &touched);
            changed.insert(ino, InPlace { change, bytes: touched.bytes_that_differ() });
        }
        let [was, is] = [was, is].map(|inode| inode.filter(Inode::is_dir));
        if was.is_some() || is.is_some() {
            report.inode(&touched.between(was, is))?;
        }
    }
    for dir in moved {
        old.add_below(dir, &mut report.before)?;
        new.add_below(dir, &mut report.after)?;
    }
    let directories = in_order(report.changes).into_iter().map(|change| Told {
        step: Step::InOrder,
        change: NameChange { change, before: None, after: None },
    });
    let mut told: Vec<Told> = directories.chain(pair(&old, &new, &changed)).collect();
    told.sort_by(|a, b| a.key().cmp(&b.key()));
    Ok(told.into_iter().map(|told| told.change).collect())
}

/// What changed of a file that both sides have.
struct InPlace {
    change: Option<Change>,
    bytes: u64,
}

/// The names of one side that may have changed, with their files.
#[derive(Default)]
struct Names(BTreeMap<Vec<u8>, Inode>);

impl Names {
    /// Adds every name of a file.
    fn add(&mut self, file: Option<Inode>, paths: &mut Paths<'_>) -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        let others = links(paths.txn(), file.attr.ino);
        for link in file.home.map(Ok).into_iter().chain(others) {
            if let Some(path) = paths.of_link(link?)? {
                self.0.insert(path, file);
            }
        }
        Ok(())
    }

    /// Adds the names of all files below a directory.
    fn add_below(&mut self, start: Ino, paths: &mut Paths<'_>) -> Result<()> {
        let mut seen = HashSet::new();
        let mut dirs = vec![start];
        while let Some(at) = dirs.pop() {
            // In a damaged tree a directory may be its own ancestor.
            if !seen.insert(at) {
                continue;
            }
            let (txn, seed) = (paths.txn(), paths.seed());
            dir::list(txn, seed, at, dir::AFTER_DOTS, &mut |entry| {
                let missing = Error::Damaged { ino: entry.ino, what: "attributes" };
                let found = inode(txn, entry.ino)?.ok_or(missing)?;
                if found.is_dir() {
                    dirs.push(entry.ino);
                } else if let Some(path) = paths.of_name(at, entry.name)? {
                    self.0.insert(path, found);
                }
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// Returns `true` if a path is above one of these names, or below one.
    fn are_in_the_way_of(&self, path: &[u8]) -> bool {
        let below = [path, b"/"].concat();
        let mut next = self.0.range::<[u8], _>((Bound::Included(&below[..]), Bound::Unbounded));
        let is_above = next.next().is_some_and(|(name, _)| name.starts_with(&below));
        let mut ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        is_above || ends.any(|(end, _)| self.0.contains_key(&path[..end]))
    }
}

/// When a change is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// It makes room for another.
    First,
    InOrder,
}

struct Told {
    step: Step,
    change: NameChange,
}

impl Told {
    fn key(&self) -> (Step, &[u8], bool) {
        let change = &self.change.change;
        (self.step, &change.path, change.change != Change::Deleted)
    }
}

/// The changes that lead from the names of one side to those of the other.
fn pair(old: &Names, new: &Names, changed: &HashMap<Ino, InPlace>) -> Vec<Told> {
    let mut told = Vec::new();
    let mut tell = |step, path: &[u8], was: Option<&Inode>, is: Option<&Inode>, change| {
        let Some(inode) = is.or(was) else { return };
        let both = changed.get(&inode.attr.ino);
        let bytes = match (&change, was.zip(is)) {
            (Change::Modified, Some((was, is))) if !is_one_file(was, is) => data_bytes(is),
            (Change::Added | Change::Deleted, _) if both.is_none() => data_bytes(inode),
            (Change::Modified | Change::Renamed { .. }, _) => both.map_or(0, |both| both.bytes),
            _ => 0,
        };
        let change = PathChange { path: path.to_vec(), kind: inode.attr.kind, change, bytes };
        let (before, after) = (was.map(|was| was.attr), is.map(|is| is.attr));
        told.push(Told { step, change: NameChange { change, before, after } });
    };
    // Names that no file has any more, by the file that had them, the last one first.
    let mut gone: HashMap<Ino, Vec<(&[u8], &Inode)>> = HashMap::new();
    for (path, was) in old.0.iter().rev() {
        match new.0.get(path) {
            Some(is) if is.attr.kind == was.attr.kind => {
                let change = match is_one_file(was, is) {
                    true => changed.get(&is.attr.ino).and_then(|both| both.change.clone()),
                    false => Some(Change::Modified),
                };
                if let Some(change) = change {
                    tell(Step::InOrder, path, Some(was), Some(is), change);
                }
            }
            Some(_) => tell(Step::InOrder, path, Some(was), None, Change::Deleted),
            None if new.are_in_the_way_of(path) => {
                tell(Step::First, path, Some(was), None, Change::Deleted);
            }
            None => gone.entry(was.attr.ino).or_default().push((path, was)),
        }
    }
    for (path, is) in &new.0 {
        let was = old.0.get(path);
        if was.is_some_and(|was| was.attr.kind == is.attr.kind) {
            continue;
        }
        let names = gone.get_mut(&is.attr.ino).filter(|_| was.is_none());
        match names.and_then(|names| names.pop_if(|(_, was)| same_file(was, is))) {
            Some((from, was)) => {
                let change = Change::Renamed { from: from.to_vec() };
                tell(Step::InOrder, path, Some(was), Some(is), change);
            }
            None => tell(Step::InOrder, path, None, Some(is), Change::Added),
        }
    }
    for (path, was) in gone.into_values().flatten() {
        tell(Step::InOrder, path, Some(was), None, Change::Deleted);
    }
    told
}

fn is_one_file(was: &Inode, is: &Inode) -> bool {
    was.attr.ino == is.attr.ino && same_file(was, is)
}

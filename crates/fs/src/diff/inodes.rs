//! What changed, inode by inode: each change of a file is told once.

use tine_store::ReadTxn;

use crate::diff::change::{Change, PathChange, in_order};
use crate::diff::touched::{Touched, data_bytes, gather, in_place, named, same_file};
use crate::inode::Inode;
use crate::name_hash::Seed;
use crate::path::Paths;
use crate::{Kind, ROOT, Result, path};

/// What changed between two snapshots of a file tree, sorted by path; costs what changed, not what
/// there is.
///
/// An inode is the same file on both sides if its number and its time of birth agree. A file that
/// lost one name and gained another is renamed; a further name of an old file is added. The times
/// of a directory are not looked at: its entries say what changed.
pub fn diff(before: &ReadTxn, after: &ReadTxn) -> Result<Vec<PathChange>> {
    let mut report = Report::new(before, after)?;
    for (_, touched) in gather(before, after, report.seeds())? {
        report.inode(&touched)?;
    }
    Ok(in_order(report.changes))
}

/// The changes of inodes so far.
pub(super) struct Report<'a> {
    pub before: Paths<'a>,
    pub after: Paths<'a>,
    pub changes: Vec<PathChange>,
}

impl<'a> Report<'a> {
    pub fn new(before: &'a ReadTxn, after: &'a ReadTxn) -> Result<Report<'a>> {
        let (before, after) = (Paths::new(before)?, Paths::new(after)?);
        Ok(Report { before, after, changes: Vec::new() })
    }

    /// The seeds of the names of both sides.
    pub fn seeds(&self) -> [Seed; 2] {
        [self.before.seed(), self.after.seed()]
    }

    /// Adds what changed of one inode.
    pub fn inode(&mut self, touched: &Touched) -> Result<()> {
        match (named(touched.before), named(touched.after)) {
            (Some(old), Some(new)) if same_file(&old, &new) => self.kept(&old, &new, touched),
            (old, new) => {
                if let Some(old) = old {
                    self.lost(&old, touched)?;
                }
                match new {
                    Some(new) => self.gained(&new, touched),
                    None => Ok(()),
                }
            }
        }
    }

    /// A file that is there before and after.
    fn kept(&mut self, old: &Inode, new: &Inode, touched: &Touched) -> Result<()> {
        let bytes = touched.bytes_that_differ();
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
        let Some(change) = in_place(old, new, touched).filter(|_| moves == 0) else {
            return Ok(());
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

//! Deleted branches: kept under a hidden name for some days, brought back, and ended for good.

use std::time::SystemTime;

use tine_store::Store;

use super::gone::gone_words;
use super::kept::{GONE_MAX, History, KEEP_DELETED, is_there, unless_damaged};
use super::record::{Deleted, Item, Line, Moment};
use super::records::Records;
use crate::holder::names;
use crate::protocol::history::{Gone, PointKind, Undone};
use crate::protocol::{Code, Error, Hint, Result};

/// The deleted branch of a name that was deleted last, of those that `wanted` takes.
pub(super) fn find_deleted(
    records: &Records,
    name: &str,
    wanted: impl Fn(&Deleted) -> bool,
) -> Result<Option<(u64, Deleted)>> {
    let mut last: Option<(u64, Deleted)> = None;
    for entry in records.all_deleted() {
        let (id, deleted) = entry?;
        let later = last.as_ref().is_none_or(|(_, last)| last.order < deleted.order);
        if deleted.name == name && later && wanted(&deleted) {
            last = Some((id, deleted));
        }
    }
    Ok(last)
}

/// Returns `true` if a deleted branch of the name can be brought back.
pub fn has_deleted(store: &Store, name: &str) -> Result<bool> {
    let found = find_deleted(&Records::read(store)?, name, |one| one.gone.is_none())?;
    found.map_or(Ok(false), |(id, _)| is_there(store, Item { branch: id, serial: None }))
}

impl History<'_> {
    /// Deletes a branch so that it can be brought back: it gets a hidden name. O(1). Returns until
    /// when.
    pub fn retire(&self, stored: &str, shown: &str, kind: PointKind) -> Result<SystemTime> {
        let id = self.store.branch(stored)?.id();
        let item = Item { branch: id, serial: None };
        let time = Moment::now();
        self.change(|change| {
            change.gives_back();
            change.begin_way(item)?;
            let order = change.next_order(item)?;
            let name = shown.to_owned();
            change.put_deleted(id, &Deleted { name, time, kind, order, gone: None })
        })?;
        if let Err(error) = self.store.rename(stored, &names::deleted_name(id)) {
            // The error to tell is why it is still there.
            let _ = self.take_back(item);
            return Err(error.into());
        }
        self.change(|change| {
            change.gives_back();
            change.end_way(item)
        })?;
        Ok(time.after(KEEP_DELETED).time())
    }

    /// Drops the record of a deleted branch that is none.
    fn take_back(&self, item: Item) -> Result<()> {
        let deleted = self.records()?.deleted(item.branch)?;
        self.change(|change| {
            change.gives_back();
            if let Some(deleted) = &deleted {
                change.drop_order(deleted.order)?;
            }
            change.drop_deleted(item.branch)?;
            change.end_way(item)
        })
    }

    /// Brings the last deleted branch of a name back, with its history; `None` if there is none.
    ///
    /// # Errors
    /// `branch-not-found` if its content is gone.
    pub fn revive(&self, name: &str) -> Result<Option<Undone>> {
        let records = self.records()?;
        let Some((id, deleted)) = find_deleted(&records, name, |one| one.gone.is_none())? else {
            return match find_deleted(&records, name, |_| true)? {
                Some((_, Deleted { gone: Some((why, _)), .. })) => Err(is_gone(name, Some(why))),
                _ => Ok(None),
            };
        };
        if !is_there(self.store, Item { branch: id, serial: None })? {
            return Err(is_gone(name, None));
        }
        let stored = names::stored_as_new(self.store, name)?;
        let item = Item { branch: id, serial: None };
        let line = records.line(id)?;
        // Its time may be over, which is no reason to end it again.
        self.change(|change| {
            change.begin_way(item)?;
            change.put_line(id, &Line { stays: true, ..line })
        })?;
        self.store.rename(&names::deleted_name(id), &stored)?;
        self.change(|change| {
            change.drop_order(deleted.order)?;
            change.drop_deleted(id)?;
            change.end_way(item)
        })?;
        Ok(Some(Undone { branch: name.into(), point: None, redo: None, restored: true }))
    }

    /// Deletes a branch for good, with its points.
    pub fn end(&self, stored: &str) -> Result<()> {
        let id = self.store.branch(stored)?.id();
        self.store.delete(stored)?;
        // It is gone, whatever is wrong with its history.
        unless_damaged(self.end_points(id))
    }

    /// Drops all that is kept of a branch that is gone.
    fn end_points(&self, branch: u64) -> Result<()> {
        let records = self.records()?;
        for entry in records.points(branch) {
            let (serial, point) = entry?;
            self.forget(Item { branch, serial: Some(serial) }, point.order)?;
        }
        if records.line(branch)? != Line::default() {
            self.change(|change| {
                change.gives_back();
                change.drop_line(branch)
            })?;
        }
        Ok(())
    }

    /// Ends a deleted branch for good, and says why in its record.
    pub(super) fn end_deleted(&self, branch: u64, deleted: Deleted, why: Gone) -> Result<()> {
        let item = Item { branch, serial: None };
        let order = deleted.order;
        let gone = Deleted { gone: Some((why, Moment::now())), ..deleted };
        self.change(|change| {
            change.gives_back();
            change.begin_way(item)?;
            change.drop_order(order)?;
            change.put_deleted(branch, &gone)
        })?;
        self.delete_content(item)?;
        self.end_points(branch)?;
        self.change(|change| {
            change.gives_back();
            change.end_way(item)
        })
    }

    /// Ends the deleted branches whose days are over, and forgets those that are long gone.
    pub fn end_old(&self) -> Result<()> {
        let now = Moment::now();
        let mut gone = Vec::new();
        let all = self.records()?.all_deleted().collect::<Result<Vec<_>>>()?;
        for (id, deleted) in all {
            if deleted.gone.is_some() {
                gone.push((deleted.order, id));
            } else if deleted.time.after(KEEP_DELETED) <= now {
                self.end_deleted(id, deleted, Gone::Age)?;
            }
        }
        gone.sort_unstable();
        for (_, id) in gone.iter().rev().skip(GONE_MAX) {
            self.change(|change| {
                change.gives_back();
                change.drop_deleted(*id)
            })?;
        }
        Ok(())
    }
}

/// Returns `true` if the branch was brought back, which its time does not end again.
pub fn stays(store: &Store, branch: u64) -> Result<bool> {
    Ok(Records::read(store)?.line(branch)?.stays)
}

fn is_gone(name: &str, why: Option<Gone>) -> Error {
    let what = format!("branch {name} was deleted and is gone: {}", gone_words(why));
    Error::new(Code::BranchNotFound, what).hint(Hint::ShowLog { branch: name.into() })
}

//! Points: made before a change, completed or taken back after it.

use tine_store::{Branch, ForkOptions};

use super::edited::is_edited;
use super::kept::{History, POINTS_MAX, content};
use super::record::{Item, Moment, Place, Point, cut};
use crate::holder::names::Named;
use crate::protocol::Result;
use crate::protocol::history::{Marked, PointKind};

impl History<'_> {
    /// Makes a point of a branch before a change of it: O(1), whatever the branch holds. Returns
    /// `None` for a snapshot, which nothing changes.
    pub fn mark(
        &self,
        named: &Named,
        kind: PointKind,
        command: Option<String>,
    ) -> Result<Option<Marked>> {
        let branch = self.store.branch(&named.stored)?;
        if branch.sealed() {
            return Ok(None);
        }
        let id = branch.id();
        let line = self.records()?.line(id)?;
        let edited = is_edited(self.store, &branch, line.place)?;
        let serial = self.make(&branch, kind, command, edited)?;
        self.put_place(id, Place { head: Some(serial), ..Place::default() })?;
        Ok(Some(Marked { branch: id, serial }))
    }

    /// Makes a point, and leaves the branch where it stands.
    pub(super) fn make(
        &self,
        branch: &Branch,
        kind: PointKind,
        command: Option<String>,
        edited: bool,
    ) -> Result<u64> {
        let id = branch.id();
        let mut line = self.records()?.line(id)?;
        line.last = line.last.saturating_add(1);
        let serial = line.last;
        let item = Item { branch: id, serial: Some(serial) };
        self.change(|change| {
            change.put_line(id, &line)?;
            change.begin_way(item)
        })?;
        let options = ForkOptions { sealed: true, same_fork_point: true, ..ForkOptions::default() };
        let made = self.store.fork_with(&branch.name(), &content(item), &options);
        if let Err(error) = made {
            // The error to tell is why there is no point; the mark is swept by the next process.
            let _ = self.change(|change| change.end_way(item));
            return Err(error.into());
        }
        let recorded = self.change(|change| {
            let order = change.next_order(item)?;
            let point = Point {
                time: Moment::now(),
                kind,
                command: command.map(cut),
                status: None,
                changes: None,
                place: line.place,
                edited,
                order,
                gone: None,
            };
            change.put_point(id, serial, &point)?;
            change.end_way(item)
        });
        if let Err(error) = recorded {
            let _ = self.delete_content(item);
            return Err(error);
        }
        self.drop_beyond(id, serial)?;
        Ok(serial)
    }

    /// Drops the points of a branch that are too many.
    fn drop_beyond(&self, branch: u64, last: u64) -> Result<()> {
        let Some(limit) = last.checked_sub(POINTS_MAX) else { return Ok(()) };
        let records = self.records()?;
        for entry in records.points(branch) {
            let (serial, point) = entry?;
            if serial > limit {
                break;
            }
            self.forget(Item { branch, serial: Some(serial) }, point.order)?;
        }
        Ok(())
    }

    /// Says how the change after a point went. With no change the point goes, and the branch stands
    /// where it stood.
    pub fn settle(&self, of: Marked, status: Option<u8>, changes: Option<u64>) -> Result<()> {
        let item = Item { branch: of.branch, serial: Some(of.serial) };
        let records = self.records()?;
        let Some(mut point) = records.point(of.branch, of.serial)? else { return Ok(()) };
        let place = records.line(of.branch)?.place;
        // Another change, or an undo, may have come between.
        let is_last = place == Place { head: Some(of.serial), ..Place::default() };
        if changes == Some(0) && is_last {
            self.put_place(of.branch, point.place)?;
            return self.forget(item, point.order);
        }
        (point.status, point.changes) = (status, changes);
        self.change(|change| change.put_point(of.branch, of.serial, &point))
    }

    pub(super) fn put_place(&self, branch: u64, place: Place) -> Result<()> {
        let line = self.records()?.line(branch)?;
        self.change(|change| change.put_line(branch, &super::record::Line { place, ..line }))
    }

    /// Drops a point, and that there was one.
    pub(super) fn forget(&self, item: Item, order: u64) -> Result<()> {
        let Some(serial) = item.serial else { return Ok(()) };
        self.change(|change| {
            change.gives_back();
            change.begin_way(item)?;
            change.drop_order(order)?;
            change.drop_point(item.branch, serial)
        })?;
        self.delete_content(item)?;
        self.change(|change| {
            change.gives_back();
            change.end_way(item)
        })
    }
}

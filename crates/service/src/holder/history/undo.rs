//! Back before the last change, and forward again.

use tine_store::Branch;

use super::edited::is_edited;
use super::gone::{gone_words, point_is_gone};
use super::kept::{History, is_there};
use super::record::{Item, Place, Point, damaged};
use crate::holder::names::{self, Named};
use crate::protocol::history::{PointKind, Undone};
use crate::protocol::{Code, Error, Hint, Result};

impl History<'_> {
    /// Returns if a branch can be taken back, or with `redo` forward again; changes nothing.
    ///
    /// # Errors
    /// As of what can be done then.
    pub fn can_undo(&self, named: &Named, redo: bool) -> Result<()> {
        let branch = self.store.branch(&named.stored)?;
        match redo {
            true => self.target_of_redo(named, &branch).map(drop),
            false => self.target_of_undo(named, &branch).map(drop),
        }
    }

    /// The point before the last change, and whether that is what was changed after an undo, which
    /// is a change of its own.
    fn target_of_undo(&self, named: &Named, branch: &Branch) -> Result<(u64, Point, bool)> {
        let place = self.records()?.line(branch.id())?.place;
        let edited = is_edited(self.store, branch, place)?;
        let target = if edited { place.undone } else { place.head };
        let Some(target) = target else { return Err(nothing_to_undo(named)) };
        Ok((target, self.whole_point(named, branch, target)?, edited))
    }

    /// The point that the last undo left.
    fn target_of_redo(&self, named: &Named, branch: &Branch) -> Result<(u64, Point)> {
        let place = self.records()?.line(branch.id())?.place;
        let Some(target) = place.redo else { return Err(nothing_to_redo(named, "")) };
        if is_edited(self.store, branch, place)? {
            return Err(nothing_to_redo(named, ": it was changed after the undo"));
        }
        Ok((target, self.whole_point(named, branch, target)?))
    }

    /// Takes a branch back before its last change, and keeps what it is now.
    pub fn undo(&self, named: &Named) -> Result<Undone> {
        let branch = self.store.branch(&named.stored)?;
        let (target, point, edited) = self.target_of_undo(named, &branch)?;
        let redo = self.make(&branch, PointKind::Undo, None, edited)?;
        self.restore(&branch, target)?;
        let head = point.before(target);
        self.put_place(branch.id(), Place { head, undone: Some(target), redo: Some(redo) })?;
        let branch = named.shown.clone();
        Ok(Undone { branch, point: Some(target), redo: Some(redo), restored: false })
    }

    /// Takes a branch to what it was before the last undo.
    pub fn redo(&self, named: &Named) -> Result<Undone> {
        let branch = self.store.branch(&named.stored)?;
        let (target, point) = self.target_of_redo(named, &branch)?;
        self.restore(&branch, target)?;
        let below = |serial: Option<u64>| serial.filter(|serial| *serial < target);
        let place = match point.edited {
            true => Place { head: point.before(target), undone: None, redo: None },
            false => Place {
                head: below(point.place.head),
                undone: below(point.place.undone),
                redo: below(point.place.redo),
            },
        };
        self.put_place(branch.id(), place)?;
        // The branch is what it holds; there was no change to tell of.
        self.forget(Item { branch: branch.id(), serial: Some(target) }, point.order)?;
        let branch = named.shown.clone();
        Ok(Undone { branch, point: Some(target), redo: None, restored: false })
    }

    /// Makes a branch what a point of it holds, as it was then: with the fork point of that time.
    pub fn restore(&self, branch: &Branch, serial: u64) -> Result<()> {
        Ok(self.store.restore(&branch.name(), &names::point_name(branch.id(), serial))?)
    }

    /// A point whose content is there.
    fn whole_point(&self, named: &Named, branch: &Branch, serial: u64) -> Result<Point> {
        let item = Item { branch: branch.id(), serial: Some(serial) };
        let point = self.records()?.point(branch.id(), serial)?;
        let shown = format!("{}@{serial}", named.shown);
        match point {
            Some(point) if is_there(self.store, item)? => Ok(point),
            Some(point) => Err(point_is_gone(&shown, gone_words(point.gone))),
            None => Err(damaged(&format!("{shown} is named and not there"))),
        }
    }
}

fn nothing_to_undo(named: &Named) -> Error {
    let what = format!("there is nothing to undo in branch {}", named.shown);
    Error::new(Code::Unsupported, what).hint(Hint::ShowLog { branch: named.shown.clone() })
}

fn nothing_to_redo(named: &Named, why: &str) -> Error {
    let what = format!("there is nothing to return to in branch {}{why}", named.shown);
    Error::new(Code::Unsupported, what).hint(Hint::ShowLog { branch: named.shown.clone() })
}

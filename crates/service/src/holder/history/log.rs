//! What there is of a branch's history: to be listed, and to be found by number, by how many
//! changes ago, and by time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tine_store::{Branch, Store};

use super::deleted::find_deleted;
use super::edited::is_edited;
use super::gone::{gone_words, point_is_gone};
use super::kept::{History, KEEP_DELETED, content, is_there};
use super::record::{Item, Moment, Point};
use super::records::Records;
use crate::holder::names::Named;
use crate::protocol::history::{DeletedRow, Gone, Logged, PointRow};
use crate::protocol::time::{rfc3339, seconds};
use crate::protocol::{Code, Error, Hint, Result};

/// Which point of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The one of this number.
    Serial(u64),
    /// So many changes back.
    Back(u64),
    /// As it was this long ago.
    Ago(Duration),
}

impl At {
    /// Reads what follows the `@`.
    pub fn parse(text: &str) -> Option<At> {
        let number = |digits: &str| {
            let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?;
            digits.parse().ok().filter(|number| *number > 0)
        };
        if let Some(time) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            return seconds(time).ok().map(|seconds| At::Ago(Duration::from_secs(seconds)));
        }
        match text.strip_prefix('-') {
            Some(back) => number(back).map(At::Back),
            None => number(text).map(At::Serial),
        }
    }
}

/// The serial of a point of a branch; `None` where the branch itself still is what it was then.
///
/// # Errors
/// `branch-not-found` where there is no such point, or its content is gone.
pub fn find_point(store: &Store, named: &Named, branch: &Branch, at: At) -> Result<Option<u64>> {
    let records = Records::read(store)?;
    let none = |what: String| {
        Error::new(Code::BranchNotFound, what).hint(Hint::ShowLog { branch: named.shown.clone() })
    };
    let shown = &named.shown;
    let serial = match at {
        At::Serial(serial) => serial,
        At::Back(count) => {
            let mut way = Back::new(store, &records, branch)?;
            let steps = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(1);
            let found = way.nth(steps).transpose()?;
            found
                .ok_or_else(|| none(format!("branch {shown} has no {count} changes to go back")))?
        }
        At::Ago(time) => {
            let then = Moment::now().before(time);
            let info = store.branches()?.into_iter().find(|info| info.id == branch.id());
            if info.is_some_and(|info| Moment::of(info.created) > then) {
                return Err(none(format!("branch {shown} was not there yet at that time")));
            }
            let mut points = records.points(branch.id());
            let first = points.find(|entry| entry.as_ref().map_or(true, |(_, at)| at.time >= then));
            match first.transpose()? {
                Some((serial, _)) => serial,
                None => return Ok(None),
            }
        }
    };
    if is_there(store, Item { branch: branch.id(), serial: Some(serial) })? {
        return Ok(Some(serial));
    }
    match records.point(branch.id(), serial)? {
        None => Err(none(format!("branch {shown} has no point {serial}"))),
        Some(point) => Err(point_is_gone(&format!("{shown}@{serial}"), gone_words(point.gone))),
    }
}

/// The points that one undo after the other leads to.
struct Back<'r> {
    records: &'r Records,
    branch: u64,
    next: Option<u64>,
}

impl<'r> Back<'r> {
    fn new(store: &Store, records: &'r Records, branch: &Branch) -> Result<Back<'r>> {
        let place = records.line(branch.id())?.place;
        let next = if is_edited(store, branch, place)? { place.undone } else { place.head };
        Ok(Back { records, branch: branch.id(), next })
    }
}

impl Iterator for Back<'_> {
    type Item = Result<u64>;

    fn next(&mut self) -> Option<Result<u64>> {
        let serial = self.next.take()?;
        match self.records.point(self.branch, serial) {
            Ok(point) => self.next = point.and_then(|point| point.before(serial)),
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(serial))
    }
}

impl History<'_> {
    /// What is known of a branch.
    pub fn log(&self, named: &Named) -> Result<Logged> {
        let records = self.records()?;
        let branch = self.store.branch(&named.stored)?;
        let back = Back::new(self.store, &records, &branch)?.collect::<Result<Vec<_>>>()?;
        let points = self.rows(&records, branch.id(), &back)?;
        Ok(Logged { branch: named.shown.clone(), points, deleted: None })
    }

    /// What is known of the last deleted branch of a name, if there was one.
    pub fn log_deleted(&self, name: &str) -> Result<Option<Logged>> {
        let records = self.records()?;
        let Some((id, deleted)) = find_deleted(&records, name, |_| true)? else {
            return Ok(None);
        };
        let item = Item { branch: id, serial: None };
        let there = deleted.gone.is_none() && is_there(self.store, item)?;
        let until = deleted.time.after(KEEP_DELETED);
        let row = DeletedRow {
            time: rfc3339(deleted.time.time()),
            kind: deleted.kind,
            until: there.then(|| rfc3339(until.time())),
            gone: match (there, deleted.gone) {
                (true, _) => None,
                (false, Some((gone, _))) => Some(gone),
                (false, None) => Some(Gone::Space),
            },
        };
        let points = self.rows(&records, id, &[])?;
        Ok(Some(Logged { branch: name.into(), points, deleted: Some(row) }))
    }

    fn rows(&self, records: &Records, branch: u64, back: &[u64]) -> Result<Vec<PointRow>> {
        let there: HashSet<String> =
            self.store.branches()?.into_iter().map(|info| info.name).collect();
        let back: HashMap<u64, u64> = back.iter().copied().zip(1..).collect();
        let mut rows = Vec::new();
        for entry in records.points(branch) {
            let (serial, point) = entry?;
            let there = there.contains(&content(Item { branch, serial: Some(serial) }));
            rows.push(row(serial, point, there, back.get(&serial).copied()));
        }
        rows.reverse();
        Ok(rows)
    }
}

fn row(serial: u64, point: Point, there: bool, back: Option<u64>) -> PointRow {
    let Point { time, kind, command, status, changes, gone, .. } = point;
    PointRow {
        point: serial,
        time: rfc3339(time.time()),
        kind,
        command,
        status,
        changes,
        back,
        gone: (!there).then(|| gone.unwrap_or(Gone::Space)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_an_at_is_a_number_a_count_a_time_or_import() {
        let point = |text: &str| At::parse(text);
        assert_eq!(point("3"), Some(At::Serial(3)));
        assert_eq!(point("-1"), Some(At::Back(1)));
        assert_eq!(point("{2h}"), Some(At::Ago(Duration::from_secs(7200))));
        for wrong in [
            "",
            "x",
            "0",
            "-0",
            "-",
            "+1",
            "--1",
            "1.5",
            "{}",
            "{2}",
            "{-2h}",
            "{2h",
            "99999999999999999999",
        ] {
            assert_eq!(point(wrong), None, "{wrong}");
        }
    }
}

//! What the history says of a branch, a point and a deleted branch, as it is kept: JSON, read from
//! a store of any hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::history::{Gone, PointKind};
use crate::protocol::{Code, Error, Hint, Result};

/// A longer command is cut in the record, as JSON has it: a value of the store has at most 2000
/// bytes.
const COMMAND_BYTES_MAX: usize = 1000;

/// Microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(u64);

impl Moment {
    pub fn now() -> Moment {
        Moment::of(SystemTime::now())
    }

    pub fn of(time: SystemTime) -> Moment {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// So much later.
    pub fn after(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    /// So much earlier.
    pub fn before(self, time: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    pub fn time(self) -> SystemTime {
        // A store may say anything; what no clock shows is shown as 1970.
        UNIX_EPOCH.checked_add(Duration::from_micros(self.0)).unwrap_or(UNIX_EPOCH)
    }
}

/// Where a branch stands in its history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The point before the last change; absent before the first.
    pub head: Option<u64>,
    /// The point that was gone back to, whose content the branch has unless it was changed since.
    pub undone: Option<u64>,
    /// The point that can be returned to.
    pub redo: Option<u64>,
}

/// What is kept of a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The last serial that was given; none is given twice.
    pub last: u64,
    pub place: Place,
    /// Whether it was brought back after its time, which does not end it again.
    #[serde(default)]
    pub stays: bool,
}

/// A point: a branch as it was before a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub time: Moment,
    /// The change.
    pub kind: PointKind,
    pub command: Option<String>,
    pub status: Option<u8>,
    pub changes: Option<u64>,
    /// Where the branch stood.
    pub place: Place,
    /// Whether the branch was changed after it went back to a point.
    pub edited: bool,
    /// Its number among all that is kept.
    pub order: u64,
    /// Why its content is gone.
    pub gone: Option<Gone>,
}

impl Point {
    /// The point before the change that led here; serials fall, so that no history of a hostile
    /// hand is endless.
    pub fn before(&self, serial: u64) -> Option<u64> {
        let before = if self.edited { self.place.undone } else { self.place.head };
        before.filter(|before| *before < serial)
    }
}

/// A deleted branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    pub name: String,
    pub time: Moment,
    pub kind: PointKind,
    pub order: u64,
    /// Why its content is gone, and since when.
    #[serde(default)]
    pub gone: Option<(Gone, Moment)>,
}

/// What a key of the order of all that is kept leads to: a point, or a deleted branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    pub branch: u64,
    /// Absent for a deleted branch.
    pub serial: Option<u64>,
}

pub fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|why| Error::new(Code::Io, format!("cannot record: {why}")))
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|why| damaged(&why.to_string()))
}

pub fn damaged(why: &str) -> Error {
    Error::new(Code::StoreDamaged, format!("the history in the store is damaged: {why}"))
        .hint(Hint::RepairStore)
}

/// A command as it is kept.
pub fn cut(mut command: String) -> String {
    let mut bytes = 0;
    let end = command.char_indices().find(|(_, char)| {
        bytes += match char {
            '"' | '\\' => 2,
            char if char.is_control() => 6,
            char => char.len_utf8(),
        };
        bytes > COMMAND_BYTES_MAX
    });
    if let Some((end, _)) = end {
        command.truncate(end);
        command.push('…');
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_hostile_hand_is_an_error_and_the_largest_of_ours_fits_the_store() {
        for wrong in [&b""[..], b"{", b"[]", b"\xff", b"{\"last\":-1}", b"{\"last\":1e99}"] {
            assert_eq!(decode::<Line>(wrong).unwrap_err().code, Code::StoreDamaged);
        }
        let place = Place { head: Some(u64::MAX), undone: Some(u64::MAX), redo: Some(u64::MAX) };
        let point = Point {
            time: Moment(u64::MAX),
            kind: PointKind::Refresh,
            // What JSON writes longest.
            command: Some(cut("\u{1}".repeat(10_000))),
            status: Some(255),
            changes: Some(u64::MAX),
            place,
            edited: true,
            order: u64::MAX,
            gone: Some(Gone::Space),
        };
        let bytes = encode(&point).unwrap();
        assert!(bytes.len() < 2000, "{}", bytes.len());
        assert_eq!(decode::<Point>(&bytes).unwrap(), point);
        assert_eq!(point.before(5), None, "a point before itself");
        let _ = point.time.time();
    }
}

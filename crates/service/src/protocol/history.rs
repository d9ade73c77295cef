//! Requests about the history of branches: their points, and going back to them.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;

/// What the names of points begin with in the store, and those of deleted branches and of what is
/// recorded of both.
pub(crate) const POINT: &str = "tine.point/";
pub(crate) const DELETED: &str = "tine.deleted/";
pub(crate) const RECORDS: &str = "tine.history/";

/// Returns `true` if the branch of the store belongs to the history of others.
pub(crate) fn is_of_history(stored: &str) -> bool {
    [POINT, DELETED, RECORDS].iter().any(|prefix| stored.starts_with(prefix))
}

/// A change of a branch as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointKind {
    /// A command was run in it.
    Run,
    /// It was reset.
    Reset,
    /// It was brought up to date with its directory.
    Refresh,
    /// Another branch was merged into it.
    Merge,
    /// It was taken back to a point.
    Undo,
    /// It was deleted.
    Delete,
    /// It was made for one command, and deleted with it.
    Discard,
    /// Its time was over.
    Expire,
}

/// Why the content of a point or of a deleted branch is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gone {
    /// A change found no room.
    Space,
    /// Points held more of the store than they may.
    Budget,
    /// Its days were over.
    Age,
    /// There were too many points of the branch.
    Count,
    /// It was deleted for good.
    Ended,
}

/// Makes a point of a branch before a change of it. The answer is absent for a snapshot, which
/// nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkPoint {
    pub name: String,
    pub kind: PointKind,
    pub command: Option<String>,
}

impl Ask for MarkPoint {
    type Answer = Option<Marked>;
}

/// A point that was made: the number of the branch, and of the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    pub branch: u64,
    pub serial: u64,
}

/// Says how the change after a point went. With no change the point goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlePoint {
    pub point: Marked,
    /// Whether the change began.
    pub began: bool,
    pub status: Option<u8>,
    /// How many paths it changed, where that is known.
    pub changes: Option<u64>,
}

impl Ask for SettlePoint {
    type Answer = ();
}

/// Asks for the points of a branch, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    pub name: String,
}

impl Ask for Log {
    type Answer = Logged;
    const ONLY_READS: bool = true;
}

/// The history of a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    pub branch: String,
    /// What came before each change, the newest first.
    pub points: Vec<PointRow>,
    /// Where there is no branch of the name: when the one that had it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<DeletedRow>,
}

/// One point, and the change that came after it. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointRow {
    /// Its number, as in `NAME@3`.
    pub point: u64,
    pub time: String,
    pub kind: PointKind,
    /// What was run.
    pub command: Option<String>,
    /// How it ended; absent while it runs, and where nothing was run.
    pub status: Option<u8>,
    /// How many paths changed, where that was counted.
    pub changes: Option<u64>,
    /// How many undos lead to it, where they do.
    pub back: Option<u64>,
    /// Why its content is gone.
    pub gone: Option<Gone>,
}

/// A deleted branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletedRow {
    pub time: String,
    pub kind: PointKind,
    /// Until when it can be brought back; absent if its content is gone.
    pub until: Option<String>,
    /// Why its content is gone.
    pub gone: Option<Gone>,
}

/// Takes a branch back before its last change, or with `redo` forward again; with `force`, a
/// mounted one too. Without a branch of the name, the deleted one comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    pub name: String,
    pub redo: bool,
    pub force: bool,
}

impl Ask for Undo {
    type Answer = Undone;
}

/// Asks whether [`Undo`] of a branch that is there would do something, before what works in it is
/// ended. The answer is the error otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanUndo {
    pub name: String,
    pub redo: bool,
}

impl Ask for CanUndo {
    type Answer = ();
    const ONLY_READS: bool = true;
}

/// What became of a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undone {
    pub branch: String,
    /// The point that it was taken to.
    pub point: Option<u64>,
    /// The point that has what it was before; absent after a return, which loses nothing.
    pub redo: Option<u64>,
    /// Whether it was deleted, and is there again.
    pub restored: bool,
}

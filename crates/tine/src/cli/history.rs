//! The history of a branch as a program sees it, and in words.

use serde_json::Value;
use tine_service::protocol::branches::Deleted;
use tine_service::protocol::history::{Gone, Logged, PointKind, PointRow, Undone};

use crate::amount::count;
use crate::report::{Report, object};
use crate::tree::minute;

impl Report for Deleted {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        let names = self.names.join(", ");
        let gone = match self.not_kept.len() {
            0 => String::new(),
            _ => format!("; there was no room to keep {}", self.not_kept.join(", ")),
        };
        match &self.kept_until {
            Some(time) => {
                let until = minute(time);
                vec![format!(
                    "deleted {names}; `tine undo NAME` brings it back until {until}{gone}"
                )]
            }
            None => vec![format!("deleted {names} for good{gone}")],
        }
    }
}

impl Report for Undone {
    const ASKED_FOR: bool = false;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        let name = &self.branch;
        vec![match (self.restored, self.point, self.redo) {
            (true, ..) => format!("{name} is back"),
            (_, Some(point), Some(_)) => {
                format!("{name} is what {name}@{point} was; `tine undo {name} --redo` returns")
            }
            _ => format!("{name} is again what it was before the undo"),
        }]
    }
}

impl Report for Logged {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        object(self)
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(row) = &self.deleted {
            let (done, time) = (done(row.kind), minute(&row.time));
            lines.push(match (&row.until, row.gone) {
                (Some(until), _) => format!(
                    "{} was {done} at {time}; `tine undo {}` brings it back until {}",
                    self.branch,
                    self.branch,
                    minute(until)
                ),
                (None, why) => {
                    format!("{} was {done} at {time}, and is gone: {}", self.branch, gone(why))
                }
            });
        }
        if self.points.is_empty() && self.deleted.is_none() {
            return vec![format!("{} has no history yet", self.branch)];
        }
        let name = |row: &PointRow| format!("{}@{}", self.branch, row.point);
        let widest = self.points.iter().map(|row| name(row).len()).max().unwrap_or_default();
        lines.extend(self.points.iter().map(|row| line(row, &format!("{:widest$}", name(row)))));
        lines
    }
}

fn line(row: &PointRow, name: &str) -> String {
    let time = minute(&row.time);
    let changes = row.changes.map_or_else(String::new, |changes| {
        format!(", {} changed", count(changes, "path", "paths"))
    });
    let status = match row.status {
        Some(0) | None => String::new(),
        Some(status) => format!(", exit status {status}"),
    };
    let what = match (row.kind, &row.command) {
        (PointKind::Run, Some(command)) => format!("run {command}"),
        (PointKind::Reset, Some(to)) => format!("reset to {to}"),
        (PointKind::Merge, Some(from)) => format!("merge of {from}"),
        (kind, _) => done(kind).to_owned(),
    };
    let gone = match row.gone {
        None => String::new(),
        why => format!("  (gone: {})", gone(why)),
    };
    format!("{name}  {time}  before: {what}{status}{changes}{gone}")
}

fn done(kind: PointKind) -> &'static str {
    match kind {
        PointKind::Run => "run",
        PointKind::Reset => "reset",
        PointKind::Refresh => "refresh",
        PointKind::Merge => "merge",
        PointKind::Undo => "undo",
        PointKind::Delete => "deleted",
        PointKind::Discard => "discarded",
        PointKind::Expire => "deleted at the end of its time",
    }
}

fn gone(why: Option<Gone>) -> &'static str {
    match why {
        Some(Gone::Budget) => "points held more than TINE_POINTS_PERCENT of the store",
        Some(Gone::Age) => "7 days were over",
        Some(Gone::Count) => "the branch had too many points",
        Some(Gone::Ended) => "it was deleted for good",
        Some(Gone::Space) | None => "its space was needed",
    }
}

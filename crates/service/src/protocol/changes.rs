//! The request for what changed.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;
use crate::protocol::raw::RawBytes;

/// Asks what changed in `name` since its fork point, or from `name` to `other`, sorted by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    pub name: String,
    pub other: Option<String>,
}

impl Ask for Diff {
    type Answer = Vec<Change>;
    const ONLY_READS: bool = true;
}

/// How a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    /// Its content changed.
    Modified,
    Deleted,
    /// It has another path; its content may have changed too.
    Renamed,
    /// Its mode, owner, times or extended attributes changed, and its content did not.
    Metadata,
}

/// One changed path. A path that is not UTF-8 is shown with replacement characters, and its own
/// bytes are in a separate field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The path from the root of the branch.
    pub path: String,
    pub change: ChangeKind,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_bytes: Option<RawBytes>,
    /// The path that a renamed one had.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_bytes: Option<RawBytes>,
    /// Bytes of data that were written or went away.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_without_an_earlier_path_has_no_from() {
        let change = Change {
            path: "a".into(),
            path_bytes: None,
            change: ChangeKind::Added,
            from: None,
            from_bytes: None,
            bytes: 1,
        };
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(text, r#"{"path":"a","change":"added","bytes":1}"#);
    }
}

//! Requests for what changed.
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
    /// What is told of: these paths, and what lies below them; everything if there are none.
    pub paths: Vec<RawBytes>,
}

impl Ask for Diff {
    type Answer = Vec<Change>;
    const ONLY_READS: bool = true;
}

/// Asks as [`Diff`], for each name of a file by itself, with the contents of both sides, which go
/// into the pipe that comes as the descriptor. For each change that is the length of a
/// [`ChangedName`] (u32, little endian), its JSON, and the contents that are text, the one before
/// first. The answer is how many changes there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadChanges {
    pub name: String,
    pub other: Option<String>,
    /// As in [`Diff`].
    pub paths: Vec<RawBytes>,
    /// Whether files that are no text are read, for their digests.
    pub digests: bool,
}

impl Ask for ReadChanges {
    type Answer = u64;
    const ONLY_READS: bool = true;
}

/// Asks what the words mean that stand behind the name of a branch: the first may be another
/// branch, and the rest are paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    pub name: String,
    pub words: Vec<RawBytes>,
    /// Words that can only be paths.
    pub paths: Vec<RawBytes>,
    /// The directory that relative paths may start from.
    pub here: Option<RawBytes>,
}

impl Ask for Scope {
    type Answer = Scoped;
    const ONLY_READS: bool = true;
}

/// What such words mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scoped {
    /// The branch, and where it is a point of one, by its number.
    pub name: String,
    pub other: Option<String>,
    /// Paths from the root of the branch.
    pub paths: Vec<RawBytes>,
    /// Those of them that neither side has.
    pub absent: Vec<RawBytes>,
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

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharacterDevice,
    BlockDevice,
}

/// One changed path. A path that is not UTF-8 is shown with replacement characters, and its own
/// bytes are in a separate field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The path from the root of the branch.
    pub path: String,
    pub change: ChangeKind,
    /// What it is, or was if it is gone.
    pub kind: FileKind,
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

impl Change {
    /// The bytes of the path.
    pub fn raw_path(&self) -> &[u8] {
        self.path_bytes.as_ref().map_or(self.path.as_bytes(), |bytes| &bytes.0)
    }

    /// Of a renamed path, that the one path is gone, or that the other one is new.
    #[must_use]
    pub fn without_move(&self, is_new: bool) -> Change {
        let (path, path_bytes) = match &self.from {
            Some(from) if !is_new => (from.clone(), self.from_bytes.clone()),
            _ => (self.path.clone(), self.path_bytes.clone()),
        };
        let change = if is_new { ChangeKind::Added } else { ChangeKind::Deleted };
        Change { path, path_bytes, change, from: None, from_bytes: None, ..self.clone() }
    }

    /// The bytes of the path that a renamed one had.
    pub fn raw_from(&self) -> Option<&[u8]> {
        let text = self.from.as_ref().map(String::as_bytes);
        self.from_bytes.as_ref().map(|bytes| &bytes.0[..]).or(text)
    }
}

/// One changed name with what it led to before and leads to now; of a directory with neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedName {
    pub change: Change,
    pub before: Option<Side>,
    pub after: Option<Side>,
}

/// A file on one side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    pub bytes: u64,
    pub content: Content,
}

/// What is told of the content of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// It is text, and follows.
    Text,
    /// It is not compared line by line, on both sides.
    Binary {
        /// Its XXH3-128 in hexadecimal, if it was asked for and the file is not far too large.
        xxh3: Option<String>,
        /// Whether that is because of a size, and not because it is no text.
        too_large: bool,
    },
    /// It did not change.
    Same,
    /// It has none.
    None,
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
            kind: FileKind::File,
            from: None,
            from_bytes: None,
            bytes: 1,
        };
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(text, r#"{"path":"a","change":"added","kind":"file","bytes":1}"#);
    }
}

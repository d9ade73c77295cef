//! Requests that look into a branch without a mount.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;
use crate::protocol::raw::RawBytes;

/// Asks for the entries of the directory at a path of a branch, sorted by name, or the one entry if
/// it is no directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListDirectory {
    pub name: String,
    /// From the root of the branch.
    pub path: RawBytes,
}

impl Ask for ListDirectory {
    type Answer = Vec<EntryRow>;
    const ONLY_READS: bool = true;
}

/// Writes the bytes of the file at a path of a branch into the pipe that comes as the descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFile {
    pub name: String,
    /// From the root of the branch.
    pub path: RawBytes,
}

impl Ask for ReadFile {
    type Answer = ();
    const ONLY_READS: bool = true;
}

/// One entry of a directory. What is not UTF-8 is shown with replacement characters, and its own
/// bytes are in a separate field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryRow {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name_bytes: Option<RawBytes>,
    /// `file`, `directory`, `symlink`, `fifo`, `socket`, `character-device` or `block-device`.
    pub kind: String,
    /// Permission bits in octal.
    pub mode: String,
    pub uid: u32,
    pub gid: u32,
    /// Bytes of a file or of the target of a link.
    pub bytes: u64,
    /// When its data last changed, as RFC 3339.
    pub modified: String,
    /// Where a symbolic link leads.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target_bytes: Option<RawBytes>,
}

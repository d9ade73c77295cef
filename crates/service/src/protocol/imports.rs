//! Requests about the directories that branches were imported from.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;
use crate::protocol::copies::{OutsideLink, Warning};

/// What the names of imports begin with in the store, before that of what was made of them.
pub(crate) const IMPORT: &str = "tine.import/";

/// What a person calls an import of the store; `None` of anything else.
pub(crate) fn shown_import(stored: &str) -> Option<String> {
    stored.strip_prefix(IMPORT).map(|of| format!("{of}@import"))
}

/// Asks for an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindImport {
    /// The one that a branch was made from, or that is named itself.
    Of(String),
    /// The one of a directory, or of the nearest one above it.
    At(PathBuf),
}

impl Ask for FindImport {
    type Answer = Option<FoundImport>;
    const ONLY_READS: bool = true;
}

/// An import and the directory that it was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundImport {
    pub import: String,
    pub directory: PathBuf,
}

/// Makes an import equal to its directory, which comes as the descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    pub import: String,
    /// Where the directory is, for messages.
    pub source: PathBuf,
    /// A branch that follows the import, unless it has changes of its own or is in use.
    pub follower: Option<String>,
}

impl Ask for Refresh {
    type Answer = Refreshed;
    const TAKES_LONG: bool = true;
}

/// An import that was brought up to date.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Refreshed {
    pub branch: String,
    /// The number of things that are not directories.
    pub files: u64,
    /// The number of files that were read.
    pub read: u64,
    /// Bytes of data read.
    pub bytes: u64,
    /// Paths that were added or changed.
    pub changed: u64,
    /// Paths that are gone.
    pub deleted: u64,
    pub elapsed_us: u64,
    /// What became of the branch that was to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follower: Option<Follower>,
    /// The first links that lead out of the directory, of those that were read.
    #[serde(default)]
    pub outside_links: Vec<OutsideLink>,
    #[serde(default)]
    pub outside_links_count: u64,
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// A branch that was to follow its import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    pub branch: String,
    pub state: Followed,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Followed {
    /// It is what the import is.
    Current,
    /// It has changes of its own, and stays as it is.
    Changed,
    /// It is mounted, and stays as it is.
    InUse,
}

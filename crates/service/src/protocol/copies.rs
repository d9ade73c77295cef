//! Requests that copy a directory in or a branch out, or reserve a branch that a command fills
//! itself.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;
use crate::protocol::raw::RawBytes;

/// Copies the directory that comes as the descriptor into a new branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Where the directory is, for messages and as the branch's own place.
    pub source: PathBuf,
    pub name: String,
}

impl Ask for Import {
    type Answer = Imported;
    const TAKES_LONG: bool = true;
}

/// A directory that was copied into a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    pub branch: String,
    /// The number of things that are not directories.
    pub files: u64,
    /// The number of directories, without the root.
    pub directories: u64,
    /// Bytes of data read.
    pub bytes: u64,
    pub elapsed_us: u64,
    /// The first links that lead out of the directory, by path.
    #[serde(default)]
    pub outside_links: Vec<OutsideLink>,
    #[serde(default)]
    pub outside_links_count: u64,
    /// What may come as a surprise later.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// What may come as a surprise later. Where that depends on the program that shows it, it is a case
/// with its context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// A sentence that every program shows.
    Text(String),
    /// A server on this PostgreSQL data directory would write outside of it.
    ClusterLinksOut {
        directory: PathBuf,
        /// The first of the links by which it would, in words.
        links: String,
    },
    /// A start will refuse this PostgreSQL data directory.
    ClusterRefused { directory: PathBuf, why: String },
    /// A PostgreSQL data directory is without its configuration.
    ClusterWithoutConfiguration {
        directory: PathBuf,
        /// The file that its server had, where that is known.
        elsewhere: Option<PathBuf>,
    },
}

/// A symbolic link that leads out of an imported directory. What is not UTF-8 is shown with
/// replacement characters, and its own bytes are in a separate field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutsideLink {
    /// The path from the root of the branch.
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_bytes: Option<RawBytes>,
    pub target: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target_bytes: Option<RawBytes>,
}

/// Copies a branch into the empty directory that comes as the descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    pub name: String,
    /// Where the directory is, for messages.
    pub target: PathBuf,
}

impl Ask for Export {
    type Answer = Exported;
    const ONLY_READS: bool = true;
    const TAKES_LONG: bool = true;
}

/// A branch that was copied out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    pub branch: String,
    /// The number of things that are not directories.
    pub files: u64,
    /// Bytes of data written.
    pub bytes: u64,
    pub elapsed_us: u64,
}

/// Makes an empty branch that a command fills and publishes as `name`. It is deleted when the
/// connection ends before that. The answer is the name that it has until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    pub name: String,
}

impl Ask for Reserve {
    type Answer = String;
}

/// Gives a reserved branch its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// What [`Reserve`] answered.
    pub hidden: String,
    pub name: String,
}

impl Ask for Publish {
    type Answer = ();
}

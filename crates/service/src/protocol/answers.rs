//! What comes back: one type per kind of answer, whose fields are the JSON contract.
//!
//! Sizes are bytes, durations microseconds, times RFC 3339. A path that is not UTF-8 is shown with
//! replacement characters; where programs need it, its bytes stand beside it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::protocol::raw::RawBytes;
use crate::protocol::requests::Mount;

/// The answer to a [`crate::Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// A store was made.
    Made(Made),
    /// A directory was copied in.
    Imported(Imported),
    /// A branch was copied out.
    Exported(Exported),
    /// Branches or a snapshot were made.
    Created(CreatedList),
    /// The branches there are.
    Branches(BranchList),
    /// What the store costs.
    StoreUsage(StoreUsage),
    /// What a branch costs.
    BranchUsage(BranchUsage),
    /// A branch was renamed, reset or unmounted.
    Branch(OneBranch),
    /// Branches were deleted.
    Deleted(Deleted),
    /// What differs.
    Diff(Diff),
    /// What a check found.
    Checked(Checked),
    /// What a repair copied.
    Repaired(Repaired),
    /// A server was started.
    Server(ServerRow),
    /// The servers there are.
    Servers(ServerList),
    /// A server's data was taken in.
    TakenIn(TakenIn),
    /// A branch was mounted.
    Mounted(Mounted),
    /// The facts a door needs.
    Inspected(Inspected),
    /// The mounts that are being served.
    Mounts(Vec<(String, Mount)>),
    /// Whether a command began.
    Began(bool),
    /// The names of the branches there are.
    Names(Vec<String>),
    /// What is in a directory.
    Entries(Entries),
    /// What the kernel may keep.
    Kept(Kept),
    /// Done, with nothing to say.
    Done(Done),
}

impl Response {
    /// The object of the JSON contract, without its version.
    pub fn to_json(&self) -> serde_json::Value {
        let object = match self {
            Response::Made(it) => serde_json::to_value(it),
            Response::Imported(it) => serde_json::to_value(it),
            Response::Exported(it) => serde_json::to_value(it),
            Response::Created(it) => serde_json::to_value(it),
            Response::Branches(it) => serde_json::to_value(it),
            Response::StoreUsage(it) => serde_json::to_value(it),
            Response::BranchUsage(it) => serde_json::to_value(it),
            Response::Branch(it) => serde_json::to_value(it),
            Response::Deleted(it) => serde_json::to_value(it),
            Response::Diff(it) => serde_json::to_value(it),
            Response::Checked(it) => serde_json::to_value(it),
            Response::Repaired(it) => serde_json::to_value(it),
            Response::Server(it) => serde_json::to_value(it),
            Response::Servers(it) => serde_json::to_value(it),
            Response::TakenIn(it) => serde_json::to_value(it),
            Response::Mounted(it) => serde_json::to_value(it),
            Response::Inspected(it) => serde_json::to_value(it),
            Response::Mounts(it) => serde_json::to_value(it),
            Response::Began(it) => serde_json::to_value(it),
            Response::Names(it) => serde_json::to_value(it),
            Response::Entries(it) => serde_json::to_value(it),
            Response::Kept(it) => serde_json::to_value(it),
            Response::Done(it) => serde_json::to_value(it),
        };
        object.unwrap_or_default()
    }
}

/// A store was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Its path.
    pub store: PathBuf,
}

/// A directory was copied into a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// The new branch.
    pub branch: String,
    /// Things that are not directories.
    pub files: u64,
    /// Directories, without the root.
    pub directories: u64,
    /// Bytes of data read.
    pub bytes: u64,
    /// How long it took.
    pub elapsed_us: u64,
    /// The first links that lead out of the directory, by path.
    #[serde(default)]
    pub outside_links: Vec<OutsideLink>,
    /// How many such links there are.
    #[serde(default)]
    pub outside_links_count: u64,
    /// What may come as a surprise later.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A symbolic link by which one comes out of an imported directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutsideLink {
    /// The path from the root of the branch.
    pub path: String,
    /// The path's own bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_bytes: Option<RawBytes>,
    /// What the link says.
    pub target: String,
    /// Its own bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target_bytes: Option<RawBytes>,
}

/// A branch was copied out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// The branch.
    pub branch: String,
    /// Things that are not directories.
    pub files: u64,
    /// Bytes of data written.
    pub bytes: u64,
    /// How long it took.
    pub elapsed_us: u64,
}

/// Branches or a snapshot were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreatedList {
    /// Each of them.
    pub created: Vec<Created>,
}

/// A branch or a snapshot was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// Its name.
    pub name: String,
    /// What it was made from.
    pub from: String,
    /// How long the fork took.
    pub elapsed_us: u64,
    /// How long the mount took to hand over what was written before; 0 where nothing was mounted.
    pub flush_us: u64,
}

/// The branches of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchList {
    /// Sorted by name.
    pub branches: Vec<BranchRow>,
}

/// Whether a branch can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Writable.
    Branch,
    /// Sealed.
    Snapshot,
}

/// One branch of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchRow {
    /// Its name.
    pub name: String,
    /// The branch that it was made from, while that exists.
    pub parent: Option<String>,
    /// Whether it can be written.
    pub kind: Kind,
    /// When it was made.
    pub created: String,
    /// When it may be deleted.
    pub expires: Option<String>,
    /// Bytes that it reaches.
    pub referenced_bytes: u64,
    /// Bytes that only it reaches; absent where counting them would have taken too long.
    pub exclusive_bytes: Option<u64>,
    /// Where it is mounted.
    pub mounted_at: Option<PathBuf>,
}

/// What a branch costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchUsage {
    /// The branch.
    pub branch: String,
    /// Bytes that it reaches.
    pub referenced_bytes: u64,
    /// Bytes that deleting it would free.
    pub exclusive_bytes: u64,
    /// Bytes that only its kept fork point reaches.
    pub pinned_by_base_bytes: u64,
}

/// What a store costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreUsage {
    /// Bytes that the file takes on the host.
    pub file_bytes: u64,
    /// Bytes of data blocks in use.
    pub data_bytes: u64,
    /// Bytes of everything that finds them.
    pub metadata_bytes: u64,
    /// Bytes in the file that can be used again.
    pub free_bytes: u64,
    /// Bytes of deleted branches that are being freed: at most so many.
    pub reclaim_pending_bytes: u64,
    /// How many branches there are.
    pub branches: u64,
}

/// A branch that something was done to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneBranch {
    /// Its name.
    pub branch: String,
}

/// Branches were deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deleted {
    /// Their names.
    pub deleted: Vec<String>,
}

/// What differs between two versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// Sorted by path.
    pub changes: Vec<Change>,
}

/// How a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content changed.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another path; its content may have changed too.
    Renamed,
    /// Its mode, owner, times or extended attributes changed, and its content did not.
    Metadata,
}

/// One changed path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The path from the root of the branch.
    pub path: String,
    /// How it changed.
    pub change: ChangeKind,
    /// The path's own bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_bytes: Option<RawBytes>,
    /// The path it had, of a renamed one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// Its own bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_bytes: Option<RawBytes>,
    /// Bytes of data that were written or went away.
    pub bytes: u64,
}

/// The entries of a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entries {
    /// The branch.
    pub branch: String,
    /// Sorted by name.
    pub entries: Vec<EntryRow>,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryRow {
    /// Its name.
    pub name: String,
    /// The name's own bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name_bytes: Option<RawBytes>,
    /// `file`, `directory`, `symlink`, `fifo`, `socket`, `character-device` or `block-device`.
    pub kind: String,
    /// Permission bits in octal.
    pub mode: String,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Bytes of a file or of the target of a link.
    pub bytes: u64,
    /// When its data last changed.
    pub modified: String,
    /// Where a symbolic link leads.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// The target's own bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target_bytes: Option<RawBytes>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is lost.
    Warning,
    /// Something is wrong.
    Error,
    /// The rest could not be checked.
    Fatal,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// What is wrong; empty for a sound store.
    pub findings: Vec<Finding>,
    /// Blocks whose checksums were verified.
    pub blocks_checked: u64,
}

/// What a repair copied into a new store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repaired {
    /// The new store.
    pub store: PathBuf,
    /// Branches and snapshots in it.
    pub branches: u64,
    /// Blocks of data copied into it.
    pub blocks_copied: u64,
    /// What could not be copied; empty when nothing was lost.
    pub lost: Vec<Finding>,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// Where.
    #[serde(rename = "where")]
    pub place: String,
}

impl From<tine_store::Finding> for Finding {
    fn from(finding: tine_store::Finding) -> Finding {
        let severity = match finding.severity {
            tine_store::Severity::Warning => Severity::Warning,
            tine_store::Severity::Error => Severity::Error,
            tine_store::Severity::Fatal => Severity::Fatal,
        };
        Finding { severity, what: finding.what, place: finding.place }
    }
}

/// A branch was mounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mounted {
    /// The branch.
    pub branch: String,
    /// Where.
    pub directory: PathBuf,
}

/// A server on a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerRow {
    /// The branch.
    pub branch: String,
    /// How to connect, over its Unix socket.
    pub uri: String,
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
    /// Its process.
    pub pid: u32,
    /// How long the start took, where it was just started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub elapsed_us: Option<u64>,
}

/// The servers on branches of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerList {
    /// Sorted by branch.
    pub servers: Vec<ServerRow>,
}

/// A server's data was taken in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TakenIn {
    /// The new branch.
    pub branch: String,
    /// Bytes that the server sent.
    pub bytes: u64,
    /// How long it took.
    pub elapsed_us: u64,
    /// What may come as a surprise later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The facts that a door needs before it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    /// The number of the branch.
    pub id: u64,
    /// What tells the branch from every other, in other stores too.
    pub identity: String,
    /// Whether the branch is a snapshot.
    pub sealed: bool,
    /// Whether it has a fork point to go back to.
    pub forked: bool,
    /// The directory that it was imported from, or whose branch it was made from.
    pub origin: Option<PathBuf>,
    /// Where it is mounted.
    pub mount: Option<Mount>,
}

/// Done, with nothing to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_its_place_as_the_contract_does() {
        let finding =
            Finding { severity: Severity::Fatal, what: "x".into(), place: "block 3".into() };
        let text = serde_json::to_string(&finding).unwrap();
        assert_eq!(text, r#"{"severity":"fatal","what":"x","where":"block 3"}"#);
    }

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

/// The files of a mount of which the kernel may have data that the store lacks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// A name to be looked up in the mounted root, to no avail: it proves that this is the mount.
    pub visitor: String,
    /// The files, by inode; each with its path below the root, where it has one.
    pub files: Vec<(u64, Option<RawBytes>)>,
}

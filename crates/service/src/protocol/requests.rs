//! Everything that can be asked of a store, as one type.
//!
//! Paths in a request are for messages: the directory itself travels beside the request as an open
//! descriptor, so that it means the same in whatever mount namespace the holder lives.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::protocol::raw::RawBytes;

/// A request; [`crate::execute`] answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Fork `from` as `new`, or as `new-1` … `new-count`.
    Branch {
        /// The name, or the stem of the names.
        new: String,
        /// The branch to fork.
        from: String,
        /// How many; absent makes one, named `new` itself.
        count: Option<u32>,
        /// Seconds until it may be deleted.
        ttl_s: Option<u64>,
    },
    /// The branch that forks are made from unless told otherwise: the only one without a parent.
    Root,
    /// Make an empty branch.
    Create {
        /// Its name.
        name: String,
    },
    /// Seal what `from` holds now as `new`.
    Snapshot {
        /// The branch to seal a point of.
        from: String,
        /// The name of the snapshot.
        new: String,
    },
    /// Every branch.
    List,
    /// The names of all branches, and nothing that takes time to count.
    Names,
    /// What the store costs, or one branch.
    Usage {
        /// The branch; absent means the store.
        name: Option<String>,
    },
    /// Give a branch another name.
    Rename {
        /// The name it has.
        old: String,
        /// The name it gets.
        new: String,
    },
    /// Delete branches, all or none.
    Delete {
        /// Their names.
        names: Vec<String>,
        /// Whether mounted ones are detached first.
        force: bool,
    },
    /// Put a branch back to its fork point, or to what another holds.
    Reset {
        /// The branch.
        name: String,
        /// The branch or snapshot whose content it takes.
        to: Option<String>,
        /// Whether a mounted one is detached first.
        force: bool,
    },
    /// What changed since the fork point, or from `name` to `other`.
    Diff {
        /// The branch.
        name: String,
        /// The other side.
        other: Option<String>,
    },
    /// Verify everything.
    Check,
    /// The entries of a directory of a branch.
    Entries {
        /// The branch.
        name: String,
        /// The path from its root.
        path: RawBytes,
    },
    /// Write the bytes of a file of a branch into the pipe that comes as the first descriptor.
    Read {
        /// The branch.
        name: String,
        /// The path from its root.
        path: RawBytes,
    },
    /// Copy the directory that comes as the first descriptor into a new branch.
    Import {
        /// Where the directory is, for messages and as the branch's own place.
        source: PathBuf,
        /// The new branch.
        name: String,
    },
    /// Copy a branch into the empty directory that comes as the first descriptor.
    Export {
        /// The branch.
        name: String,
        /// Where the directory is, for messages.
        target: PathBuf,
    },
    /// An empty branch to be filled and published as `name`; it goes when the connection does.
    Reserve {
        /// The name that it is to get.
        name: String,
    },
    /// Give a reserved branch its name.
    Publish {
        /// The reserved branch.
        hidden: String,
        /// The name that it gets.
        name: String,
    },
    /// What a door to a branch needs to know before it is made.
    Inspect {
        /// The branch.
        name: String,
    },
    /// Serve a branch over the mounted FUSE device that comes as the first descriptor.
    Attach {
        /// The branch.
        name: String,
        /// Where it is mounted.
        mount: Mount,
        /// What the users of the mount's user namespace are called outside: ranges of the first inside, the
        /// first outside, and how many.
        users: Vec<(u32, u32, u32)>,
        /// The groups.
        groups: Vec<(u32, u32, u32)>,
        /// The FUSE minor version and capabilities that were negotiated while it was mounted; absent if
        /// the kernel still waits for the answer to INIT.
        negotiated: Option<(u32, u64)>,
    },
    /// Whether the command that a branch was mounted for got as far as its mount; asked once.
    Began {
        /// The branch.
        name: String,
        /// The process that waits for the command.
        run: u32,
    },
    /// End the connection of a mount, wherever the mount still is: who works in it gets errors.
    Cut {
        /// The branch.
        name: String,
    },
    /// The mounts that are being served.
    Mounts,
    /// What the kernel may keep of the files of a mounted branch.
    Kept {
        /// The branch.
        name: String,
    },
    /// Have the kernel write back what it keeps of the files that the command could not reach.
    WriteBack {
        /// The branch.
        name: String,
        /// The name that the command looked up in the mount, see [`crate::response::Kept`].
        visitor: String,
        /// Their inodes; absent means all.
        files: Option<Vec<u64>>,
    },
    /// Wait until a branch is no longer served; at most `timeout_ms`.
    AwaitDetached {
        /// The branch.
        name: String,
        /// Milliseconds.
        timeout_ms: u64,
    },
}

impl Request {
    /// Whether it changes nothing of the store. A fork that an export reads from may be made in memory.
    pub fn only_reads(&self) -> bool {
        use Request::*;
        match self {
            Root
            | List
            | Names
            | Usage { .. }
            | Diff { .. }
            | Check
            | Entries { .. }
            | Read { .. }
            | Export { .. }
            | Inspect { .. }
            | Mounts => true,
            Create { .. } | Branch { .. } | Snapshot { .. } | Rename { .. } | Delete { .. } => {
                false
            }
            Reset { .. } | Import { .. } | Reserve { .. } | Publish { .. } | Attach { .. } => false,
            Began { .. } | Cut { .. } | AwaitDetached { .. } => false,
            Kept { .. } | WriteBack { .. } => false,
        }
    }
}

/// A place where a branch is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The directory, as those who work in it name it.
    pub directory: PathBuf,
    /// The process whose private mount namespace it is in; absent for a mount that everybody sees.
    pub private_to: Option<u32>,
    /// The process that started that one and waits for its end.
    pub run: Option<u32>,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Whether other users are let in.
    pub allow_other: bool,
    /// The number of its file system as `MAJOR:MINOR`, which tells it from all that is mounted on this
    /// machine; absent until it is mounted.
    pub device: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire() {
        let request = Request::Usage { name: Some("a".into()) };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"usage":{"name":"a"}}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
    }
}

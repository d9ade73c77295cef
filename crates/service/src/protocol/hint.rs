//! What to do about an error. Where that depends on the program that shows it, the hint is a case
//! with its context, and the program puts it into the words of its own commands.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What to do about an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// Advice that every program gives in the same words.
    Text(String),
    /// Several, the first one first.
    All(Vec<Hint>),

    /// Make a store, or name another.
    MakeStore,
    /// Use the store that is there, or name another path.
    UseStoreOrNameAnother,
    /// Name the path of a store.
    NameStore,
    /// Read from the store, which works, or copy the file to a place where it can be written.
    ReadOrCopyStore,
    /// Copy the branch out: a mount needs a socket next to the store, which cannot be made there.
    ExportInstead { branch: String },
    /// Move a store back that was moved while it is served, or save what is in it.
    SaveRemoved { branch: String },
    /// Save what is in the mounts of a store that another has replaced.
    SaveReplaced { directory: PathBuf },
    /// Copy what is whole in a damaged store into a new one.
    RepairStore,
    /// The same, where a check says more.
    CheckAndRepairStore,
    /// Check the disk, then the store.
    CheckDiskAndStore,
    /// Unmount the branches, see what is there, and do the rest of the command again.
    RedoAfterUnmount,

    /// Look which branches there are.
    ListBranches,
    /// Look which branches are mounted.
    ListMounts,
    /// Unmount the branches that are mounted, this one among them.
    UnmountAll { branch: String },
    /// Name another branch, or write paths behind dashes.
    PathsBehindDashes,
    /// Look what is in a branch.
    ListDirectory { branch: String },
    /// Import a directory before anything else.
    ImportFirst,
    /// Import the directory under a name, so that it can be refreshed.
    ImportAnew,
    /// Say which branch to fork.
    NameParent,
    /// Bring a deleted branch back.
    UndoDelete { branch: String },
    /// Give a branch another name, so that a deleted one can have it again.
    RenameForUndo { branch: String },
    /// Look which points a branch has.
    ShowLog { branch: String },
    /// Work in a fork of a snapshot.
    ForkSnapshot { name: String },
    /// Fork a branch instead of using it.
    ForkInstead { branch: String },
    /// Fork without a flush.
    ForkWithoutFlush,
    /// Fork a branch instead of importing its mount, or unmount it.
    ForkMounted { branch: String },
    /// Move the store out of a directory that is to be imported, and say where it is then.
    MoveStoreOut,

    /// End the use of a branch, or do without.
    InUse {
        branch: String,
        /// What uses it.
        by: UsedBy,
        /// What was wanted of it.
        wanted: Wanted,
    },
    /// Name another directory, or unmount the one that is mounted there.
    UnmountDirectory { directory: PathBuf },

    /// Make the branch for the command.
    MakeBranchForRun,
    /// Run the command in a fresh branch.
    RunInFreshBranch,
    /// Say where the command finds the branch.
    NameRunDirectory,
    /// The directory must be there; or name another.
    MakeOrNameRunDirectory,

    /// Use the server that runs, or stop it.
    UseOrStopServer { branch: String },
    /// Look which servers run.
    ListServers,
    /// Start the server again.
    StartServerAgain { branch: String },
    /// Unmount the branch, or mount it for other users, so that a server can use it.
    MountForServer { branch: String },
    /// Name another port, or none.
    NamePort,
    /// Name the data directory inside the branch.
    NameDataDirectory,
    /// Choose one of several data directories.
    ChooseDataDirectory,
    /// Import the server while it runs, or stop it.
    ImportOrStopServer,
    /// Import the server, or replace the links that lead out of its directory.
    ImportServerOrReplaceLinks,
    /// Import the server with its tablespaces.
    ImportServerWithTablespaces,
    /// Copy configuration files into the data directory, or import the server.
    CopyConfiguration {
        /// Where they are, in words.
        of: String,
    },
}

/// What uses a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsedBy {
    /// A PostgreSQL server.
    Server,
    /// A mount that all processes see.
    Mount,
    /// A command that was run inside it.
    Command,
    /// What such a command left behind, or a copy of a mount.
    Leftovers,
}

/// What a command wanted of a branch that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// To take its mount off, which can be forced.
    Unmounted,
    /// To delete or reset it, which can be forced.
    Changed,
    /// To rename it, which cannot.
    Renamed,
    /// To mount it or to run something in it.
    Entered,
}

impl From<&str> for Hint {
    fn from(text: &str) -> Hint {
        Hint::Text(text.into())
    }
}

impl From<String> for Hint {
    fn from(text: String) -> Hint {
        Hint::Text(text)
    }
}

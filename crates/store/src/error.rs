//! The one error type of the engine: what happened, to which thing, and why.

use crate::format::block::BlockAddr;
use crate::txn::raw;
use std::io;
use std::path::PathBuf;

/// Result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong. `Display` reads "what, which thing, why".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no file at the path.
    #[error("no store at {}", path.display())]
    StoreNotFound {
        /// Where the store was looked for.
        path: PathBuf,
    },
    /// A file stands where a new store should be made.
    #[error("cannot create a store at {}: the file exists", path.display())]
    StoreExists {
        /// The file in the way.
        path: PathBuf,
    },
    /// The store is open.
    #[error("the store {} is held by {}", path.display(), holder(*here))]
    Locked {
        /// The store's file.
        path: PathBuf,
        /// Whether it is this process that has it open.
        here: bool,
    },
    /// The store was opened by the process that this one was forked from.
    #[error(
        "the store belongs to the process that this one was forked from; open it here once that one has closed it"
    )]
    NotInherited,
    /// The file is not a tine store.
    #[error("{what} is not a tine store: {why}")]
    NotAStore {
        /// The file.
        what: String,
        /// What is missing.
        why: String,
    },
    /// The store was made by a version that this one does not understand.
    #[error("the store has format {found}; this program reads format {known}")]
    Version {
        /// Format number and unknown feature bits found in the superblock.
        found: String,
        /// What this program understands.
        known: String,
    },
    /// The bytes read are not the bytes written.
    #[error("the store is damaged{}: {what}", place(*block))]
    Damaged {
        /// Address in blocks of 4096 bytes; `None` for what lies at no one place.
        block: Option<u64>,
        /// What was expected there, and what is wrong with it.
        what: String,
    },
    /// The host, or the store's limit, has no space for the change.
    #[error("no space left for {what}")]
    NoSpace {
        /// What could not be placed.
        what: String,
    },
    /// No branch has the name.
    #[error("no branch is named {name:?}")]
    BranchNotFound {
        /// The name asked for.
        name: String,
    },
    /// The name is taken.
    #[error("a branch named {name:?} exists")]
    BranchExists {
        /// The name asked for.
        name: String,
    },
    /// The branch is a snapshot.
    #[error("{name:?} is a snapshot and cannot be changed")]
    Sealed {
        /// The snapshot.
        name: String,
    },
    /// The branch was reset after the transaction began. Nothing of it was committed.
    #[error("{name:?} was reset after the transaction began; begin it again")]
    BranchReset {
        /// The branch.
        name: String,
    },
    /// The branch was made empty, so it has no fork point to go back to.
    #[error("{name:?} was made empty and has no fork point; name what to reset it to")]
    NoForkPoint {
        /// The branch.
        name: String,
    },
    /// The name breaks the rule for names.
    #[error("{name:?} cannot name {thing}: {why}")]
    NameInvalid {
        /// What was to be named.
        thing: &'static str,
        /// The name given.
        name: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// A key, value or buffer exceeds its limit.
    #[error("{what} of {len} {unit} exceeds the limit of {limit}")]
    TooLarge {
        /// Key, value, buffer or run.
        what: &'static str,
        /// Its length.
        len: usize,
        /// What the length and the limit count.
        unit: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Data that is not made of whole blocks.
    #[error("data of {len} bytes cannot be staged: it must be whole blocks of 4096 bytes")]
    PartBlock {
        /// Its length in bytes.
        len: usize,
    },
    /// Two things that were to be used together are of different stores.
    #[error("{what} of another store cannot be used here; read the data there and write it here")]
    OtherStore {
        /// What is of the other store.
        what: &'static str,
    },
    /// A key or a map prefix holds an entry of the other kind.
    #[error("the entry at {key} is {found}, not {wanted}")]
    WrongKind {
        /// The key, in hexadecimal.
        key: String,
        /// What is there.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A write or flush failed earlier; nothing more is written into this store until it is
    /// reopened.
    #[error(
        "the store stopped taking writes after an earlier failure: {why}; reopen it to recover"
    )]
    Poisoned {
        /// The failure that came first.
        why: String,
    },
    /// The operating system refused an operation.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, to which thing.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Error {
        let what = what.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace { what },
            io::ErrorKind::FileTooLarge => {
                Error::NoSpace { what: format!("{what}, as the host allows no larger file") }
            }
            _ => Error::Io { what, source },
        }
    }

    pub(crate) fn wrong_kind(key: &[u8], found: &'static str, wanted: &'static str) -> Error {
        let key = hex(&raw(key).unwrap_or(key.into()));
        Error::WrongKind { key, found, wanted }
    }

    /// Damage that lies at no one place.
    pub(crate) fn damaged(what: impl Into<String>) -> Error {
        Error::Damaged { block: None, what: what.into() }
    }

    pub(crate) fn damaged_at(block: BlockAddr, what: impl Into<String>) -> Error {
        Error::Damaged { block: Some(block.0), what: what.into() }
    }
}

/// Refuses what has more bytes than it may.
pub(crate) fn limit(what: &'static str, len: usize, limit: usize) -> Result<()> {
    if len > limit { Err(Error::TooLarge { what, len, unit: "bytes", limit }) } else { Ok(()) }
}

fn place(block: Option<u64>) -> String {
    block.map_or_else(String::new, |block| format!(" at block {block}"))
}

fn holder(here: bool) -> &'static str {
    if here { "this process; use the handle that opened it" } else { "another process" }
}

/// A key as messages show it.
pub(crate) fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! What can go wrong, each with what a person needs to act.

use std::path::PathBuf;

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that a store can answer instead of a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("store {} does not exist", path.display())]
    StoreNotFound { path: PathBuf },
    #[error("store {} exists already", path.display())]
    StoreExists { path: PathBuf },
    #[error("store {} is in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("store {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("store {} has format version {found}, this program reads up to {known}", path.display())]
    Version { path: PathBuf, found: u32, known: u32 },
    #[error("{} is not a tine store", path.display())]
    NotAStore { path: PathBuf },
    #[error("no space left for {what}")]
    NoSpace { what: String },
    #[error("no branch named {name}")]
    BranchNotFound { name: String },
    #[error("a branch named {name} exists already")]
    BranchExists { name: String },
    #[error("branch {name} is a snapshot and cannot be written")]
    Sealed { name: String },
    #[error("branch name {name:?} is not allowed: {why}")]
    NameInvalid { name: String, why: String },
    #[error("{what} of {bytes} bytes is too large, at most {bytes_max}")]
    TooLarge { what: &'static str, bytes: usize, bytes_max: usize },
    #[error("store takes no more writes: {why}")]
    Poisoned { why: String },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

//! What can go wrong with a file, and the `errno` of each error.

use crate::Ino;

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on files did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum Error {
    /// A directory has no entry of this name.
    #[error("no entry {name:?} in directory {parent}")]
    NoEntry { parent: Ino, name: String },
    /// No file has this number (any more).
    #[error("no file with inode number {ino}")]
    NoInode { ino: Ino },
    /// The name is taken.
    #[error("directory {parent} has an entry {name:?} already")]
    Exists { parent: Ino, name: String },
    /// A directory was expected.
    #[error("inode {ino} is not a directory")]
    NotDirectory { ino: Ino },
    /// Anything but a directory was expected.
    #[error("inode {ino} is a directory")]
    IsDirectory { ino: Ino },
    /// A directory to be removed or replaced has entries.
    #[error("directory {ino} is not empty")]
    NotEmpty { ino: Ino },
    /// A name or a target of a link is longer than the limit.
    #[error("a name of {bytes} bytes is longer than {bytes_max}")]
    NameTooLong { bytes: usize, bytes_max: usize },
    /// The file has as many names, or the directory as many subdirectories, as it can have.
    #[error("inode {ino} has as many links as it can have")]
    TooManyLinks { ino: Ino },
    /// An argument makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The operation is not allowed on this kind of file, also not for root.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// A file would become larger than the largest file.
    #[error("inode {ino} cannot grow to {bytes} bytes")]
    FileTooLarge { ino: Ino, bytes: u64 },
    /// A seek finds neither data nor hole there.
    #[error("nothing to be found in inode {ino} at or after offset {offset}")]
    NoOffset { ino: Ino, offset: u64 },
    /// The file has no extended attribute of this name.
    #[error("inode {ino} has no extended attribute {name:?}")]
    NoXattr { ino: Ino, name: String },
    /// The file has an extended attribute of this name already.
    #[error("inode {ino} has an extended attribute {name:?} already")]
    XattrExists { ino: Ino, name: String },
    /// A value of an extended attribute, or the list of their names, is longer than the limit.
    #[error("an extended attribute of {bytes} bytes is larger than {bytes_max}")]
    XattrTooLarge { bytes: usize, bytes_max: usize },
    /// The operation is not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A record in the branch makes no sense.
    #[error("damaged file tree: {what} of inode {ino}")]
    Damaged { ino: Ino, what: &'static str },
    /// A record that belongs to no single file makes no sense.
    #[error("damaged file tree: {what}")]
    DamagedTree { what: &'static str },
    /// The branch holds no file tree.
    #[error("branch {branch} holds no file tree")]
    NotFormatted { branch: String },
    /// The file tree was written by a newer program.
    #[error(
        "the file tree of branch {branch} has version {found}; this program reads up to {known}"
    )]
    Version { branch: String, found: u8, known: u8 },
    /// The store could not do its part.
    #[error(transparent)]
    Store(#[from] tine_store::Error),
}

impl Error {
    /// The `errno` for the program.
    pub fn errno(&self) -> i32 {
        use tine_store::Error as Store;
        match self {
            Error::NoEntry { .. } | Error::NoInode { .. } => libc::ENOENT,
            Error::Exists { .. } | Error::XattrExists { .. } => libc::EEXIST,
            Error::NotDirectory { .. } => libc::ENOTDIR,
            Error::IsDirectory { .. } => libc::EISDIR,
            Error::NotEmpty { .. } => libc::ENOTEMPTY,
            Error::NameTooLong { .. } => libc::ENAMETOOLONG,
            Error::TooManyLinks { .. } => libc::EMLINK,
            Error::Invalid(_) => libc::EINVAL,
            Error::NotPermitted(_) => libc::EPERM,
            Error::FileTooLarge { .. } => libc::EFBIG,
            Error::NoOffset { .. } => libc::ENXIO,
            Error::NoXattr { .. } => libc::ENODATA,
            Error::XattrTooLarge { .. } => libc::E2BIG,
            Error::Unsupported(_) => libc::EOPNOTSUPP,
            Error::Damaged { .. } | Error::DamagedTree { .. } => libc::EIO,
            Error::NotFormatted { .. } | Error::Version { .. } => libc::EIO,
            Error::Store(Store::NoSpace { .. }) => libc::ENOSPC,
            Error::Store(Store::Sealed { .. }) => libc::EROFS,
            Error::Store(Store::BranchNotFound { .. } | Store::BranchReset { .. }) => libc::ESTALE,
            Error::Store(_) => libc::EIO,
        }
    }
}

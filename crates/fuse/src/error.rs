//! Why a mount could not be made, served or taken off.

use std::io;

/// The result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong with a mount.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Mounting or unmounting failed.
    #[error(transparent)]
    System(#[from] tine_sys::Error),
    /// The mount was gone before its first request.
    #[error("the mount was taken off before it could be served")]
    NotMounted,
    /// The kernel speaks an unknown or too old version of FUSE.
    #[error("the kernel's FUSE cannot be served: {0}; Linux 5.4 or later is needed")]
    Protocol(String),
    /// The mount is in another namespace.
    #[error("the mount is in another namespace; it ends with the last process there")]
    Elsewhere,
    /// The store did not take what the kernel wrote back.
    #[error("the store did not take what the kernel kept of the mount: {0}")]
    NotTaken(String),
    /// A thread could not be started, or a descriptor not be made.
    #[error("cannot start serving a mount: {0}")]
    Start(#[source] io::Error),
}

impl Error {
    /// What a person can do about it.
    pub fn advice(&self) -> Option<&str> {
        match self {
            Error::System(error) => error.advice(),
            _ => None,
        }
    }
}

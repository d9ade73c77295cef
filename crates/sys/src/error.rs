//! A system call that failed: what was attempted, why it failed, and what the user can do.

use std::io;

/// The result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed attempt, with advice if there is any.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Error {
    what: String,
    hint: Option<String>,
    source: io::Error,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error { what: what.into(), hint: None, source: source.into() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// What the user can do about it.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The errno of the failed call, or `EIO` where there was none.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(libc::EIO)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

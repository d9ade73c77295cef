//! Other systems: everything is there by name, and every way in says what is missing.

use std::convert::Infallible;
use std::path::Path;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong: this system is not Linux.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system lacks what this crate rests on.
    #[error("copy-on-write memory needs Linux 6.8 or later; this system is {system}")]
    Unsupported {
        /// The system's name.
        system: &'static str,
    },
}

/// Immutable memory, which this system cannot have.
#[derive(Clone, Debug)]
pub struct Image(Infallible);

/// Writable memory with an image below it, which this system cannot have.
#[derive(Debug)]
pub struct Region(Infallible);

impl Image {
    /// Always [`Error::Unsupported`].
    pub fn zeroed(_len: usize) -> Result<Self> {
        Err(unsupported())
    }

    /// Always [`Error::Unsupported`].
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self> {
        Err(unsupported())
    }

    /// Always [`Error::Unsupported`].
    pub fn from_file(_path: impl AsRef<Path>) -> Result<Self> {
        Err(unsupported())
    }

    /// Never reached: there is no image.
    pub fn fork(&self) -> Result<Region> {
        match self.0 {}
    }
}

impl Region {
    /// Always [`Error::Unsupported`].
    pub fn zeroed(_len: usize) -> Result<Self> {
        Err(unsupported())
    }

    /// Never reached: there is no region.
    pub fn fork(&mut self) -> Result<Region> {
        match self.0 {}
    }

    /// Never reached: there is no region.
    pub fn reset(&mut self) -> Result<()> {
        match self.0 {}
    }
}

impl std::ops::Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.0 {}
    }
}

impl std::ops::DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self.0 {}
    }
}

fn unsupported() -> Error {
    Error::Unsupported { system: std::env::consts::OS }
}

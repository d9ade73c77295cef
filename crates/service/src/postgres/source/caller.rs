//! Who asks for the import: what a client program that they start would find and read.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::postgres::account;

/// The user of this process, with its surroundings.
pub(super) struct Caller {
    /// The user's name.
    pub name: String,
    home: PathBuf,
    /// Where relative paths begin.
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Caller {
    pub fn of_this_process() -> Self {
        let environment: Vec<_> = std::env::vars_os().collect();
        let (name, recorded) = account::this_user();
        let given = environment.iter().find(|(name, value)| name == "HOME" && !value.is_empty());
        let home = given.map_or(recorded, |(_, home)| home.into());
        // A directory that was removed has no files.
        let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
        Self { name, home, directory, environment }
    }

    /// A variable of the environment, which may be set and empty.
    pub fn variable(&self, name: &str) -> Option<Vec<u8>> {
        let found = self.environment.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.clone().into_vec())
    }

    /// A file below the home directory.
    pub fn at_home(&self, name: &str) -> PathBuf {
        self.directory.join(&self.home).join(name)
    }

    /// A path as it was given, from wherever this process stands.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }
}

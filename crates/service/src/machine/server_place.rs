//! The directory of a branch while a server runs on it or a copy fills it: its mount point, socket
//! and record.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::machine::runtime;
use crate::protocol::{Error, Result};

/// Where the record of the server is.
pub fn record_path(place: &Path) -> PathBuf {
    place.join("server.json")
}

/// Removes what a start or an import that was killed left of its directories. Nothing is mounted
/// there.
pub fn remove_unless_recorded(place: &Path) {
    if !record_path(place).exists() {
        // What cannot be removed is in no way of a later server.
        let _ = remove(place);
    }
}

/// Removes the directory and all that a server leaves in it.
pub fn remove(place: &Path) -> Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::path("remove", place, error))
        }
        _ => Ok(()),
    };
    // Never into a mount: the directory of a mount must be empty by now.
    gone(fs::remove_dir(runtime::mount_in(place)))?;
    gone(fs::remove_dir_all(place.join("run")))?;
    gone(fs::remove_file(record_path(place).with_extension("new")))?;
    gone(fs::remove_file(record_path(place)))?;
    gone(fs::remove_dir(place))?;
    if let Some(of_store) = place.parent() {
        runtime::remove_if_empty(of_store);
    }
    Ok(())
}

//! What is remembered of a server that runs on a branch, in a file beside its socket.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::machine::runtime;
use crate::machine::server_place::record_path;
use crate::postgres::Server;
use crate::protocol::{Error, Result};

/// What is remembered of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub branch: String,
    pub server: Server,
    /// Whether the mount was made for the server, and goes with it.
    pub own_mount: bool,
    /// Whether it took connections; otherwise a command waits for that, or was killed at it.
    #[serde(default = "yes")]
    pub ready: bool,
}

/// Records were once written of servers that took connections only.
fn yes() -> bool {
    true
}

/// The records of the servers of a store, each with its place.
pub fn all(store: &Path) -> Result<Vec<(PathBuf, Record)>> {
    let mut found = Vec::new();
    for place in runtime::branches(store)? {
        if let Some(record) = read(&place)? {
            found.push((place, record));
        }
    }
    Ok(found)
}

pub fn read(place: &Path) -> Result<Option<Record>> {
    let path = record_path(place);
    match fs::read(&path) {
        // A record that was cut short is of a server that never came up.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::path("read", &path, error)),
    }
}

pub fn write(place: &Path, record: &Record) -> Result<()> {
    let path = record_path(place);
    let text = serde_json::to_vec(record).map_err(|error| Error::io("recording", error))?;
    // Whole or not at all: a server without a record is one that nobody stops.
    let unfinished = path.with_extension("new");
    let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &path));
    written.map_err(|error| Error::path("write", &path, error))
}

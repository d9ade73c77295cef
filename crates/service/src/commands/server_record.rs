//! What is remembered of a server that runs on a branch, in a file next to its socket.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::machine::runtime;
use crate::machine::server_place::record_path;
use crate::postgres::Server;
use crate::protocol::{Code, Error, Result};

/// A record is some hundred bytes.
const BYTES_MAX: u64 = 1 << 16;

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
    /// Whether another command ends the server while it is being started.
    #[serde(default)]
    pub is_stopped: bool,
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

/// Signals are sent to the process that a record names. So a record counts only if no other user
/// could write it.
///
/// # Errors
/// When there is one that cannot be read, or that others may have written.
pub fn read(place: &Path) -> Result<Option<Record>> {
    let path = record_path(place);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match openat(CWD, &path, flags, Mode::empty()).map(File::from) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Error::path("read", &path, error)),
    };
    let failed = |error| Error::path("read", &path, error);
    let meta = file.metadata().map_err(failed)?;
    let is_own = meta.uid() == geteuid().as_raw() || meta.uid() == 0;
    if !meta.is_file() || !is_own || meta.mode() & 0o022 != 0 {
        let what = format!("other users may have written {}", path.display());
        return Err(Error::new(Code::NotPermitted, what)
            .hint("end the server that it is about, see `ps`, and remove the file"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    // A record that was cut short is of a server that never came up.
    Ok(serde_json::from_slice(&bytes).ok())
}

/// Puts a record in the place of the one before.
///
/// # Errors
/// When it cannot be written.
pub fn write(place: &Path, record: &Record) -> Result<()> {
    let path = record_path(place);
    let text = serde_json::to_vec(record).map_err(|error| Error::io("recording", error))?;
    // Whole or not at all: a server without a record is one that no command stops.
    let unfinished = path.with_extension("new");
    let write = || -> io::Result<()> {
        let _none_was_left = fs::remove_file(&unfinished);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        // For this user alone, whatever the caller's mask leaves open.
        let file = openat(CWD, &unfinished, flags, Mode::RUSR | Mode::WUSR)?;
        File::from(file).write_all(&text)?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(|error| Error::path("write", &path, error))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_record_is_for_this_user_alone() {
        let place = tempfile::tempdir().unwrap();
        let server = serde_json::json!({
            "branch": "b",
            "server": {
                "pid": 1,
                "start_ticks": 2,
                "port": 5432,
                "uri": "postgresql:///",
                "directory": "/data",
                "log": "/log",
            },
            "own_mount": true,
            "ready": true,
        });
        let record: Record = serde_json::from_value(server).unwrap();
        // What a killed command left, with a mode of that time.
        fs::write(record_path(place.path()).with_extension("new"), "left").unwrap();
        write(place.path(), &record).unwrap();
        assert_eq!(fs::metadata(record_path(place.path())).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(place.path()).unwrap().unwrap().branch, "b");
    }

    #[test]
    fn a_record_that_others_can_write_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = record_path(place.path());
        assert!(read(place.path()).unwrap().is_none());
        fs::write(&path, "cut sho").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(read(place.path()).unwrap().is_none());
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(place.path()).unwrap_err().code, Code::NotPermitted, "{mode:o}");
        }
        fs::remove_file(&path).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        assert!(read(place.path()).is_err());
    }
}

//! One command at a time starts, stops or tidies up after the server of a branch.
//!
//! The lock is on a file next to the directory of the branch, which goes with the lock: a command
//! that waited for it looks whether what it has locked is still what others would find.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::runtime;
use crate::protocol::{Error, Result};

/// How often a command looks whether another is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Held until it is dropped, or its process ends.
pub struct ServerLock {
    path: PathBuf,
    _file: File,
}

impl ServerLock {
    /// Waits until no other command works on the server of the branch with this number.
    pub fn wait(store: &Path, id: u64) -> Result<ServerLock> {
        let path = path(&runtime::place(store, id));
        loop {
            let file = runtime::make_below(store, &path, || open(&path))?;
            file.lock().map_err(|error| Error::path("lock", &path, error))?;
            if leads_to(&path, &file) {
                return Ok(ServerLock { path, _file: file });
            }
        }
    }

    /// Waits as [`ServerLock::wait`] does, and calls `meanwhile` again and again until the other
    /// command is done.
    pub fn wait_with(
        store: &Path,
        id: u64,
        meanwhile: &mut dyn FnMut() -> Result<()>,
    ) -> Result<ServerLock> {
        let path = path(&runtime::place(store, id));
        loop {
            let file = runtime::make_below(store, &path, || open(&path))?;
            match file.try_lock() {
                Ok(()) if leads_to(&path, &file) => return Ok(ServerLock { path, _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    meanwhile()?;
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(TryLockError::Error(error)) => return Err(Error::path("lock", &path, error)),
            }
        }
    }

    /// The lock of a branch's directory; `None` while a command works there.
    pub fn try_take(place: &Path) -> Result<Option<ServerLock>> {
        let path = path(place);
        let file = match open(&path) {
            Ok(file) => file,
            // So is all that was next to it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::path("open", &path, error)),
        };
        match file.try_lock() {
            // Removed between the two, by a command that was at work.
            Ok(()) if !leads_to(&path, &file) => Ok(None),
            Ok(()) => Ok(Some(ServerLock { path, _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::path("lock", &path, error)),
        }
    }
}

impl Drop for ServerLock {
    fn drop(&mut self) {
        // What cannot be removed serves the next command as well.
        let _ = fs::remove_file(&self.path);
        if let Some(of_store) = self.path.parent() {
            runtime::remove_if_empty(of_store);
        }
    }
}

fn path(place: &Path) -> PathBuf {
    place.with_extension("lock")
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

fn leads_to(path: &Path, file: &File) -> bool {
    let same = || -> io::Result<bool> {
        let (there, here) = (fs::symlink_metadata(path)?, file.metadata()?);
        Ok((there.dev(), there.ino()) == (here.dev(), here.ino()))
    };
    same().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time_though_the_file_goes_with_each() {
        let store = Path::new("/nowhere/server_lock.test");
        let inside = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = ServerLock::wait(store, 7).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        assert!(ServerLock::try_take(&runtime::place(store, 7)).unwrap().is_none());
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        let place = runtime::place(store, 7);
        assert!(!path(&place).exists() && !place.parent().unwrap().exists());
    }
}

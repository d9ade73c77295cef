//! The logs of servers that did not start. The directory of a branch goes with its mount; these
//! stay next to it, until the server of the branch starts, a week has passed, or the machine does.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::runtime;
use crate::postgres;
use crate::protocol::Error;

const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Of a longer log the end is kept.
const BYTES_MAX: u64 = 1 << 20;

/// Keeps the log of the server in `place`, the directory of its branch, and says so in the error of
/// its start.
pub fn keep(place: &Path, error: Error) -> Error {
    let Some(kept) = copy(place) else { return error };
    error.and_hint(format!("its log is kept at {}", kept.display()))
}

/// Removes what was kept of the server in `place`, which has started.
pub fn forget(place: &Path) {
    let Some(path) = path(place) else { return };
    let _none_was_kept = fs::remove_file(&path);
    if let Some(directory) = path.parent() {
        runtime::remove_if_empty(directory);
    }
}

/// `None` if there is no log, or it cannot be kept: the error of the start is the one to tell.
fn copy(place: &Path) -> Option<PathBuf> {
    let text = postgres::end_of_log(&place.join("run/server.log"), BYTES_MAX).ok()?;
    let path = path(place).filter(|_| !text.is_empty())?;
    let directory = path.parent()?;
    runtime::make(directory).ok()?;
    remove_old(directory);
    let _none_was_kept = fs::remove_file(&path);
    let mut log = File::options().write(true).create_new(true).mode(0o600).open(&path).ok()?;
    log.write_all(&text).ok()?;
    Some(path)
}

/// `RUNTIME/STORE/BRANCH` → `RUNTIME/logs/STORE-BRANCH.log`
fn path(place: &Path) -> Option<PathBuf> {
    let (branch, store) = (place.file_name()?, place.parent()?);
    let name = format!("{}-{}.log", store.file_name()?.display(), branch.display());
    Some(store.parent()?.join("logs").join(name))
}

fn remove_old(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|it| it.modified()).map(|time| time.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > KEPT_FOR)) {
            let _it_stays = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Code, Hint};

    #[test]
    fn the_log_outlives_its_place_until_the_server_starts() {
        let runtime = tempfile::tempdir().unwrap();
        let place = runtime.path().join("store/7");
        fs::create_dir_all(place.join("run")).unwrap();
        let error = Error::new(Code::Io, "it did not start").hint("mount it");
        assert_eq!(keep(&place, error.clone()), error, "there is no log");
        fs::write(place.join("run/server.log"), "FATAL:  why\n").unwrap();
        let hint = keep(&place, error).hint;
        let kept = runtime.path().join("logs/store-7.log");
        let log = format!("its log is kept at {}", kept.display());
        assert_eq!(hint, Some(Hint::All(vec!["mount it".into(), log.into()])));
        assert_eq!(fs::read_to_string(&kept).unwrap(), "FATAL:  why\n");
        forget(&place);
        assert!(!runtime.path().join("logs").exists());
    }
}

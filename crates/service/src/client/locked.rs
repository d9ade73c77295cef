//! The process that has a store open, where another cannot open it.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::protocol::{Code, Error};

/// The error of a store that stays locked, with the process that has it open where the system
/// tells.
///
/// That may be the holder of the store under a name that it had before: it listens next to that
/// one.
pub fn explained(error: Error, store: &Path) -> Error {
    if error.code != Code::StoreLocked {
        return error;
    }
    let Some(pid) = owner_of_lock(store) else { return error };
    let what = format!("the store {} is held by process {pid}", store.display());
    let advice = match held_as(pid) {
        Some(other) if other != store => format!(
            "it was opened as {}, before it was moved or under another name: move it back there, or unmount its \
             branches there, which ends that process; then try again",
            other.display()
        ),
        Some(_) if owner_of(pid).is_some_and(|user| user != geteuid().as_raw()) => {
            "another user has branches of it mounted: ask for them to be unmounted, or run the command as that user"
                .into()
        }
        _ => match command_of(pid) {
            Some(command) => format!("that is `{command}`; try again when it has ended"),
            None => "try again when it has ended".into(),
        },
    };
    Error::new(Code::StoreLocked, what).hint(advice)
}

/// Returns `true` if the holder of the store has it under another name. It goes on for as long as
/// its mounts do.
pub fn is_held_elsewhere(store: &Path) -> bool {
    owner_of_lock(store).and_then(held_as).is_some_and(|other| other != store)
}

/// Returns `true` if a process has the store open, as far as the system tells.
pub fn is_held(store: &Path) -> bool {
    owner_of_lock(store).is_some()
}

/// The user that a process runs as.
fn owner_of(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.uid())
}

/// The process that holds a lock on the file, by the kernel's list of locks; `None` where it is
/// another namespace's.
fn owner_of_lock(path: &Path) -> Option<u32> {
    let meta = fs::metadata(path).ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| owner_in(line, &file))
}

/// The owner of `file` in a line such as `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`.
fn owner_in(line: &str, file: &str) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [_, "FLOCK", _, _, pid, place, ..] if place == file => {
            pid.parse().ok().filter(|&pid| pid > 0)
        }
        _ => None,
    }
}

/// The path by which a holder opened its store: it is among its arguments.
fn held_as(pid: u32) -> Option<PathBuf> {
    let words = arguments(pid)?;
    let holds = words.iter().any(|word| word == b"hold");
    let named = words.iter().position(|word| word == b"--store").filter(|_| holds)?;
    words.get(named + 1).map(|path| std::ffi::OsString::from_vec(path.clone()).into())
}

/// The program of a process and its first argument. Not more: arguments can hold secrets.
fn command_of(pid: u32) -> Option<String> {
    let words = arguments(pid)?;
    let program =
        Path::new(std::str::from_utf8(words.first()?).ok()?).file_name()?.to_str()?.to_owned();
    let verb = words.get(1).and_then(|word| std::str::from_utf8(word).ok());
    Some(verb.map_or_else(|| program.clone(), |verb| format!("{program} {verb}")))
}

fn arguments(pid: u32) -> Option<Vec<Vec<u8>>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<Vec<u8>> = line.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    (!line.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_lock_is_found_by_the_file() {
        let line = "3: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF";
        assert_eq!(owner_in(line, "fe:00:5678"), Some(1234));
        assert_eq!(owner_in(line, "fe:00:567"), None);
        assert_eq!(owner_in("3: FLOCK  ADVISORY  WRITE 0 fe:00:5678 0 EOF", "fe:00:5678"), None);
        assert_eq!(owner_in("1: POSIX  ADVISORY  WRITE 1 fe:00:5678 0 EOF", "fe:00:5678"), None);
        assert_eq!(owner_in("", "fe:00:5678"), None);
    }

    #[test]
    fn a_store_that_this_process_locks_is_told_by_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.tine");
        let file = fs::File::create(&path).unwrap();
        file.lock().unwrap();
        let error = explained(Error::new(Code::StoreLocked, "locked"), &path);
        assert!(error.message.contains(&format!("process {}", std::process::id())), "{error}");
        let other = explained(Error::new(Code::Io, "other"), &path);
        assert_eq!(other.message, "other");
    }
}

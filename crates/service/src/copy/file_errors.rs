//! What can go wrong with one file of a copy, and the list of all that did.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::host;
use crate::protocol::{Code, Error, Hint, Result};

/// Why one file could not be copied.
pub enum FileError {
    /// The host refused to read or write it.
    Host(io::Error),
    /// It has something that the other side cannot keep.
    Refused(Error),
    /// It did not hold still.
    Changed(&'static str),
    /// Nothing more can be copied at all.
    Fatal(Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> FileError {
        FileError::Host(error)
    }
}

impl From<rustix::io::Errno> for FileError {
    fn from(error: rustix::io::Errno) -> FileError {
        FileError::Host(error.into())
    }
}

impl From<Error> for FileError {
    fn from(error: Error) -> FileError {
        FileError::Fatal(error)
    }
}

impl From<tine_fs::Error> for FileError {
    fn from(error: tine_fs::Error) -> FileError {
        match error {
            // The rest may be whole, and the path says more than a number.
            tine_fs::Error::Damaged { .. } | tine_fs::Error::DamagedTree { .. } => {
                FileError::Refused(error.into())
            }
            _ => FileError::Fatal(error.into()),
        }
    }
}

/// More names than a person reads at once.
const NAMED_MAX: usize = 10;

/// The files that could not be copied.
pub struct Failures {
    root: PathBuf,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    first: Option<Code>,
    named: Vec<String>,
    count: usize,
    /// How many of them did not hold still.
    changed: usize,
}

impl Failures {
    pub fn new(root: &Path) -> Failures {
        Failures { root: root.into(), list: Mutex::default() }
    }

    /// A path of the tree, for messages.
    pub fn shown(&self, path: &[u8]) -> PathBuf {
        host::shown(&self.root, path)
    }

    /// Remembers the error of one file so that the rest can be tried; passes on what is fatal.
    pub fn note(&self, path: &[u8], result: Result<(), FileError>) -> Result<()> {
        let error = match result {
            Ok(()) => return Ok(()),
            Err(FileError::Fatal(error)) => return Err(error),
            Err(FileError::Refused(error)) => error,
            Err(FileError::Changed(why)) => Error::new(Code::BaseChanged, why),
            // It was there when its directory was listed.
            Err(FileError::Host(error)) if error.kind() == io::ErrorKind::NotFound => {
                Error::new(Code::BaseChanged, "it went away while it was read")
            }
            Err(FileError::Host(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Error::new(Code::BaseChanged, "it became shorter while it was read")
            }
            Err(FileError::Host(error)) => Error::io("", error),
        };
        if error.code == Code::NoSpace {
            let what = format!("cannot write {}{}", self.shown(path).display(), error.message);
            // Its advice tells a full disk from a file that is too large for the place.
            return Err(Error { message: what, ..error });
        }
        let why = error.message.trim_start_matches([':', ' ']);
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.first.get_or_insert(error.code);
        list.count += 1;
        list.changed += usize::from(error.code == Code::BaseChanged);
        if list.named.len() < NAMED_MAX {
            list.named.push(format!("{}: {why}", self.shown(path).display()));
        }
        Ok(())
    }

    /// Returns `true` if there are some, and all of them changed while they were read.
    pub fn are_changes_only(&self) -> bool {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.count > 0 && list.count == list.changed
    }

    /// One error that names them.
    pub fn into_result(self, verb: &str) -> Result<()> {
        let list = self.list.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(code) = list.first else { return Ok(()) };
        let mut what = format!("cannot {verb} {}: ", self.root.display());
        what.push_str(&list.named.join("; "));
        if list.count > list.named.len() {
            what.push_str(&format!("; and {} more", list.count - list.named.len()));
        }
        let hint = match code {
            Code::BaseChanged => "stop what is writing there, then try again".into(),
            Code::NotPermitted => "run as a user who may read all of it".into(),
            Code::StoreDamaged => Hint::CheckAndRepairStore,
            _ => "nothing was made; see to these files, then try again".into(),
        };
        Err(Error::new(code, what).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_failures_are_named_up_to_a_limit() {
        let failures = Failures::new(Path::new("/src"));
        for n in 0..12 {
            let denied = io::Error::from_raw_os_error(13);
            failures.note(format!("f{n}").as_bytes(), Err(denied.into())).unwrap();
        }
        let error = failures.into_result("import").unwrap_err();
        assert_eq!(error.code, Code::NotPermitted);
        assert!(error.message.starts_with("cannot import /src: /src/f0: permission denied; "));
        assert!(error.message.ends_with("/src/f9: permission denied; and 2 more"));
    }

    #[test]
    fn what_cannot_be_kept_is_named_and_the_rest_is_looked_at() {
        let failures = Failures::new(Path::new("/src"));
        let refused = Error::new(Code::Unsupported, "attribute system.x: not supported");
        failures.note(b"a", Err(FileError::Refused(refused))).unwrap();
        failures.note(b"b", Ok(())).unwrap();
        let error = failures.into_result("import").unwrap_err();
        assert_eq!(error.code, Code::Unsupported);
        assert_eq!(error.message, "cannot import /src: /src/a: attribute system.x: not supported");
    }

    #[test]
    fn a_full_disk_ends_the_copy_at_once() {
        let failures = Failures::new(Path::new("/src"));
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(failures.note(b"a", Err(full.into())).unwrap_err().code, Code::NoSpace);
    }
}

//! The one error of the public face: a code that programs match on, a sentence for a person, and a
//! hint.
//!
//! Errors of the layers below become this type here and nowhere else, so that the table of codes is
//! in one place. The type crosses the holder's socket as it is.

use std::fmt::Display;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::protocol::hint::Hint;
use crate::protocol::shown::shown;

/// The result of every request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was; part of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// There is no store at the path.
    StoreNotFound,
    /// There is a store, or another file, at the path already.
    StoreExists,
    /// Another process has the store and does not answer.
    StoreLocked,
    /// The file is not a store, or its content fails its checksums.
    StoreDamaged,
    /// The store was written by a newer version.
    StoreVersion,
    /// The disk or the store is full.
    NoSpace,
    /// There is no branch of that name.
    BranchNotFound,
    /// There is a branch of that name already.
    BranchExists,
    /// The branch is mounted or otherwise in use.
    BranchBusy,
    /// The branch is not mounted.
    NotMounted,
    /// The name breaks the rule for names.
    NameInvalid,
    /// A source changed while it was read.
    BaseChanged,
    /// Two sides changed the same thing.
    Conflict,
    /// The system does not let this user do this.
    NotPermitted,
    /// This cannot be done here, or to this thing.
    Unsupported,
    /// Reading or writing failed.
    Io,
    /// The person stopped it.
    Interrupted,
    /// The command makes no sense as it was given.
    Usage,
}

/// Advice for a store that is full.
const FREE_SPACE_OF_STORE: &str =
    "free space on its disk, or delete branches; nothing acknowledged is lost";

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure it was.
    pub code: Code,
    /// What failed, which thing, and why.
    pub message: String,
    /// What to do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
}

impl Error {
    /// A failure without advice.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), hint: None }
    }

    /// The same failure with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Hint>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The failure of what needs the fork point of a branch that was not made from another.
    pub(crate) fn no_fork_point(name: &str, purpose: &str) -> Error {
        let what =
            format!("branch {name} was made from no other, so there is no point to {purpose}");
        Error::new(Code::Unsupported, what).hint("name another branch or snapshot")
    }

    /// The same failure with advice after what it has.
    #[must_use]
    pub fn and_hint(mut self, hint: impl Into<Hint>) -> Error {
        self.hint = Some(match self.hint {
            Some(first) => Hint::All(vec![first, hint.into()]),
            None => hint.into(),
        });
        self
    }

    /// The same failure, with the file of the store if it is full: the store itself knows of no
    /// path.
    #[must_use]
    pub(crate) fn of_store(self, store: &Path) -> Error {
        match self.hint_text() == FREE_SPACE_OF_STORE {
            true => Error {
                message: format!("the store {}: {}", store.display(), self.message),
                ..self
            },
            false => self,
        }
    }

    /// The same failure of a store that is being made, in which there is nothing to delete.
    #[must_use]
    pub(crate) fn of_new_store(self, store: &Path) -> Error {
        match self.hint_text() == FREE_SPACE_OF_STORE {
            true => self.of_store(store).hint("free space on that disk, or name another place"),
            false => self,
        }
    }

    /// The advice where every program gives it in the same words; empty otherwise.
    pub fn hint_text(&self) -> &str {
        match &self.hint {
            Some(Hint::Text(text)) => text,
            _ => "",
        }
    }

    /// A failed system call on a path: `cannot WHAT PATH: why`.
    pub fn path(what: &str, path: &Path, source: impl Into<io::Error>) -> Error {
        let path = shown(path.as_os_str().as_encoded_bytes());
        Error::io(format!("cannot {what} {path}"), source)
    }

    /// A failed system call: `WHAT: why`.
    pub fn io(what: impl Display, source: impl Into<io::Error>) -> Error {
        let source = source.into();
        let code = match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Code::NoSpace,
            io::ErrorKind::PermissionDenied => Code::NotPermitted,
            io::ErrorKind::Unsupported => Code::Unsupported,
            _ => Code::Io,
        };
        let advice = match source.kind() {
            io::ErrorKind::NotFound => "see whether the path is right",
            io::ErrorKind::NotADirectory => "name a directory",
            io::ErrorKind::AlreadyExists => "name another place, or remove what is there",
            io::ErrorKind::ReadOnlyFilesystem => "name a place that can be written",
            io::ErrorKind::WouldBlock => {
                "a limit of the system was reached, such as that of processes and threads (`ulimit -u`, or `pids.max` of a container): raise it, or end some"
            }
            io::ErrorKind::FileTooLarge => {
                "name a place that takes larger files; if it is a limit that forbids them, `ulimit -f` raises it"
            }
            _ => match code {
                Code::NoSpace => "free space on that disk, then try again",
                Code::NotPermitted => "do it as a user who may, or change the permissions there",
                _ => "the system refused it; `dmesg` may say more",
            },
        };
        Error::new(code, format!("{what}: {}", reason(&source))).hint(advice)
    }
}

/// The system's own words for an error, without the number that Rust appends.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

impl From<tine_store::Error> for Error {
    fn from(error: tine_store::Error) -> Error {
        use tine_store::Error as E;
        let message = error.to_string();
        match &error {
            E::StoreNotFound { .. } => Error::new(Code::StoreNotFound, message)
                .hint(Hint::MakeStore),
            E::StoreExists { .. } => Error::new(Code::StoreExists, message)
                .hint(Hint::UseStoreOrNameAnother),
            E::Locked { .. } => Error::new(Code::StoreLocked, message)
                .hint("another tine command is using it; try again when it has finished"),
            E::Damaged { .. } => Error::new(Code::StoreDamaged, message).hint(Hint::RepairStore),
            E::NotAStore { .. } => Error::new(Code::StoreDamaged, message)
                .hint(Hint::NameStore),
            E::Version { .. } => {
                Error::new(Code::StoreVersion, message).hint("use a newer tine to open this store")
            }
            E::NoSpace { .. } => Error::new(Code::NoSpace, message)
                .hint(FREE_SPACE_OF_STORE),
            E::BranchNotFound { .. } => Error::new(Code::BranchNotFound, message)
                .hint(Hint::ListBranches),
            E::BranchReset { .. } => Error::new(Code::BranchBusy, message)
                .hint("another command reset it meanwhile; run this one again"),
            E::BranchExists { .. } => Error::new(Code::BranchExists, message)
                .hint("choose another name, or delete that branch first"),
            E::Sealed { name } => {
                let hint = Hint::ForkSnapshot { name: name.clone() };
                Error::new(Code::Unsupported, message).hint(hint)
            }
            E::NameInvalid { .. } => Error::new(Code::NameInvalid, message).hint(
                "names are 1 to 128 of letters, digits, `. _ - /`, and start with none of `- .`",
            ),
            E::Poisoned { .. } => Error::new(Code::Io, message).hint(
                "unmount its branches: the next command opens it anew, with all that was acknowledged",
            ),
            E::Io { what, source } => Error::io(what, clone_io(source)),
            _ => Error::new(Code::Io, message),
        }
    }
}

impl From<tine_fs::Error> for Error {
    fn from(error: tine_fs::Error) -> Error {
        use tine_fs::Error as E;
        let code = match error {
            E::Store(error) => return error.into(),
            E::Damaged { .. } | E::DamagedTree { .. } => Code::StoreDamaged,
            E::Version { .. } => Code::StoreVersion,
            E::NotPermitted(_) => Code::NotPermitted,
            E::Unsupported(_) | E::NotFormatted { .. } => Code::Unsupported,
            _ => Code::Io,
        };
        let hint = (code == Code::StoreDamaged).then_some(Hint::RepairStore);
        Error { code, message: error.to_string(), hint }
    }
}

fn clone_io(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_the_contract_names_it() {
        let text = serde_json::to_string(&Code::BranchNotFound).unwrap();
        assert_eq!(text, "\"branch-not-found\"");
    }

    #[test]
    fn a_full_disk_has_the_same_code_from_every_layer() {
        let system = Error::io("writing", io::Error::from_raw_os_error(28));
        let store: Error = tine_store::Error::NoSpace { what: "a write".into() }.into();
        assert_eq!((system.code, store.code), (Code::NoSpace, Code::NoSpace));
        assert!(system.hint.is_some() && store.hint.is_some());
    }

    #[test]
    fn a_full_store_is_named_and_one_that_is_made_has_no_branches_to_delete() {
        let full = || Error::from(tine_store::Error::NoSpace { what: "a write".into() });
        let path = Path::new("/mnt/x.tine");
        let (old, new) = (full().of_store(path), full().of_new_store(path));
        assert_eq!(old.message, "the store /mnt/x.tine: no space left for a write");
        assert_eq!(old.message, new.message);
        assert!(old.hint_text().contains("delete branches"));
        assert!(!new.hint_text().contains("delete branches"));
        let host = Error::path("write", Path::new("/x"), io::Error::from_raw_os_error(28));
        assert_eq!(host.clone().of_store(path), host, "another disk is full");
    }

    #[test]
    fn a_system_reason_is_given_without_its_number() {
        let error = Error::path("open", Path::new("/x"), io::Error::from_raw_os_error(13));
        assert_eq!(error.message, "cannot open /x: permission denied");
        assert_eq!(error.code, Code::NotPermitted);
    }
}

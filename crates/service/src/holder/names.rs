//! The names of branches: what the store calls them and what a person does, the rule for new ones,
//! the free ones, and those kept for copies in the making.
//!
//! Two kinds of branches have another name in the store than they are shown with. The import of
//! `NAME` is `tine.import/NAME` there and `NAME@import` to a person. A point of a branch is
//! `tine.point/ID/SERIAL`, with the branch's number, which stays when it is renamed; to a person it
//! is `NAME@SERIAL`. Other names that begin with one of the prefixes below are never shown.

use tine_store::{Branch, Store};

use crate::protocol::history::{DELETED, POINT, RECORDS};
use crate::protocol::imports::IMPORT;
pub(crate) use crate::protocol::imports::shown_import;
use crate::protocol::{Code, Error, Result};

/// Branches that are still being filled live under this prefix.
const RESERVED: &str = "tine.unfinished/";
/// The branch of the records of the history.
pub const HISTORY: &str = "tine.history/records";
/// Names that no person gives.
const HIDDEN: [&str; 5] = [RESERVED, IMPORT, POINT, DELETED, RECORDS];

/// Copies that may be in the making at one time.
const RESERVED_COUNT: u32 = 64;

/// A branch, an import or a point that a person named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What the store calls it.
    pub stored: String,
    /// What a person calls it: of a point, with its serial.
    pub shown: String,
    pub kind: NamedKind,
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedKind {
    /// A branch or a snapshot.
    Branch,
    /// What a directory was imported into, which no command but a refresh changes.
    Import,
    /// A moment of a branch's history.
    Point {
        /// The number of the branch.
        branch: u64,
    },
}

/// What a person calls a branch of the store; `None` for what no person is to see.
pub fn shown(stored: &str) -> Option<String> {
    match stored.strip_prefix(IMPORT) {
        Some(of) => Some(format!("{of}@import")),
        None => (!HIDDEN.iter().any(|kept| stored.starts_with(kept))).then(|| stored.into()),
    }
}

/// What a person calls a branch that may be mounted.
pub fn shown_mounted(store: &Store, stored: &str) -> String {
    let point = || {
        let (branch, serial) = stored.strip_prefix(POINT)?.split_once('/')?;
        let branch: u64 = branch.parse().ok()?;
        let branches = store.branches().ok()?;
        let name = branches.into_iter().find(|info| info.id == branch)?.name;
        Some(format!("{}@{serial}", shown(&name)?))
    };
    shown(stored).or_else(point).unwrap_or_else(|| stored.into())
}

/// What the store calls an import, by the name that it is shown with without `@import`.
pub fn import_name(of: &str) -> String {
    format!("{IMPORT}{of}")
}

/// Returns `true` for a name that no person can give: what is hidden is not reached by its name in
/// the store. Copies in the making are: the command that fills one knows it by no other.
pub fn is_out_of_reach(stored: &str) -> bool {
    HIDDEN.iter().any(|hidden| stored.starts_with(hidden)) && !stored.starts_with(RESERVED)
}

/// What the store calls a point.
pub fn point_name(branch: u64, serial: u64) -> String {
    format!("{POINT}{branch}/{serial}")
}

/// What the store calls a deleted branch.
pub fn deleted_name(branch: u64) -> String {
    format!("{DELETED}{branch}")
}

/// Returns `true` for a point and for a deleted branch.
pub fn is_kept(stored: &str) -> bool {
    stored.starts_with(POINT) || stored.starts_with(DELETED)
}

/// What the store calls a branch that is to have a name again.
///
/// # Errors
/// As [`must_be_free`].
pub fn stored_as_new(store: &Store, shown: &str) -> Result<String> {
    let Some(of) = shown.strip_suffix("@import") else {
        must_be_free(store, shown)?;
        return Ok(shown.into());
    };
    let stored = import_of(of)?;
    match store.branch(&stored) {
        Err(tine_store::Error::BranchNotFound { .. }) => Ok(stored),
        Ok(_) => Err(tine_store::Error::BranchExists { name: shown.into() }.into()),
        Err(error) => Err(error.into()),
    }
}

/// What the store calls the import of a branch.
///
/// # Errors
/// `name-invalid` where the name breaks the rule, or has more characters than fit.
pub fn import_of(name: &str) -> Result<String> {
    must_be_valid(name)?;
    let stored = import_name(name);
    match tine_store::check_branch_name(&stored) {
        Ok(()) => Ok(stored),
        Err(_) => {
            let what = format!("the name {name:?} is too long for what is imported");
            let most = 128 - IMPORT.len();
            Err(Error::new(Code::NameInvalid, what)
                .hint(format!("it has at most {most} characters")))
        }
    }
}

/// An error unless the name follows the rule, has no empty part between slashes, and is not
/// reserved. Only new names are held against it: a store may have branches from before a part of
/// the rule, and they are reached by the names they have.
pub fn must_be_valid(name: &str) -> Result<()> {
    tine_store::check_branch_name(name)?;
    let why = if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "a part between slashes must not be empty, `.` or `..`"
    } else if HIDDEN.iter().any(|kept| name.starts_with(kept)) {
        "this prefix is kept for what has no name of its own"
    } else {
        return Ok(());
    };
    Err(tine_store::Error::NameInvalid { thing: "a branch", name: name.into(), why }.into())
}

/// An error unless a new branch can have the name.
pub fn must_be_free(store: &Store, name: &str) -> Result<()> {
    must_be_valid(name)?;
    match store.branch(name) {
        Ok(_) => Err(tine_store::Error::BranchExists { name: name.into() }.into()),
        Err(tine_store::Error::BranchNotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// An empty branch under a reserved name.
pub fn reserve(store: &Store) -> Result<Branch> {
    reserve_with(|name| store.create_branch(name))
}

/// A fork of `from` under a reserved name.
pub fn reserve_fork(store: &Store, from: &str) -> Result<Branch> {
    reserve_with(|name| store.fork(from, name))
}

fn reserve_with(make: impl Fn(&str) -> tine_store::Result<Branch>) -> Result<Branch> {
    for number in 0..RESERVED_COUNT {
        match make(&format!("{RESERVED}{number}")) {
            Err(tine_store::Error::BranchExists { .. }) => {}
            made => return Ok(made?),
        }
    }
    let what = format!("{RESERVED_COUNT} copies are in the making already");
    Err(Error::new(Code::Unsupported, what).hint("wait until one of them has finished"))
}

/// Deletes what a process that died left in the making; right after opening, when nothing is being
/// made.
pub fn sweep(store: &Store) -> Result<()> {
    for number in 0..RESERVED_COUNT {
        match store.delete(&format!("{RESERVED}{number}")) {
            Ok(()) | Err(tine_store::Error::BranchNotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_out_of_rule_are_refused_with_the_reason() {
        let long = "a".repeat(129);
        for name in [
            "",
            "-a",
            ".a",
            "a b",
            "ä",
            "a\0",
            &long,
            "tine.unfinished/0",
            "tine.import/a",
            "tine.point/1/1",
            "tine.deleted/1",
            "tine.history/records",
            "a@1",
            "a@import",
            "/a",
            "a/",
            "a//b",
            "/",
            "a/./b",
            "a/../b",
            "a/..",
            "..",
        ] {
            assert_eq!(must_be_valid(name).unwrap_err().code, Code::NameInvalid, "{name:?}");
        }
        for name in ["a", "A-1._/x", "0", "a/.b", "a/..b", "a/b/c", &long[1..]] {
            must_be_valid(name).unwrap();
        }
    }

    #[test]
    fn a_name_that_fits_a_branch_may_be_too_long_for_an_import() {
        assert_eq!(import_of("a").unwrap(), "tine.import/a");
        let longest = "a".repeat(128 - IMPORT.len());
        import_of(&longest).unwrap();
        assert_eq!(import_of(&format!("{longest}a")).unwrap_err().code, Code::NameInvalid);
    }
}

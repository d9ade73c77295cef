//! The names of branches: the rule, the free ones, and those kept for copies in the making.

use tine_store::{Branch, Store};

use crate::protocol::{Code, Error, Result};

/// Branches that are still being filled live under this prefix.
const RESERVED: &str = "tine.unfinished/";

/// Copies that may be in the making at one time.
const RESERVED_COUNT: u32 = 64;

/// Returns `true` unless the branch is a copy in the making.
pub fn is_visible(name: &str) -> bool {
    !name.starts_with(RESERVED)
}

/// An error unless the name follows the rule, has no empty part between slashes, and is not
/// reserved. Only new names are held against it: a store may have branches from before a part of
/// the rule, and they are reached by the names they have.
pub fn must_be_valid(name: &str) -> Result<()> {
    tine_store::check_branch_name(name)?;
    let why = if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "a part between slashes must not be empty, `.` or `..`"
    } else if !is_visible(name) {
        "this prefix is kept for copies in the making"
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
}

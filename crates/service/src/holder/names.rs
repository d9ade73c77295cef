//! The names of branches: what a person writes and what the store calls it, the rule for new ones,
//! the free ones, and those kept for copies in the making.
//!
//! Two kinds of branches have another name in the store than they are shown with. The import of
//! `NAME` is `tine.import/NAME` there and `NAME@import` to a person. A point of a branch is
//! `tine.point/ID/SERIAL`, with the branch's number, which stays when it is renamed; to a person it
//! is `NAME@SERIAL`. Other names that begin with one of the prefixes below are never shown.

use std::time::Duration;

use tine_store::{Branch, Store};

use crate::protocol::time::seconds;
use crate::protocol::{Code, Error, Hint, Result};

/// Branches that are still being filled live under this prefix.
const RESERVED: &str = "tine.unfinished/";
/// What imports are called in the store, before the name of what was made from them.
const IMPORT: &str = "tine.import/";
/// Points of a branch's history.
const POINT: &str = "tine.point/";
/// Names that no person gives.
const KEPT: [&str; 3] = [RESERVED, IMPORT, POINT];

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

/// The existing branch, import or point that a person means.
///
/// # Errors
/// `branch-not-found`; `name-invalid` for something after an `@` that makes no sense.
pub fn find(store: &Store, name: &str) -> Result<Named> {
    let named = resolve(store, name)?;
    match store.branch(&named.stored) {
        Ok(_) => Ok(named),
        Err(tine_store::Error::BranchNotFound { .. }) => Err(not_found(&named.shown)),
        Err(error) => Err(error.into()),
    }
}

/// The existing branch that a person means, which a command is going to change; `purpose` as in
/// "reset" or "run a command in".
///
/// # Errors
/// As [`find`]; `unsupported` for an import or a point, which stay as they are.
pub fn find_to_change(store: &Store, name: &str, purpose: &str) -> Result<Named> {
    let named = find(store, name)?;
    let shown = &named.shown;
    let why = match named.kind {
        NamedKind::Branch => return Ok(named),
        NamedKind::Import => {
            format!("cannot {purpose} {shown}: an import stays as its directory was")
        }
        NamedKind::Point { .. } => {
            format!("cannot {purpose} {shown}: a point stays as the branch was")
        }
    };
    Err(Error::new(Code::Unsupported, why).hint(Hint::ForkSnapshot { name: shown.clone() }))
}

/// What the store calls a branch that may exist. Of a plain name nothing is looked up, so that
/// damage keeps no mount from being ended.
pub fn stored(store: &Store, name: &str) -> String {
    match name.contains('@') {
        true => resolve(store, name).map_or_else(|_| name.into(), |named| named.stored),
        false => name.into(),
    }
}

fn resolve(store: &Store, name: &str) -> Result<Named> {
    let Some((base, at)) = name.rsplit_once('@') else {
        // What is hidden is not to be reached by its name in the store. Copies in the making are:
        // the command that fills one knows it by no other.
        return match KEPT.iter().any(|kept| name.starts_with(kept)) && !name.starts_with(RESERVED) {
            true => Err(not_found(name)),
            false => Ok(Named { stored: name.into(), shown: name.into(), kind: NamedKind::Branch }),
        };
    };
    if at == "import" && !base.is_empty() && !base.contains('@') {
        let stored = format!("{IMPORT}{base}");
        return Ok(Named { stored, shown: name.into(), kind: NamedKind::Import });
    }
    let at = At::parse(at).filter(|_| !base.is_empty()).ok_or_else(|| invalid(name))?;
    let branch = resolve(store, base)?;
    if matches!(branch.kind, NamedKind::Point { .. }) {
        return Err(invalid(name));
    }
    point(store, &branch, at, name)
}

/// The point of an existing branch.
fn point(store: &Store, named: &Named, at: At, name: &str) -> Result<Named> {
    let branch = match store.branch(&named.stored) {
        Err(tine_store::Error::BranchNotFound { .. }) => return Err(not_found(&named.shown)),
        branch => branch?.id(),
    };
    let At::Serial(serial) = at else { return Err(not_found(name)) };
    let stored = format!("{POINT}{branch}/{serial}");
    let shown = format!("{}@{serial}", named.shown);
    Ok(Named { stored, shown, kind: NamedKind::Point { branch } })
}

/// Which point of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The one of this number.
    Serial(u64),
    /// So many changes back.
    Back(u64),
    /// As it was this long ago.
    Ago(Duration),
}

impl At {
    fn parse(text: &str) -> Option<At> {
        let number = |digits: &str| {
            let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?;
            digits.parse().ok().filter(|number| *number > 0)
        };
        if let Some(time) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            return seconds(time).ok().map(|seconds| At::Ago(Duration::from_secs(seconds)));
        }
        match text.strip_prefix('-') {
            Some(back) => number(back).map(At::Back),
            None => number(text).map(At::Serial),
        }
    }
}

fn not_found(shown: &str) -> Error {
    tine_store::Error::BranchNotFound { name: shown.into() }.into()
}

fn invalid(name: &str) -> Error {
    let what = format!("{name:?} names no branch and no point of one");
    Error::new(Code::NameInvalid, what).hint(
        "after a branch and `@` comes the number of a point (NAME@3), how many changes back \
         (NAME@-1), how long ago (NAME@{2h}), or `import`",
    )
}

/// What a person calls a branch of the store; `None` for what no person is to see.
pub fn shown(stored: &str) -> Option<String> {
    match stored.strip_prefix(IMPORT) {
        Some(of) => Some(format!("{of}@import")),
        None => (!KEPT.iter().any(|kept| stored.starts_with(kept))).then(|| stored.into()),
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

/// Returns `true` if a person is to see the branch.
pub fn is_visible(stored: &str) -> bool {
    shown(stored).is_some()
}

/// What the store calls the import of a branch.
///
/// # Errors
/// `name-invalid` where the name breaks the rule, or has more characters than fit.
#[allow(dead_code)] // For what imports a directory under a name of its own.
pub fn import_of(name: &str) -> Result<String> {
    must_be_valid(name)?;
    let stored = format!("{IMPORT}{name}");
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
    } else if KEPT.iter().any(|kept| name.starts_with(kept)) {
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
    fn what_follows_an_at_is_a_number_a_count_a_time_or_import() {
        let point = |text: &str| At::parse(text);
        assert_eq!(point("3"), Some(At::Serial(3)));
        assert_eq!(point("-1"), Some(At::Back(1)));
        assert_eq!(point("{2h}"), Some(At::Ago(Duration::from_secs(7200))));
        for wrong in [
            "",
            "x",
            "0",
            "-0",
            "-",
            "+1",
            "--1",
            "1.5",
            "{}",
            "{2}",
            "{-2h}",
            "{2h",
            "99999999999999999999",
        ] {
            assert_eq!(point(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_import_and_a_point_are_found_by_what_they_are_shown_with_alone() {
        let options = tine_store::Options::default();
        let store =
            Store::create_on(std::sync::Arc::new(tine_store::MemoryDevice::new()), &options)
                .unwrap();
        let main = store.create_branch("main").unwrap();
        store.create_branch("tine.import/main").unwrap();
        let kept = format!("tine.point/{}/3", main.id());
        store.snapshot("main", &kept).unwrap();
        let import = find(&store, "main@import").unwrap();
        assert_eq!((import.stored.as_str(), import.kind), ("tine.import/main", NamedKind::Import));
        assert_eq!(shown(&import.stored).as_deref(), Some("main@import"));
        let point = find(&store, "main@3").unwrap();
        assert_eq!((point.stored.as_str(), point.shown.as_str()), (kept.as_str(), "main@3"));
        assert_eq!(shown_mounted(&store, &kept), "main@3");
        store.rename("main", "other").unwrap();
        assert_eq!(find(&store, "other@3").unwrap().stored, kept);
        let code = |name: &str| find(&store, name).unwrap_err().code;
        for gone in ["main@3", "other@4", "nobody@1", "other@import", "tine.import/main", &kept] {
            assert_eq!(code(gone), Code::BranchNotFound, "{gone}");
        }
        for wrong in
            ["@import", "@", "other@", "other@x", "other@3@3", "other@3@import", "other@{}"]
        {
            assert_eq!(code(wrong), Code::NameInvalid, "{wrong}");
        }
        for fixed in ["other@3", "main@import"] {
            let error = find_to_change(&store, fixed, "reset").unwrap_err();
            assert_eq!(error.code, Code::Unsupported);
            assert!(error.message.contains(fixed) && error.hint.is_some(), "{error:?}");
        }
        find_to_change(&store, "other", "reset").unwrap();
    }

    #[test]
    fn a_name_that_fits_a_branch_may_be_too_long_for_an_import() {
        assert_eq!(import_of("a").unwrap(), "tine.import/a");
        let longest = "a".repeat(128 - IMPORT.len());
        import_of(&longest).unwrap();
        assert_eq!(import_of(&format!("{longest}a")).unwrap_err().code, Code::NameInvalid);
    }
}

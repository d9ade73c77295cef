//! What a person means with a name: one place for all requests.

use tine_store::Store;

use crate::holder::history::{self, At};
use crate::holder::names::{self, Named, NamedKind};
use crate::protocol::{Code, Error, Hint, Result};

/// The existing branch, import or point that a person means.
///
/// # Errors
/// `branch-not-found`; `name-invalid` for something after an `@` that makes no sense.
pub fn find(store: &Store, name: &str) -> Result<Named> {
    let named = resolve(store, name)?;
    match store.branch(&named.stored) {
        Ok(_) => Ok(named),
        Err(tine_store::Error::BranchNotFound { .. }) => {
            let error = not_found(&named.shown);
            // Damage of the history is no reason to say less.
            Err(match history::has_deleted(store, &named.shown).unwrap_or(false) {
                true => error.hint(Hint::UndoDelete { branch: named.shown }),
                false => error,
            })
        }
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
        return match names::is_out_of_reach(name) {
            true => Err(not_found(name)),
            false => Ok(Named { stored: name.into(), shown: name.into(), kind: NamedKind::Branch }),
        };
    };
    if at == "import" && !base.is_empty() && !base.contains('@') {
        let stored = names::import_name(base);
        return Ok(Named { stored, shown: name.into(), kind: NamedKind::Import });
    }
    // An import has points, a point has none.
    let has_points = !base.is_empty() && (!base.contains('@') || base.ends_with("@import"));
    let at = At::parse(at).filter(|_| has_points).ok_or_else(|| invalid(name))?;
    let branch = resolve(store, base)?;
    point(store, &branch, at)
}

/// The point of an existing branch.
fn point(store: &Store, named: &Named, at: At) -> Result<Named> {
    let branch = match store.branch(&named.stored) {
        Err(tine_store::Error::BranchNotFound { .. }) => return Err(not_found(&named.shown)),
        branch => branch?,
    };
    let kind = NamedKind::Point { branch: branch.id() };
    Ok(match history::find_point(store, named, &branch, at)? {
        Some(serial) => Named {
            stored: names::point_name(branch.id(), serial),
            shown: format!("{}@{serial}", named.shown),
            kind,
        },
        // It still is what it was then.
        None => Named { kind, ..named.clone() },
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holder::names::{shown, shown_mounted};

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
}

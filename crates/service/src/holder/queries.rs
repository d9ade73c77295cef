//! What there is and what it costs, without changing anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use tine_store::{BranchInfo, Store};

use crate::holder::call::{Call, Execute};
use crate::holder::mounts::Mounts;
use crate::holder::names::Named;
use crate::holder::{find, history, names, reclaim};
use crate::protocol::branches::{BranchKind, BranchRow, List, Names, Root};
use crate::protocol::check::{Check, Checked, Finding};
use crate::protocol::time::rfc3339;
use crate::protocol::usage::{BranchUsage, MeasureBranch, MeasureStore, StoreUsage};
use crate::protocol::{Code, Error, Hint, Result};

/// How long a list may take to count what each branch holds alone: counting walks what is private
/// to the branch, which is nothing for a fresh fork and much for thousands that have been worked
/// in.
const COUNT_FOR: Duration = Duration::from_secs(1);

impl Execute for List {
    /// Every visible branch. What it holds alone is left out of those that time does not suffice
    /// for.
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<BranchRow>> {
        if !call.context.read_only {
            call.context.expire()?;
            reclaim::before_counting(&call.context.store);
        }
        branches(&call.context.store, &call.context.mounts, COUNT_FOR)
    }
}

impl Execute for Names {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<String>> {
        names(&call.context.store)
    }
}

fn names(store: &Store) -> Result<Vec<String>> {
    let infos = store.branches()?;
    Ok(infos.iter().filter_map(|info| names::shown(&info.name)).collect())
}

fn branches(store: &Store, mounts: &Mounts, count_for: Duration) -> Result<Vec<BranchRow>> {
    let mounted: BTreeMap<_, _> =
        mounts.list().into_iter().map(|row| (row.branch, row.mount)).collect();
    let deadline = Instant::now() + count_for;
    let mut rows = Vec::new();
    for info in store.branches()? {
        let Some(name) = names::shown(&info.name) else { continue };
        let mut counted = None;
        if Instant::now() < deadline {
            counted = match store.branch(&info.name).and_then(|branch| branch.usage()) {
                // It was deleted or renamed since the list was taken.
                Err(tine_store::Error::BranchNotFound { .. }) => continue,
                usage => Some(usage?),
            };
        }
        rows.push(BranchRow {
            taken_off: None,
            kept_by: None,
            mounted_at: mounted.get(&info.name).map(|mount| mount.directory.clone()),
            name,
            parent: info.parent.as_deref().and_then(names::shown),
            kind: if info.sealed { BranchKind::Snapshot } else { BranchKind::Branch },
            created: rfc3339(info.created),
            expires: expires(store, &info).map(rfc3339),
            referenced_bytes: counted.map_or(info.referenced_bytes, |usage| usage.referenced_bytes),
            exclusive_bytes: counted.map(|usage| usage.exclusive_bytes),
        });
    }
    Ok(rows)
}

/// When a branch may be deleted; one that was brought back after its time stays.
pub(super) fn expires(store: &Store, info: &BranchInfo) -> Option<SystemTime> {
    info.expires.filter(|_| !history::stays(store, info.id).unwrap_or(false))
}

impl Execute for MeasureStore {
    fn execute(self, call: &mut Call<'_>) -> Result<StoreUsage> {
        if !call.context.read_only {
            reclaim::before_counting(&call.context.store);
        }
        store_usage(&call.context.store)
    }
}

/// What the store costs.
pub fn store_usage(store: &Store) -> Result<StoreUsage> {
    let usage = store.usage()?;
    let points = history::held_names(store)?;
    let held: Vec<&str> = points.iter().map(String::as_str).collect();
    let deadline = Instant::now() + COUNT_FOR;
    let held = store.held_bytes(&held, &mut || Instant::now() < deadline)?;
    Ok(StoreUsage {
        file_bytes: usage.file_bytes,
        data_bytes: usage.data_bytes,
        metadata_bytes: usage.metadata_bytes,
        free_bytes: usage.free_bytes,
        // What the engine knows counts shared parts once for each deleted branch.
        reclaim_pending_bytes: usage.reclaim_pending_bytes.min(usage.data_bytes),
        // A copy in the making is no branch yet.
        branches: names(store)?.len() as u64,
        points: points.len() as u64,
        points_bytes: held.complete.then_some(held.bytes),
    })
}

impl Execute for MeasureBranch {
    fn execute(self, call: &mut Call<'_>) -> Result<BranchUsage> {
        if !call.context.read_only {
            reclaim::before_counting(&call.context.store);
        }
        let named = find::find(&call.context.store, &self.name)?;
        branch_usage(&call.context.store, &named)
    }
}

fn branch_usage(store: &Store, named: &Named) -> Result<BranchUsage> {
    let usage = store.branch(&named.stored)?.usage()?;
    Ok(BranchUsage {
        branch: named.shown.clone(),
        referenced_bytes: usage.referenced_bytes,
        exclusive_bytes: usage.exclusive_bytes,
        pinned_by_base_bytes: usage.pinned_by_fork_point_bytes,
    })
}

impl Execute for Check {
    fn execute(self, call: &mut Call<'_>) -> Result<Checked> {
        check(&call.context.store)
    }
}

/// Verifies the store below, and the file tree of every branch.
fn check(store: &Store) -> Result<Checked> {
    let report = store.check()?;
    let findings = report.findings.into_iter().chain(check_trees(store)?);
    let findings = findings.map(Finding::from).collect();
    Ok(Checked { findings, blocks_checked: report.blocks_checked })
}

/// What is wrong with file trees. A branch that is still what its parent is needs no look of its
/// own.
fn check_trees(store: &Store) -> Result<Vec<tine_store::Finding>> {
    let mut findings = Vec::new();
    for info in store.branches()? {
        let Some(name) = names::shown(&info.name) else { continue };
        let checked = match check_tree(store, &info) {
            Err(error) if error.code == Code::BranchNotFound => continue,
            Err(error) => vec![tine_store::Finding {
                severity: tine_store::Severity::Error,
                what: error.message,
                place: "its file tree".into(),
            }],
            Ok(found) => found,
        };
        findings.extend(checked.into_iter().map(|finding| tine_store::Finding {
            place: format!("branch {name}, {}", finding.place),
            ..finding
        }));
    }
    Ok(findings)
}

fn check_tree(store: &Store, info: &BranchInfo) -> Result<Vec<tine_store::Finding>> {
    let tree = store.branch(&info.name)?.read()?;
    if let Some(parent) = &info.parent
        && let Ok(parent) = store.branch(parent).and_then(|parent| parent.read())
        && tine_store::diff(&parent, &tree)?.next().is_none()
    {
        return Ok(Vec::new());
    }
    Ok(tine_fs::check(&tree)?)
}

impl Execute for Root {
    fn execute(self, call: &mut Call<'_>) -> Result<String> {
        only_root(&call.context.store)
    }
}

fn only_root(store: &Store) -> Result<String> {
    let mut roots = roots(&store.branches()?);
    match (roots.pop(), roots.pop()) {
        (Some(root), None) => Ok(root),
        (None, _) => {
            let what = "there is no branch to start from: the store is empty";
            Err(Error::new(Code::BranchNotFound, what).hint(Hint::ImportFirst))
        }
        (Some(one), Some(another)) => {
            let what = format!("which branch to start from? there are {another}, {one} and others");
            let what = if roots.is_empty() { what.replace(" and others", "") } else { what };
            Err(Error::new(Code::Usage, what).hint(Hint::NameParent))
        }
    }
}

/// The branches that a fork may be meant to be of: those without a parent, and those that
/// directories were imported into; where that branch is gone, the import itself.
fn roots(infos: &[BranchInfo]) -> Vec<String> {
    let is_there = |name: &str| infos.iter().any(|info| info.name == name);
    let mut roots = Vec::new();
    for info in infos.iter().filter(|info| !info.sealed) {
        let Some(shown) = names::shown(&info.name) else { continue };
        let import = |stored: &str| names::shown_import(stored);
        let is_root = match (
            import(&info.name),
            info.parent.as_deref().filter(|parent| names::shown(parent).is_some()).map(import),
        ) {
            (Some(_), _) => !shown.strip_suffix("@import").is_some_and(is_there),
            (None, None) => true,
            (None, Some(of)) => of == Some(format!("{shown}@import")),
        };
        if is_root {
            roots.push(shown);
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_names_the_branch_whose_tree_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.tine");
        let store = Store::create(&path, &tine_store::Options::default()).unwrap();
        let main = store.create_branch("main").unwrap();
        tine_fs::Fs::format(&main, &tine_fs::NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
        let broken = store.fork("main", "broken").unwrap();
        store.fork("main", "fork").unwrap();
        let mut txn = broken.write().unwrap();
        // An orphan that is none: what begins with this letter is the list of them (docs of
        // tine-fs).
        txn.put(&[b"o", &7u64.to_be_bytes()[..]].concat(), b"").unwrap();
        txn.commit().unwrap();
        let places: Vec<String> =
            check(&store).unwrap().findings.into_iter().map(|finding| finding.place).collect();
        assert!(!places.is_empty());
        assert!(places.iter().all(|place| place.starts_with("branch broken, ")), "{places:?}");
    }

    #[test]
    fn a_list_without_time_to_count_is_complete_and_says_what_it_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.tine");
        let store = Store::create(&path, &tine_store::Options::default()).unwrap();
        let main = store.create_branch("main").unwrap();
        let mut txn = main.write().unwrap();
        txn.put(b"key", b"value").unwrap();
        txn.commit().unwrap();
        store.fork("main", "fork").unwrap();
        let changed = store.fork("main", "changed").unwrap();
        let mut txn = changed.write().unwrap();
        txn.put(b"other", b"value").unwrap();
        txn.commit().unwrap();
        store.create_branch("empty").unwrap();
        let mounts = Mounts::default();
        let hasty = branches(&store, &mounts, Duration::ZERO).unwrap();
        let whole = branches(&store, &mounts, COUNT_FOR).unwrap();
        let names =
            |rows: &[BranchRow]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&hasty), ["changed", "empty", "fork", "main"]);
        assert_eq!(names(&whole), names(&hasty));
        assert!(hasty.iter().all(|row| row.exclusive_bytes.is_none()));
        for row in whole {
            let named = find::find(&store, &row.name).unwrap();
            let usage = branch_usage(&store, &named).unwrap();
            assert_eq!(row.exclusive_bytes, Some(usage.exclusive_bytes));
            assert_eq!(row.referenced_bytes, usage.referenced_bytes);
            assert!(usage.exclusive_bytes <= usage.referenced_bytes, "{}: {usage:?}", row.name);
        }
    }
}

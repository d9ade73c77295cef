//! Imports of directories: finding them, and bringing them up to date.
//!
//! An import is a branch that only a refresh changes. What people work in are forks of it. A
//! refresh grows in a hidden fork, which takes the import's place at the end: whole or not at all.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tine_fs::Change;
use tine_store::{BranchInfo, ReadTxn, Store};

use crate::copy::{self, CopyJob};
use crate::holder::call::{Call, Execute};
use crate::holder::context::Context;
use crate::holder::names::{self, Named, NamedKind};
use crate::holder::{durable, find};
use crate::protocol::history::PointKind;
use crate::protocol::imports::{FindImport, Followed, Follower, FoundImport, Refresh, Refreshed};
use crate::protocol::time::elapsed_us;
use crate::protocol::{Code, Error, Progress, Result, Wanted};

impl Execute for FindImport {
    fn execute(self, call: &mut Call<'_>) -> Result<Option<FoundImport>> {
        let store = &call.context.store;
        match self {
            FindImport::Of(name) => match import_behind(store, &name)? {
                Some(named) => found(store, &named.stored, named.shown),
                None => Ok(None),
            },
            FindImport::At(directory) => nearest(store, &directory),
        }
    }
}

/// The import that a person names, or that an existing branch was made from; `None` if it was made
/// from none.
///
/// # Errors
/// As [`find::find`].
fn import_behind(store: &Store, name: &str) -> Result<Option<Named>> {
    let mut named = find::find(store, name)?;
    if named.kind == NamedKind::Import {
        return Ok(Some(named));
    }
    if let Ok(own) = find::find(store, &format!("{name}@import")) {
        return Ok(Some(own));
    }
    // Forks of forks count, too. No branch is its own ancestor, unless the store is forged.
    let infos = store.branches()?;
    for _ in 0..infos.len() {
        let info = infos.iter().find(|info| info.name == named.stored);
        let Some(parent) = info.and_then(|info| info.parent.clone()) else { return Ok(None) };
        if let Some(shown) = names::shown_import(&parent) {
            return Ok(Some(Named { stored: parent, shown, kind: NamedKind::Import }));
        }
        named.stored = parent;
    }
    Ok(None)
}

/// The import of a directory or of the nearest one above it; of several, the latest.
fn nearest(store: &Store, directory: &Path) -> Result<Option<FoundImport>> {
    let mut best: Option<(usize, std::time::SystemTime, FoundImport)> = None;
    for info in store.branches()? {
        let Some(shown) = names::shown_import(&info.name) else { continue };
        let Some(import) = found(store, &info.name, shown)? else { continue };
        if !directory.starts_with(&import.directory) {
            continue;
        }
        let depth = import.directory.components().count();
        if best.as_ref().is_none_or(|best| (best.0, best.1) < (depth, info.created)) {
            best = Some((depth, info.created, import));
        }
    }
    Ok(best.map(|(_, _, import)| import))
}

fn found(store: &Store, stored: &str, import: String) -> Result<Option<FoundImport>> {
    let origin = match store.branch(stored).and_then(|branch| branch.read()) {
        Err(tine_store::Error::BranchNotFound { .. }) => return Ok(None),
        tree => tine_fs::origin(&tree?)?,
    };
    let directory = |path| PathBuf::from(OsString::from_vec(path));
    Ok(origin.map(|path| FoundImport { import, directory: directory(path) }))
}

impl Execute for Refresh {
    fn execute(self, call: &mut Call<'_>) -> Result<Refreshed> {
        let source = call.descriptor()?;
        let (context, progress) = (call.context, call.progress);
        let named = find::find(&context.store, &self.import)?;
        if named.kind != NamedKind::Import {
            let what = format!("{} is no import of a directory", named.shown);
            return Err(Error::new(Code::Unsupported, what));
        }
        let refresh = || refresh(context, &named, &self.source, source, progress);
        let mut refreshed = context.refreshing.share(&named.stored, refresh)?;
        if let Some(branch) = self.follower {
            let state = follow(context, &branch, &named)?;
            refreshed.follower = Some(Follower { branch, state });
        }
        context.note_points();
        Ok(refreshed)
    }
}

fn refresh(
    context: &Context,
    import: &Named,
    path: &Path,
    source: OwnedFd,
    progress: &Progress,
) -> Result<Refreshed> {
    let (store, start) = (&context.store, Instant::now());
    context.mounts.must_be_free(&import.stored, &import.shown, Wanted::Changed)?;
    let before = store.branch(&import.stored)?.read()?;
    let hidden = names::reserve_fork(store, &import.stored)?;
    let throttle = copy::Throttle(&|| !context.is_idle());
    let job = CopyJob { store, branch: &hidden, path, throttle, progress };
    let result = copy::refresh(job, source).and_then(|mirrored| {
        let after = hidden.read()?;
        let (changed, deleted) = count(&before, &after)?;
        if tine_store::diff(&before, &after)?.next().is_some() {
            let history = context.history();
            history.mark(import, PointKind::Refresh, None)?;
            store.reset(&import.stored, Some(&hidden.name()))?;
            drop(history);
            durable::make(store, format_args!("{:?} is refreshed", import.shown))?;
        }
        Ok((mirrored, changed, deleted))
    });
    // The first error is the one to tell; what stays is swept by the next command.
    let _ = store.delete(&hidden.name());
    let (mirrored, changed, deleted) = result?;
    Ok(Refreshed {
        branch: import.shown.clone(),
        files: mirrored.files,
        read: mirrored.read,
        bytes: mirrored.bytes,
        changed,
        deleted,
        elapsed_us: elapsed_us(start),
        follower: None,
        outside_links: mirrored.told.links,
        outside_links_count: mirrored.told.count,
        warnings: mirrored.told.warnings,
    })
}

/// How many paths were added or changed, and how many are gone.
fn count(before: &ReadTxn, after: &ReadTxn) -> Result<(u64, u64)> {
    let changes = tine_fs::diff(before, after)?;
    let deleted = changes.iter().filter(|change| change.change == Change::Deleted).count() as u64;
    Ok((changes.len() as u64 - deleted, deleted))
}

/// Makes a branch what its import is now, unless that would take something from it.
fn follow(context: &Context, branch: &str, import: &Named) -> Result<Followed> {
    let store = &context.store;
    let named = find::find_to_change(store, branch, "refresh")?;
    if context.mounts.find(&named.stored).is_some() {
        return Ok(Followed::InUse);
    }
    let branch = store.branch(&named.stored)?;
    let now = store.branch(&import.stored)?.read()?;
    let there = branch.read()?;
    if tine_store::diff(&there, &now)?.next().is_none() {
        return Ok(Followed::Current);
    }
    let unchanged = match branch.fork_point()? {
        Some(base) => tine_store::diff(&base, &there)?.next().is_none(),
        None => false,
    };
    if branch.sealed() || !unchanged {
        return Ok(Followed::Changed);
    }
    let history = context.history();
    history.mark(&named, PointKind::Refresh, None)?;
    store.reset(&named.stored, Some(&import.stored))?;
    drop(history);
    durable::make(store, format_args!("{:?} follows its import", named.shown))?;
    Ok(Followed::Current)
}

/// The imports that go with branches that are deleted: those of the same name of which no other
/// branch was made.
pub fn deleted_along(store: &Store, deleted: &[Named]) -> Result<Vec<Named>> {
    let infos = store.branches()?;
    let goes = |name: &str| deleted.iter().any(|named| named.stored == name);
    let mut along = Vec::new();
    for Named { shown, .. } in deleted.iter().filter(|named| named.kind == NamedKind::Branch) {
        let stored = names::import_name(shown);
        let used = |info: &BranchInfo| {
            let is_seen = names::shown(&info.name).is_some();
            info.parent.as_ref() == Some(&stored) && is_seen && !goes(&info.name)
        };
        let is_there = infos.iter().any(|info| info.name == stored);
        if is_there && !goes(&stored) && !infos.iter().any(used) {
            let shown = format!("{shown}@import");
            along.push(Named { stored, shown, kind: NamedKind::Import });
        }
    }
    Ok(along)
}

//! Making and changing branches.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use tine_fs::{Fs, NewRoot};
use tine_store::{ForkOptions, Store};

use crate::copy;
use crate::holder::call::{Call, Execute};
use crate::holder::context::Context;
use crate::holder::names::{Named, NamedKind};
use crate::holder::{durable, find, imports, names};
use crate::protocol::branches::{Create, Created, Delete, Deleted, Fork, Rename, Reset, Snapshot};
use crate::protocol::history::PointKind;
use crate::protocol::time::{elapsed_us, rfc3339};
use crate::protocol::{Error, Result, Wanted};

impl Execute for Create {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let (store, Create { name }) = (&call.context.store, self);
        names::must_be_free(store, &name)?;
        let branch = store.create_branch(&name)?;
        let (uid, gid) = copy::owner();
        if let Err(error) = Fs::format(&branch, &NewRoot { mode: 0o755, uid, gid }) {
            // The error to tell is why it has no files; what is left is an empty branch.
            let _ = store.delete(&name);
            return Err(error.into());
        }
        durable::make(store, format_args!("the branch {name:?} is made"))
    }
}

impl Execute for Fork {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<Created>> {
        let (store, Fork { new, from, count, ttl_s }) = (&call.context.store, self);
        let from = find::find(store, &from)?;
        let names: Vec<String> = match count {
            None => vec![new],
            Some(count) => (1..=count).map(|number| format!("{new}-{number}")).collect(),
        };
        for name in &names {
            names::must_be_free(store, name)?;
        }
        let mut list = Vec::new();
        for name in names {
            match fork(store, &from, &name, ttl_s) {
                Ok(one) => list.push(one),
                Err(error) => {
                    // All or none; the error to tell is the first.
                    for made in &list {
                        let _ = store.delete(&made.name);
                    }
                    return Err(error);
                }
            }
        }
        let made: Vec<_> = list.iter().map(|one| &one.name).collect();
        durable::make(store, format_args!("the branch {} is made", listed(&made)))?;
        Ok(list)
    }
}

fn fork(store: &Store, from: &Named, name: &str, ttl_s: Option<u64>) -> Result<Created> {
    let start = Instant::now();
    let expires = ttl_s.and_then(|ttl_s| SystemTime::now().checked_add(Duration::from_secs(ttl_s)));
    let options = ForkOptions { expires, parent: parent(from), ..ForkOptions::default() };
    store.fork_with(&from.stored, name, &options)?;
    Ok(created(name.into(), from.shown.clone(), start))
}

/// The branch that a fork is listed under: of a point, the branch that it is one of.
fn parent(from: &Named) -> Option<u64> {
    match from.kind {
        NamedKind::Point { branch } => Some(branch),
        _ => None,
    }
}

fn created(name: String, from: String, start: Instant) -> Created {
    Created { name, from, elapsed_us: elapsed_us(start), flush_us: 0 }
}

/// Names as a message shows them.
fn listed(names: &[impl std::fmt::Debug]) -> String {
    let shown: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    shown.join(", ")
}

impl Execute for Snapshot {
    fn execute(self, call: &mut Call<'_>) -> Result<Created> {
        let (store, Snapshot { from, new }) = (&call.context.store, self);
        let from = find::find(store, &from)?;
        names::must_be_free(store, &new)?;
        let start = Instant::now();
        let how = ForkOptions { sealed: true, parent: parent(&from), ..ForkOptions::default() };
        store.fork_with(&from.stored, &new, &how)?;
        let created = created(new, from.shown, start);
        durable::make(store, format_args!("the snapshot {:?} is made", created.name))?;
        Ok(created)
    }
}

impl Execute for Rename {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let (store, Rename { old, new }) = (&call.context.store, self);
        let old = find::find_to_change(store, &old, "rename")?.stored;
        call.context.mounts.must_be_free(&old, &old, Wanted::Renamed)?;
        names::must_be_free(store, &new)?;
        let import = names::import_name(&old);
        let import = store.branch(&import).is_ok().then_some(import);
        let new_import = import.is_some().then(|| names::import_of(&new)).transpose()?;
        store.rename(&old, &new)?;
        // Whatever comes between, the branch has its name; its import has the old one then.
        if let (Some(import), Some(new)) = (import, new_import) {
            store.rename(&import, &new)?;
        }
        durable::make(store, format_args!("{old:?} is renamed to {new:?}"))
    }
}

impl Execute for Delete {
    fn execute(self, call: &mut Call<'_>) -> Result<Deleted> {
        let (context, Delete { mut names, force, now, kind }) = (call.context, self);
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let mut found = Vec::new();
        for name in &names {
            let named = match find::find(&context.store, name)? {
                // What it was made for stays: its forks are branches of their own.
                import if import.kind == NamedKind::Import => import,
                _ => find::find_to_change(&context.store, name, "delete")?,
            };
            must_be_free(context, &named, force)?;
            found.push(named);
        }
        let imports = imports::deleted_along(&context.store, &found)?;
        imports.iter().try_for_each(|import| must_be_free(context, import, force))?;
        let (mut until, mut not_kept) = (None, Vec::new());
        for Named { stored, shown, .. } in &found {
            context.mounts.abort(stored);
            match context.remove(stored, shown, kind, now)? {
                Some(time) => until = until.or(Some(time)),
                None if now => {}
                None => not_kept.push(shown.clone()),
            }
        }
        for Named { stored, shown, .. } in &imports {
            context.mounts.abort(stored);
            context.remove(stored, shown, kind, true)?;
        }
        durable::make(&context.store, format_args!("{} is deleted", listed(&names)))?;
        context.note_points();
        Ok(Deleted { names, kept_until: until.map(rfc3339), not_kept })
    }
}

impl Execute for Reset {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let (context, Reset { name, to, force }) = (call.context, self);
        let store = &context.store;
        let branch = find::find_to_change(store, &name, "reset")?;
        let to = to.map(|to| find::find(store, &to)).transpose()?;
        if to.is_none() && store.branch(&branch.stored)?.fork_point()?.is_none() {
            return Err(Error::no_fork_point(&name, "reset it to"));
        }
        must_be_free(context, &branch, force)?;
        context.mounts.abort(&branch.stored);
        let history = context.history();
        history.mark(&branch, PointKind::Reset, to.as_ref().map(|to| to.shown.clone()))?;
        let id = store.branch(&branch.stored)?.id();
        match &to {
            // A point of its own: as it was then.
            Some(to) if to.kind == (NamedKind::Point { branch: id }) => {
                store.restore(&branch.stored, &to.stored)?;
            }
            to => store.reset(&branch.stored, to.as_ref().map(|to| to.stored.as_str()))?,
        }
        drop(history);
        durable::make(store, format_args!("{name:?} is reset"))?;
        context.note_points();
        Ok(())
    }
}

/// An error unless the branch is free, or is to be taken by force.
fn must_be_free(context: &Context, branch: &Named, force: bool) -> Result<()> {
    match force {
        true => Ok(()),
        false => context.mounts.must_be_free(&branch.stored, &branch.shown, Wanted::Changed),
    }
}

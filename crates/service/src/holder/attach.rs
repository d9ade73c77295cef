//! Requests about the mounts that are served, and about the branches that are to be mounted.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use tine_fs::{Fs, Ino};
use tine_fuse::{Device, Negotiated};
use tine_store::Store;
use tine_sys::ids::{IdMap, Ids, Range};

use crate::holder::call::{Call, Execute};
use crate::holder::context::Context;
use crate::holder::find;
use crate::holder::names::{self, Named, NamedKind};
use crate::protocol::mounts::*;
use crate::protocol::{Code, Error, RawBytes, Result, Wanted};

impl Execute for Identify {
    fn execute(self, call: &mut Call<'_>) -> Result<u64> {
        let store = &call.context.store;
        Ok(store.branch(&find::find(store, &self.name)?.stored)?.id())
    }
}

impl Execute for Inspect {
    fn execute(self, call: &mut Call<'_>) -> Result<Inspected> {
        let context = call.context;
        let named = find::find(&context.store, &self.name)?;
        let branch = context.store.branch(&named.stored)?;
        let sealed = branch.sealed() || named.kind != NamedKind::Branch;
        let mount = context.mounts.find(&named.stored);
        let origin = tine_fs::origin(&branch.read()?)?.map(|path| OsString::from_vec(path).into());
        // A branch of another store may have the same number; it was made at another time.
        let created = created_at(&context.store, &named.stored)?;
        let identity = format!("{}-{created}", branch.id());
        let forked = branch.fork_point()?.is_some();
        let name = named.shown;
        Ok(Inspected { name, id: branch.id(), identity, sealed, forked, origin, mount })
    }
}

fn created_at(store: &Store, name: &str) -> Result<u128> {
    let info = store.branches()?.into_iter().find(|info| info.name == name);
    let since = info.and_then(|info| info.created.duration_since(std::time::UNIX_EPOCH).ok());
    Ok(since.unwrap_or_default().as_nanos())
}

impl Execute for Attach {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let Attach { name, mount, users, groups, negotiated } = self;
        let negotiated = negotiated
            .map(|Negotiation { minor, capabilities }| Negotiated { minor, capabilities });
        let device = Device { descriptor: call.descriptor()?, negotiated };
        let (store, mounts) = (&call.context.store, &call.context.mounts);
        let Named { stored, shown, .. } = match mount.read_only {
            true => find::find(store, &name)?,
            false => find::find_to_change(store, &name, "mount for writing")?,
        };
        let branch = store.branch(&stored)?;
        if branch.sealed() && !mount.read_only {
            return Err(tine_store::Error::Sealed { name }.into());
        }
        mounts.must_be_free(&stored, &shown, Wanted::Entered)?;
        let fs = Fs::open(store, branch)?;
        let ids = IdMap { users: ids(users), groups: ids(groups) };
        mounts.attach(&stored, &shown, fs, device, mount, ids)
    }
}

fn ids(ranges: Vec<IdRange>) -> Ids {
    let range = |IdRange { inside, outside, count }| Range { inside, outside, count };
    Ids::of(ranges.into_iter().map(range).collect())
}

impl Execute for Began {
    fn execute(self, call: &mut Call<'_>) -> Result<bool> {
        let name = find::stored(&call.context.store, &self.name);
        Ok(call.context.mounts.forget_beginning(&name, self.run))
    }
}

impl Execute for Abort {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        // Before anything that can fail: a mount ends whatever the store is like.
        call.context.mounts.abort(&find::stored(&call.context.store, &self.name));
        Ok(call.context.store.sync()?)
    }
}

impl Execute for ListMounts {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<MountedBranch>> {
        Ok(list(call.context))
    }
}

/// The mounts, by the names that a person gives the branches.
fn list(context: &Context) -> Vec<MountedBranch> {
    let shown = |row: MountedBranch| MountedBranch {
        branch: names::shown_mounted(&context.store, &row.branch),
        ..row
    };
    context.mounts.list().into_iter().map(shown).collect()
}

impl Execute for FindMount {
    fn execute(self, call: &mut Call<'_>) -> Result<Option<Mount>> {
        let name = find::stored(&call.context.store, &self.name);
        Ok(call.context.mounts.find(&name))
    }
}

impl Execute for LetGo {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<MountedBranch>> {
        call.context.let_go();
        Ok(list(call.context))
    }
}

impl Execute for ListCached {
    /// Of a branch that is not mounted the kernel keeps nothing.
    fn execute(self, call: &mut Call<'_>) -> Result<CachedFiles> {
        let name = find::stored(&call.context.store, &self.name);
        let cache = call.context.mounts.kernel_cache(&name);
        let Some(cache) = cache else { return Ok(CachedFiles::default()) };
        // Expected first: what the kernel learns of afterwards was not written before.
        let visitor = cache.expect_visitor();
        let files = cache.files()?.into_iter();
        let files =
            files.map(|file| CachedFile { ino: file.ino.get(), path: file.path.map(RawBytes) });
        Ok(CachedFiles { visitor, files: files.collect() })
    }
}

impl Execute for WriteBack {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let WriteBack { name, visitor, files } = self;
        let stored = find::stored(&call.context.store, &name);
        let Some(cache) = call.context.mounts.kernel_cache(&stored) else { return Ok(()) };
        let files: Vec<Ino> = match files {
            Some(files) => files.into_iter().map(Ino::new).collect(),
            None => cache.files()?.into_iter().map(|file| file.ino).collect(),
        };
        cache.write_back(&visitor, &files).map_err(|error| {
            Error::new(Code::Io, format!("cannot flush branch {name}: {error}"))
                .hint("if the disk is full, make room; the holder's log has the reason")
        })
    }
}

impl Execute for AwaitDetached {
    fn execute(self, call: &mut Call<'_>) -> Result<bool> {
        let timeout = Duration::from_millis(self.timeout_ms);
        let name = find::stored(&call.context.store, &self.name);
        Ok(call.context.mounts.await_detached(&name, timeout))
    }
}

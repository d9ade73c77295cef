//! Requests about the mounts that are served, and about the branches that are to be mounted.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use tine_fs::{Fs, Ino};
use tine_fuse::{Device, Negotiated};
use tine_store::Store;
use tine_sys::ids::{IdMap, Ids, Range};

use crate::holder::call::{Call, Execute};
use crate::protocol::mounts::*;
use crate::protocol::{Code, Error, RawBytes, Result, Wanted};

impl Execute for Identify {
    fn execute(self, call: &mut Call<'_>) -> Result<u64> {
        Ok(call.context.store.branch(&self.name)?.id())
    }
}

impl Execute for Inspect {
    fn execute(self, call: &mut Call<'_>) -> Result<Inspected> {
        let (context, name) = (call.context, &self.name);
        let branch = context.store.branch(name)?;
        let sealed = branch.sealed();
        let mount = context.mounts.find(name);
        let origin = tine_fs::origin(&branch.read()?)?.map(|path| OsString::from_vec(path).into());
        // A branch of another store may have the same number; it was made at another time.
        let created = created_at(&context.store, name)?;
        let identity = format!("{}-{created}", branch.id());
        let forked = branch.fork_point()?.is_some();
        Ok(Inspected { id: branch.id(), identity, sealed, forked, origin, mount })
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
        let branch = call.context.store.branch(&name)?;
        if branch.sealed() && !mount.read_only {
            return Err(tine_store::Error::Sealed { name }.into());
        }
        call.context.mounts.must_be_free(&name, Wanted::Entered)?;
        let fs = Fs::open(&call.context.store, branch)?;
        let ids = IdMap { users: ids(users), groups: ids(groups) };
        call.context.mounts.attach(&name, fs, device, mount, ids)
    }
}

fn ids(ranges: Vec<IdRange>) -> Ids {
    let range = |IdRange { inside, outside, count }| Range { inside, outside, count };
    Ids::of(ranges.into_iter().map(range).collect())
}

impl Execute for Began {
    fn execute(self, call: &mut Call<'_>) -> Result<bool> {
        Ok(call.context.mounts.forget_beginning(&self.name, self.run))
    }
}

impl Execute for Abort {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        // Before anything that can fail: a mount ends whatever the store is like.
        call.context.mounts.abort(&self.name);
        Ok(call.context.store.sync()?)
    }
}

impl Execute for ListMounts {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<MountedBranch>> {
        Ok(call.context.mounts.list())
    }
}

impl Execute for LetGo {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<MountedBranch>> {
        call.context.let_go();
        Ok(call.context.mounts.list())
    }
}

impl Execute for ListCached {
    /// Of a branch that is not mounted the kernel keeps nothing.
    fn execute(self, call: &mut Call<'_>) -> Result<CachedFiles> {
        let cache = call.context.mounts.kernel_cache(&self.name);
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
        let Some(cache) = call.context.mounts.kernel_cache(&name) else { return Ok(()) };
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
        Ok(call.context.mounts.await_detached(&self.name, timeout))
    }
}

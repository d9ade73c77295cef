//! The one place where a request becomes what it asks for.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant, SystemTime};

use tine_fs::{Fs, Ino, NewRoot};
use tine_fuse::{Device, Negotiated};
use tine_store::{ForkOptions, Store};
use tine_sys::ids::{IdMap, Ids, Range};

use crate::copy;
use crate::holder::context::Context;
use crate::holder::mounts::Mounts;
use crate::holder::{changes, copies, durable, look, names, queries};
use crate::machine::busy::Wanted;
use crate::protocol::answers::*;
use crate::protocol::requests::{Mount, Request};
use crate::protocol::time::elapsed_us;
use crate::protocol::{Code, Error, Progress, RawBytes, Result};

/// Does what `request` asks, with the descriptors that came with it.
///
/// # Errors
/// As the contract has them, each with the thing, the reason and what to do.
pub fn execute(
    context: &Context,
    request: Request,
    fds: Vec<OwnedFd>,
    progress: &Progress,
) -> Result<Response> {
    let Context { store, mounts, read_only, .. } = context;
    if *read_only && !request.only_reads() {
        return Err(Error::new(Code::NotPermitted, "the store is open for reading only"));
    }
    match request {
        Request::Branch { new, from, count, ttl_s } => branch(store, &new, &from, count, ttl_s),
        Request::Root => Ok(Response::Branch(OneBranch { branch: queries::only_root(store)? })),
        Request::Create { name } => {
            names::must_be_free(store, &name)?;
            let branch = store.create_branch(&name)?;
            let root = NewRoot { mode: 0o755, uid: owner().0, gid: owner().1 };
            if let Err(error) = Fs::format(&branch, &root) {
                // The error to tell is why it has no files; what is left is an empty branch.
                let _ = store.delete(&name);
                return Err(error.into());
            }
            durable::make(store, format_args!("the branch {name:?} is made"))?;
            Ok(Response::Branch(OneBranch { branch: name }))
        }
        Request::Snapshot { from, new } => {
            names::must_be_free(store, &new)?;
            let start = Instant::now();
            store.snapshot(&from, &new)?;
            let created = vec![created(new, from, start)];
            durable::make(store, format_args!("the snapshot {:?} is made", created[0].name))?;
            Ok(Response::Created(CreatedList { created }))
        }
        Request::Names => Ok(Response::Names(queries::names(store)?)),
        Request::List => {
            if !read_only {
                context.expire()?;
            }
            queries::branches(store, mounts).map(Response::Branches)
        }
        Request::Usage { name: None } => queries::store_usage(store).map(Response::StoreUsage),
        Request::Usage { name: Some(name) } => {
            queries::branch_usage(store, &name).map(Response::BranchUsage)
        }
        Request::Rename { old, new } => {
            store.branch(&old)?;
            mounts.must_be_free(&old, Wanted::Renamed)?;
            names::must_be_free(store, &new)?;
            store.rename(&old, &new)?;
            durable::make(store, format_args!("{old:?} is renamed to {new:?}"))?;
            Ok(Response::Branch(OneBranch { branch: new }))
        }
        Request::Delete { mut names, force } => {
            let mut seen = BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            for name in &names {
                claim(context, name, force)?;
            }
            for name in &names {
                mounts.cut(name);
                store.delete(name)?;
            }
            durable::make(store, format_args!("{} is deleted", listed(&names)))?;
            Ok(Response::Deleted(Deleted { deleted: names }))
        }
        Request::Reset { name, to, force } => {
            if let Some(to) = &to {
                store.branch(to)?;
            } else if store.branch(&name)?.fork_point()?.is_none() {
                return Err(Error::no_fork_point(&name, "reset it to"));
            }
            claim(context, &name, force)?;
            mounts.cut(&name);
            store.reset(&name, to.as_deref())?;
            durable::make(store, format_args!("{name:?} is reset"))?;
            Ok(Response::Branch(OneBranch { branch: name }))
        }
        Request::Diff { name, other } => {
            changes::diff(store, &name, other.as_deref()).map(Response::Diff)
        }
        Request::Check => queries::check(store).map(Response::Checked),
        Request::Entries { name, path } => {
            look::entries(store, &name, &path.0).map(Response::Entries)
        }
        Request::Read { name, path } => {
            look::read(store, &name, &path.0, one_descriptor(fds)?)?;
            Ok(Response::Done(Done {}))
        }
        Request::Import { source, name } => {
            let directory = one_descriptor(fds)?;
            copies::import(context, &name, &source, directory, progress).map(Response::Imported)
        }
        Request::Export { name, target } => {
            let directory = one_descriptor(fds)?;
            copies::export(context, &name, &target, directory, progress).map(Response::Exported)
        }
        Request::Reserve { name } => {
            names::must_be_free(store, &name)?;
            let hidden = names::reserve(store)?;
            Fs::format(&hidden, &NewRoot { mode: 0o700, uid: owner().0, gid: owner().1 })?;
            Ok(Response::Branch(OneBranch { branch: hidden.name() }))
        }
        Request::Publish { hidden, name } => {
            names::must_be_free(store, &name)?;
            mounts.must_be_free(&hidden, Wanted::Renamed)?;
            store.rename(&hidden, &name)?;
            durable::make(store, format_args!("the branch {name:?} is made"))?;
            Ok(Response::Branch(OneBranch { branch: name }))
        }
        Request::Inspect { name } => inspect(context, &name).map(Response::Inspected),
        Request::Attach { name, mount, users, groups, negotiated } => {
            let ids = IdMap { users: ids(users), groups: ids(groups) };
            let negotiated =
                negotiated.map(|(minor, capabilities)| Negotiated { minor, capabilities });
            let device = Device { descriptor: one_descriptor(fds)?, negotiated };
            attach(context, &name, mount, ids, device)
        }
        Request::Began { name, run } => Ok(Response::Began(mounts.forget_beginning(&name, run))),
        Request::Cut { name } => {
            store.branch(&name)?;
            mounts.cut(&name);
            store.sync()?;
            Ok(Response::Done(Done {}))
        }
        Request::Mounts => Ok(Response::Mounts(mounts.list())),
        Request::Kept { name } => kept(mounts, &name).map(Response::Kept),
        Request::WriteBack { name, visitor, files } => {
            write_back(mounts, &name, &visitor, files)?;
            Ok(Response::Done(Done {}))
        }
        Request::AwaitDetached { name, timeout_ms } => {
            mounts.await_detached(&name, Duration::from_millis(timeout_ms))?;
            Ok(Response::Done(Done {}))
        }
    }
}

fn branch(
    store: &Store,
    new: &str,
    from: &str,
    count: Option<u32>,
    ttl_s: Option<u64>,
) -> Result<Response> {
    store.branch(from)?;
    let names: Vec<String> = match count {
        None => vec![new.into()],
        Some(count) => (1..=count).map(|number| format!("{new}-{number}")).collect(),
    };
    for name in &names {
        names::must_be_free(store, name)?;
    }
    let mut list = Vec::new();
    for name in names {
        match fork(store, from, &name, ttl_s) {
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
    Ok(Response::Created(CreatedList { created: list }))
}

/// Names as a message shows them.
fn listed(names: &[impl std::fmt::Debug]) -> String {
    let shown: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    shown.join(", ")
}

fn fork(store: &Store, from: &str, name: &str, ttl_s: Option<u64>) -> Result<Created> {
    let start = Instant::now();
    let expires = ttl_s.and_then(|ttl_s| SystemTime::now().checked_add(Duration::from_secs(ttl_s)));
    store.fork_with(from, name, &ForkOptions { expires, ..ForkOptions::default() })?;
    Ok(created(name.into(), from.into(), start))
}

fn created(name: String, from: String, start: Instant) -> Created {
    Created { name, from, elapsed_us: elapsed_us(start), flush_us: 0 }
}

/// An error unless the branch exists and is free, or is to be taken by force.
fn claim(context: &Context, name: &str, force: bool) -> Result<()> {
    context.store.branch(name)?;
    match force {
        true => Ok(()),
        false => context.mounts.must_be_free(name, Wanted::Changed),
    }
}

fn inspect(context: &Context, name: &str) -> Result<Inspected> {
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

/// Who owns what this process makes, as a branch keeps it.
fn owner() -> (u32, u32) {
    copy::owner()
}

fn created_at(store: &Store, name: &str) -> Result<u128> {
    let info = store.branches()?.into_iter().find(|info| info.name == name);
    let since = info.and_then(|info| info.created.duration_since(std::time::UNIX_EPOCH).ok());
    Ok(since.unwrap_or_default().as_nanos())
}

fn ids(ranges: Vec<(u32, u32, u32)>) -> Ids {
    let range = |(inside, outside, count)| Range { inside, outside, count };
    Ids::of(ranges.into_iter().map(range).collect())
}

fn attach(
    context: &Context,
    name: &str,
    mount: Mount,
    ids: IdMap,
    device: Device,
) -> Result<Response> {
    let branch = context.store.branch(name)?;
    if branch.sealed() && !mount.read_only {
        return Err(tine_store::Error::Sealed { name: name.into() }.into());
    }
    context.mounts.must_be_free(name, Wanted::Entered)?;
    let directory = mount.directory.clone();
    let fs = Fs::open(&context.store, branch)?;
    context.mounts.attach(name, fs, device, mount, ids)?;
    Ok(Response::Mounted(Mounted { branch: name.into(), directory }))
}

/// Of a branch that is not mounted the kernel keeps nothing.
fn kept(mounts: &Mounts, name: &str) -> Result<Kept> {
    let Some(cache) = mounts.kernel_cache(name) else { return Ok(Kept::default()) };
    // Expected first: what the kernel learns of afterwards was not written before.
    let visitor = cache.expect_visitor();
    let files = cache.files()?.into_iter().map(|file| (file.ino.get(), file.path.map(RawBytes)));
    Ok(Kept { visitor, files: files.collect() })
}

fn write_back(mounts: &Mounts, name: &str, visitor: &str, files: Option<Vec<u64>>) -> Result<()> {
    let Some(cache) = mounts.kernel_cache(name) else { return Ok(()) };
    let files: Vec<Ino> = match files {
        Some(files) => files.into_iter().map(Ino::new).collect(),
        None => cache.files()?.into_iter().map(|file| file.ino).collect(),
    };
    cache.write_back(visitor, &files).map_err(|error| {
        Error::new(Code::Io, format!("cannot flush branch {name}: {error}"))
            .hint("if the disk is full, make room; the holder's log has the reason")
    })
}

fn one_descriptor(fds: Vec<OwnedFd>) -> Result<OwnedFd> {
    let count = fds.len();
    match <[OwnedFd; 1]>::try_from(fds) {
        Ok([descriptor]) => Ok(descriptor),
        Err(_) => {
            let what = format!("the request came with {count} descriptors instead of one");
            Err(Error::new(Code::Usage, what))
        }
    }
}

//! How a store or a branch stands.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tine_store::{BranchInfo, Store};

use crate::holder::call::{Call, Execute};
use crate::holder::{find, names, queries, reclaim};
use crate::protocol::branches::BranchKind;
use crate::protocol::status::{Base, BranchState, DescribeBranch, DescribeStore, Here, StoreState};
use crate::protocol::time::rfc3339;
use crate::protocol::{RawBytes, Result};

impl Execute for DescribeBranch {
    fn execute(self, call: &mut Call<'_>) -> Result<BranchState> {
        let context = call.context;
        let store = &context.store;
        if !context.read_only {
            context.expire()?;
            reclaim::before_counting(store);
        }
        let named = find::find(store, &self.name)?;
        let branch = store.branch(&named.stored)?;
        let usage = branch.usage()?;
        let info = info(store, &named.stored)?;
        let forked = branch.fork_point()?.is_some();
        Ok(BranchState {
            branch: named.shown,
            kind: if info.sealed { BranchKind::Snapshot } else { BranchKind::Branch },
            created: rfc3339(info.created),
            expires: queries::expires(store, &info).map(rfc3339),
            base: forked.then(|| Base {
                branch: info.parent.as_deref().and_then(names::shown),
                forked: rfc3339(info.created),
            }),
            directory: tine_fs::origin(&branch.read()?)?.map(RawBytes),
            referenced_bytes: usage.referenced_bytes,
            exclusive_bytes: usage.exclusive_bytes,
            pinned_by_base_bytes: usage.pinned_by_fork_point_bytes,
            mount: context.mounts.find(&named.stored),
        })
    }
}

fn info(store: &Store, stored: &str) -> Result<BranchInfo> {
    let found = store.branches()?.into_iter().find(|info| info.name == stored);
    found.ok_or_else(|| tine_store::Error::BranchNotFound { name: stored.into() }.into())
}

impl Execute for DescribeStore {
    fn execute(self, call: &mut Call<'_>) -> Result<StoreState> {
        let context = call.context;
        if !context.read_only {
            context.expire()?;
        }
        let usage = queries::store_usage(&context.store)?;
        let here = match self.here {
            Some(RawBytes(here)) => from_above(&context.store, path(&here))?,
            None => Vec::new(),
        };
        Ok(StoreState { usage, here })
    }
}

/// The branches that come from a directory which is `here`, or above it.
fn from_above(store: &Store, here: &Path) -> Result<Vec<Here>> {
    let mut found = Vec::new();
    for info in store.branches()? {
        let Some(branch) = names::shown(&info.name) else { continue };
        let origin = match store.branch(&info.name).and_then(|branch| branch.read()) {
            // It was deleted since the list was taken.
            Err(tine_store::Error::BranchNotFound { .. }) => continue,
            read => tine_fs::origin(&read?)?,
        };
        let origin = origin.filter(|directory| here.starts_with(path(directory)));
        found.extend(origin.map(|directory| Here { branch, directory: RawBytes(directory) }));
    }
    Ok(found)
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

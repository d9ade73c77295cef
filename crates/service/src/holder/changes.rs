//! What changed, by path.

use crate::holder::call::{Call, Execute};
use crate::holder::names;
use crate::protocol::changes::{Change, ChangeKind, Diff};
use crate::protocol::{Error, RawBytes, Result};

impl Execute for Diff {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<Change>> {
        let (store, Diff { name, other }) = (&call.context.store, self);
        let branch = store.branch(&names::find(store, &name)?.stored)?;
        let (before, after) = match other {
            Some(other) => {
                let other = names::find(store, &other)?;
                (branch.read()?, store.branch(&other.stored)?.read()?)
            }
            None => match branch.fork_point()? {
                Some(base) => (base, branch.read()?),
                None => return Err(Error::no_fork_point(&name, "compare it with")),
            },
        };
        let changes = tine_fs::diff(&before, &after)?;
        Ok(changes.into_iter().map(change).collect())
    }
}

fn change(change: tine_fs::PathChange) -> Change {
    let (kind, from) = match change.change {
        tine_fs::Change::Added => (ChangeKind::Added, None),
        tine_fs::Change::Deleted => (ChangeKind::Deleted, None),
        tine_fs::Change::Modified => (ChangeKind::Modified, None),
        tine_fs::Change::Metadata => (ChangeKind::Metadata, None),
        tine_fs::Change::Renamed { from } => (ChangeKind::Renamed, Some(from)),
    };
    let path = match change.path.as_slice() {
        [] => ".".into(),
        path => text(path),
    };
    Change {
        path,
        path_bytes: RawBytes::unless_text(&change.path),
        change: kind,
        from: from.as_deref().map(text),
        from_bytes: from.as_deref().and_then(RawBytes::unless_text),
        bytes: change.bytes,
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

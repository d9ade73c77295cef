//! What there is and what it costs, without changing anything.

use tine_store::Store;

use crate::mounts::Mounts;
use crate::response::*;
use crate::time::rfc3339;
use crate::{Code, Error, Result, names};

/// Every branch that a person made.
pub fn branches(store: &Store, mounts: &Mounts) -> Result<BranchList> {
    let mounted: std::collections::BTreeMap<_, _> = mounts.list().into_iter().collect();
    let mut rows = Vec::new();
    for info in store.branches()? {
        if !names::is_visible(&info.name) {
            continue;
        }
        let usage = match store.branch(&info.name).and_then(|branch| branch.usage()) {
            // It was deleted or renamed since the list was taken.
            Err(tine_store::Error::BranchNotFound { .. }) => continue,
            usage => usage?,
        };
        rows.push(BranchRow {
            mounted_at: mounted.get(&info.name).map(|mount| mount.directory.clone()),
            name: info.name,
            parent: info.parent.filter(|parent| names::is_visible(parent)),
            kind: if info.sealed { Kind::Snapshot } else { Kind::Branch },
            created: rfc3339(info.created),
            expires: info.expires.map(rfc3339),
            referenced_bytes: info.referenced_bytes,
            exclusive_bytes: usage.exclusive_bytes,
        });
    }
    Ok(BranchList { branches: rows })
}

/// What the store costs.
pub fn store_usage(store: &Store) -> Result<StoreUsage> {
    let usage = store.usage()?;
    Ok(StoreUsage {
        file_bytes: usage.file_bytes,
        data_bytes: usage.data_bytes,
        metadata_bytes: usage.metadata_bytes,
        free_bytes: usage.free_bytes,
        reclaim_pending_bytes: usage.reclaim_pending_bytes,
        branches: usage.branches,
    })
}

/// What one branch costs.
pub fn branch_usage(store: &Store, name: &str) -> Result<BranchUsage> {
    let usage = store.branch(name)?.usage()?;
    Ok(BranchUsage {
        branch: name.into(),
        referenced_bytes: usage.referenced_bytes,
        exclusive_bytes: usage.exclusive_bytes,
        pinned_by_base_bytes: usage.pinned_by_base_bytes,
    })
}

/// Verifies everything.
pub fn check(store: &Store) -> Result<Checked> {
    let report = store.check()?;
    let severity = |severity| match severity {
        tine_store::Severity::Warning => Severity::Warning,
        tine_store::Severity::Error => Severity::Error,
        tine_store::Severity::Fatal => Severity::Fatal,
    };
    let findings = report.findings.into_iter().map(|finding| Finding {
        severity: severity(finding.severity),
        what: finding.what,
        place: finding.place,
    });
    Ok(Checked { findings: findings.collect(), blocks_checked: report.blocks_checked })
}

/// The one branch that was not made from another: what a fork is made from unless told otherwise.
pub fn only_root(store: &Store) -> Result<String> {
    let mut roots: Vec<String> = store
        .branches()?
        .into_iter()
        .filter(|info| info.parent.is_none() && !info.sealed && names::is_visible(&info.name))
        .map(|info| info.name)
        .collect();
    match (roots.pop(), roots.pop()) {
        (Some(root), None) => Ok(root),
        (None, _) => {
            let what = "there is no branch to start from: the store is empty";
            Err(Error::new(Code::BranchNotFound, what)
                .hint("take a directory in first: `tine import DIR NAME`"))
        }
        (Some(one), Some(another)) => {
            let what = format!("which branch to start from? there are {another}, {one} and others");
            let what = if roots.is_empty() { what.replace(" and others", "") } else { what };
            Err(Error::new(Code::Usage, what).hint("name it: --from NAME"))
        }
    }
}

//! How a store or a branch stands, as a program sees it and in words.

use serde_json::Value;
use tine_service::commands::servers::ServerRow;
use tine_service::commands::status::{BranchStatus, HereRow, MountRow, StoreStatus};
use tine_service::protocol::branches::BranchKind;
use tine_service::protocol::status::Drift;

use crate::amount::{count, size};
use crate::report::{Report, path};
use crate::tree::minute;

/// Branches of the current directory that are named; more are counted.
const NAMED: usize = 10;

impl Report for BranchStatus {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn lines(&self) -> Vec<String> {
        let kind = match self.kind {
            BranchKind::Branch => "",
            BranchKind::Snapshot => ", a snapshot",
        };
        let mut rows = vec![("branch", format!("{}{kind}", self.branch))];
        rows.push((
            "stands on",
            match &self.base {
                None => "nothing: it was made from no other".into(),
                Some(base) => {
                    let branch = base.branch.as_deref().unwrap_or("a branch that is gone");
                    format!("{branch}, since {}", minute(&base.forked))
                }
            },
        ));
        if let Some(directory) = &self.directory {
            rows.push(("directory", path(directory, self.directory_bytes.as_ref())));
        }
        rows.extend(self.drift.iter().map(|drift| ("moved on", drifted(drift))));
        rows.push(("created", minute(&self.created)));
        if let Some(time) = &self.expires {
            rows.push(("expires", minute(time)));
        }
        let (all, own) = (size(self.referenced_bytes), size(self.exclusive_bytes));
        rows.push(("size", format!("{all}, {own} of it alone")));
        if self.pinned_by_base_bytes > 0 {
            let kept = size(self.pinned_by_base_bytes);
            rows.push(("fork point", format!("keeps {kept} that nothing else reaches")));
        }
        if self.points > 0 {
            let points = count(self.points, "point", "points");
            rows.push(("history", format!("{points}; `tine log {}` shows them", self.branch)));
        }
        rows.extend(self.mounts.iter().map(|mount| ("mounted", mounted(mount))));
        rows.extend(self.servers.iter().map(|server| ("server", served(server))));
        table(&rows)
    }
}

impl Report for StoreStatus {
    const ASKED_FOR: bool = true;

    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn lines(&self) -> Vec<String> {
        let usage = &self.usage;
        let branches = count(usage.branches, "branch", "branches");
        let (file, free) = (size(usage.file_bytes), size(usage.free_bytes));
        let mut rows = vec![
            ("store", self.store.display().to_string()),
            ("holds", format!("{branches}, {file} on disk, {free} free inside")),
        ];
        rows.push(("here", here(&self.here)));
        if usage.points > 0 {
            let points =
                count(usage.points, "point or deleted branch", "points and deleted branches");
            let held = usage.points_bytes.map_or_else(|| "not counted".into(), size);
            rows.push(("history", format!("{points}, which hold {held} alone")));
        }
        for mount in &self.mounts {
            rows.push(("mounted", format!("{} at {}", mount.branch, mounted(mount))));
        }
        for server in &self.servers {
            rows.push(("server", format!("{}: {}", server.branch, served(server))));
        }
        table(&rows)
    }
}

fn here(branches: &[HereRow]) -> String {
    if branches.is_empty() {
        return "no branch comes from this directory".into();
    }
    let named = branches.iter().take(NAMED).map(|here| here.branch.as_str());
    let mut named = named.collect::<Vec<_>>().join(", ");
    if branches.len() > NAMED {
        named.push_str(&format!(" and {} more", branches.len() - NAMED));
    }
    named
}

fn drifted(drift: &Drift) -> String {
    format!("{}: {}", path(&drift.path, drift.path_bytes.as_ref()), drift.why)
}

fn mounted(mount: &MountRow) -> String {
    let mut text = path(&mount.directory, mount.directory_bytes.as_ref());
    if mount.read_only {
        text.push_str(", read-only");
    }
    if let Some(process) = mount.private_to {
        text.push_str(&format!(", for process {process} alone"));
    }
    if let Some(kept_by) = &mount.kept_by {
        text.push_str(&format!(", which it was taken off, but still in use: {kept_by}"));
    }
    text
}

fn served(server: &ServerRow) -> String {
    format!("{}, process {}, port {}", server.uri, server.pid, server.port)
}

fn table(rows: &[(&str, String)]) -> Vec<String> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect()
}

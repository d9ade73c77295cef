//! How a store or a branch stands, with what this machine knows of its mounts and servers.

use std::path::PathBuf;

use serde::Serialize;

use crate::client::Client;
use crate::commands::servers::{self, ServerRow};
use crate::machine::in_use;
use crate::protocol::branches::BranchKind;
use crate::protocol::history::Log;
use crate::protocol::mounts::{ListMounts, Mount, MountedBranch};
use crate::protocol::status::{
    Base, BranchState, DescribeBranch, DescribeStore, Drift, Here, StoreState,
};
use crate::protocol::usage::StoreUsage;
use crate::protocol::{RawBytes, Result};

/// How a branch stands. Its fields are those of the contract.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct BranchStatus {
    pub branch: String,
    pub kind: BranchKind,
    pub created: String,
    pub expires: Option<String>,
    pub base: Option<Base>,
    pub directory: Option<String>,
    /// The directory where it is not UTF-8; so are the others below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory_bytes: Option<RawBytes>,
    /// How the directory has moved on since it was imported.
    pub drift: Vec<Drift>,
    pub referenced_bytes: u64,
    pub exclusive_bytes: u64,
    pub pinned_by_base_bytes: u64,
    /// Points of its history that are kept.
    pub points: u64,
    pub mounts: Vec<MountRow>,
    pub servers: Vec<ServerRow>,
}

/// A place where a branch is mounted.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct MountRow {
    pub branch: String,
    pub directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory_bytes: Option<RawBytes>,
    pub read_only: bool,
    /// The process that the mount is private to, and that ends with it.
    pub private_to: Option<u32>,
    /// What keeps a mount that was taken off its directory, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_by: Option<String>,
}

/// A branch that comes from the current directory, or from one above it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct HereRow {
    pub branch: String,
    pub directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory_bytes: Option<RawBytes>,
}

/// How a store stands. Its fields are those of the contract.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct StoreStatus {
    pub store: PathBuf,
    #[serde(flatten)]
    pub usage: StoreUsage,
    pub here: Vec<HereRow>,
    pub mounts: Vec<MountRow>,
    pub servers: Vec<ServerRow>,
}

/// How a branch stands.
///
/// # Errors
/// `branch-not-found`, and those of reaching and reading the store.
pub fn branch(client: &Client, name: &str) -> Result<BranchStatus> {
    let state: BranchState = client.ask(DescribeBranch { name: name.into() })?;
    let servers = servers::list(client)?.into_iter();
    // Imports and points have no history of their own.
    let points = match state.branch.contains('@') {
        true => Vec::new(),
        false => client.ask(Log { name: state.branch.clone() })?.points,
    };
    Ok(BranchStatus {
        points: points.iter().filter(|row| row.gone.is_none()).count() as u64,
        mounts: state.mount.map(|mount| mount_row(&state.branch, &mount)).into_iter().collect(),
        servers: servers.filter(|server| server.branch == state.branch).collect(),
        branch: state.branch,
        kind: state.kind,
        created: state.created,
        expires: state.expires,
        base: state.base,
        directory_bytes: state.directory.as_ref().and_then(|path| RawBytes::unless_text(&path.0)),
        directory: state.directory.map(|path| text(&path.0)),
        drift: Vec::new(),
        referenced_bytes: state.referenced_bytes,
        exclusive_bytes: state.exclusive_bytes,
        pinned_by_base_bytes: state.pinned_by_base_bytes,
    })
}

/// How the store stands.
///
/// # Errors
/// Those of reaching and reading the store.
pub fn store(client: &Client) -> Result<StoreStatus> {
    let here = std::env::current_dir().ok();
    let here = here.map(|here| RawBytes(here.into_os_string().into_encoded_bytes()));
    let StoreState { usage, here } = client.ask(DescribeStore { here })?;
    let here = here.into_iter().map(|Here { branch, directory }| HereRow {
        branch,
        directory: text(&directory.0),
        directory_bytes: RawBytes::unless_text(&directory.0),
    });
    let here = here.collect();
    let mounts = client.ask(ListMounts)?;
    let mounts =
        mounts.iter().map(|MountedBranch { branch, mount }| mount_row(branch, mount)).collect();
    let servers = servers::list(client)?;
    Ok(StoreStatus { store: client.store().to_owned(), usage, here, mounts, servers })
}

fn mount_row(branch: &str, mount: &Mount) -> MountRow {
    let is_off = mount.private_to.is_none() && in_use::places(mount).is_empty();
    let directory = mount.directory.as_os_str().as_encoded_bytes();
    MountRow {
        branch: branch.into(),
        directory: text(directory),
        directory_bytes: RawBytes::unless_text(directory),
        read_only: mount.read_only,
        private_to: mount.private_to,
        kept_by: is_off.then(|| in_use::look_at(mount).words()),
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

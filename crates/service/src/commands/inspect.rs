//! What the holder knows of a mount.

use crate::client::Connection;
use crate::protocol::Result;
use crate::protocol::mounts::{ListMounts, Mount};

/// Where a branch is mounted.
pub fn find_mount(holder: &mut Connection, name: &str) -> Result<Option<Mount>> {
    let mounts = holder.ask(ListMounts)?;
    Ok(mounts.into_iter().find(|row| row.branch == name).map(|row| row.mount))
}

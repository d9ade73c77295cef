//! What the holder knows of a mount.

use crate::client::Connection;
use crate::protocol::Result;
use crate::protocol::mounts::{FindMount, Mount};

/// Where a branch is mounted.
pub fn find_mount(holder: &mut Connection, name: &str) -> Result<Option<Mount>> {
    holder.ask(FindMount { name: name.into() })
}

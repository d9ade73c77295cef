//! A whole tree, as a branch or the catalog names it.

use super::node::Link;
use crate::format::catalog::DiskRoot;
use crate::format::pointer::Ptr;

/// A whole tree: the link to its root node, its height above the leaves, and its sums.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub link: Link,
    pub level: u8,
    pub entries: u64,
    pub bytes: u64,
}

impl Root {
    pub fn on_disk(root: &DiskRoot) -> Root {
        Root {
            link: Link::Disk(root.ptr),
            level: root.level,
            entries: root.entries,
            bytes: root.bytes,
        }
    }

    pub fn to_disk(&self, ptr: Ptr) -> DiskRoot {
        DiskRoot { ptr, level: self.level, entries: self.entries, bytes: self.bytes }
    }
}

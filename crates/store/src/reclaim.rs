//! Taking dropped trees apart, in any order of deletion, step by atomic step.
//!
//! A step takes one pointer from the queue: if the node has other pointers, the count falls by one
//! and that is all; if it was the last, the node is freed and the pointers in it join the queue.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::extent::Extent;
use crate::sync::read;
use crate::tree::{Body, Root};

impl Engine {
    /// Takes one step. Returns `false` if the queue is empty.
    pub(crate) fn reclaim_step(&self) -> Result<bool> {
        self.health.check()?;
        let _no_cut = read(&self.cut_lock);
        let Some((id, root)) = self.reclaim.pop() else { return Ok(false) };
        self.changed();
        self.changed.records(1);
        // What a damaged node leads to keeps its space; the rest goes on.
        let taken = self.take_apart(&root);
        taken.inspect_err(|_| self.reclaim.set_aside(id, root)).map(|()| true)
    }

    /// Takes one pointer to a node away, and the node if it was the last. An error changes nothing.
    fn take_apart(&self, root: &Root) -> Result<()> {
        let node = self.nodes.load(&root.link, root.level)?;
        if let Some(ptr) = node.place.get()
            && !self.space.is_recorded(ptr.addr)?
        {
            // In a forged tree one node may stand in many places: without this it would be taken
            // apart once for each of them.
            return Err(Error::damaged_at(ptr.addr, "a tree node is named after it was freed"));
        }
        if !self.refs.release(&root.link)? {
            return Ok(());
        }
        match &node.body {
            Body::Inner { children, .. } => {
                self.changed.records(children.len() as u64);
                for child in children {
                    self.reclaim.push(Root {
                        link: child.link.clone(),
                        level: root.level - 1,
                        entries: child.entries,
                        bytes: child.bytes,
                    });
                }
            }
            Body::Leaf(entries) => {
                let extents = entries.extents().collect::<Result<Vec<_>>>()?;
                let runs: Vec<_> = extents.iter().map(Extent::run).collect();
                self.refs.release_runs(&runs, |at, run| self.free_data(run, extents[at].birth))?;
            }
        }
        self.free_node(&node);
        Ok(())
    }
}

//! Taking dropped trees apart, in any order of deletion, step by atomic step.
//!
//! The queue holds counted pointers. A step takes one: if the node has other pointers, the count
//! falls by one and that is all; if it was the last, the node is freed and the pointers in it join
//! the queue. The last one in is the first one out, so the queue stays short.

use crate::engine::Engine;
use crate::error::Result;
use crate::format::extent::Extent;
use crate::sync::{Mutex, lock, read};
use crate::tree::{Body, Root};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Reclaim(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    items: BTreeMap<u64, Root>,
    next: u64,
    /// Items added or taken since the last cut.
    touched: BTreeMap<u64, ()>,
}

impl Reclaim {
    /// The queue as a checkpoint left it.
    pub fn load(items: BTreeMap<u64, Root>, next: u64) -> Reclaim {
        Reclaim(Mutex::new(Queue { items, next, touched: BTreeMap::new() }))
    }

    pub fn push(&self, root: Root) {
        let mut queue = lock(&self.0);
        let id = queue.next;
        queue.next += 1;
        queue.touched.insert(id, ());
        queue.items.insert(id, root);
    }

    fn pop(&self) -> Option<Root> {
        let mut queue = lock(&self.0);
        let (id, root) = queue.items.pop_last()?;
        queue.touched.insert(id, ());
        Some(root)
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).items.is_empty()
    }

    /// Bytes that the queued trees reference: at most this much will be freed.
    pub fn pending_bytes(&self) -> u64 {
        lock(&self.0).items.values().map(|root| root.bytes).sum()
    }

    /// A checkpoint cuts here: what to put into the system tree, and what to take out of it.
    pub fn cut(&self) -> (Vec<(u64, Option<Root>)>, u64) {
        let mut queue = lock(&self.0);
        let touched = std::mem::take(&mut queue.touched);
        (touched.into_keys().map(|id| (id, queue.items.get(&id).cloned())).collect(), queue.next)
    }

    /// The checkpoint is durable: items that it placed need their nodes in memory no more.
    pub fn settle(&self) {
        for root in lock(&self.0).items.values_mut() {
            root.link.demote();
        }
    }
}

impl Engine {
    /// One step; false when the queue is empty.
    pub(crate) fn reclaim_step(&self) -> Result<bool> {
        self.health.check()?;
        let _epoch = read(&self.epoch);
        let Some(root) = self.reclaim.pop() else { return Ok(false) };
        self.changed();
        // Damage in a dropped tree leaks its space, which `check` reports; the rest goes on.
        self.take_apart(&root).map(|()| true)
    }

    fn take_apart(&self, root: &Root) -> Result<()> {
        let node = self.nodes.load(&root.link, root.level)?;
        if !self.refs.release(&root.link)? {
            return Ok(());
        }
        self.bury(&node);
        match &node.body {
            Body::Inner { children, .. } => {
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
                for i in 0..entries.len() {
                    if Extent::peek_blocks(entries.value(i)) == 0 {
                        continue;
                    }
                    let extent = Extent::decode(entries.value(i))
                        .map_err(|m| crate::error::Error::damaged(0, m.0))?;
                    self.refs.release_run((extent.addr, extent.blocks()), |run| {
                        self.free_data(run, extent.birth);
                    })?;
                }
            }
        }
        Ok(())
    }
}

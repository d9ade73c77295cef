//! Taking dropped trees apart, in any order of deletion, step by atomic step.
//!
//! The queue holds counted pointers. A step takes one: if the node has other pointers, the count
//! falls by one and that is all; if it was the last, the node is freed and the pointers in it join
//! the queue. The last one in is the first one out, so the queue stays short.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::sync::{Mutex, lock, read};
use crate::tree::{Body, Root};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Reclaim(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    items: BTreeMap<u64, Root>,
    /// Items that could not be read. They stay in the store, and the next life tries again.
    stuck: BTreeMap<u64, Root>,
    next: u64,
    /// Items added or taken since the last cut.
    touched: BTreeMap<u64, ()>,
}

impl Reclaim {
    /// The queue as a checkpoint left it.
    pub fn load(items: BTreeMap<u64, Root>, next: u64) -> Reclaim {
        Reclaim(Mutex::new(Queue { items, next, ..Queue::default() }))
    }

    pub fn push(&self, root: Root) {
        let mut queue = lock(&self.0);
        let id = queue.next;
        queue.next += 1;
        queue.touched.insert(id, ());
        queue.items.insert(id, root);
    }

    fn pop(&self) -> Option<(u64, Root)> {
        let mut queue = lock(&self.0);
        let (id, root) = queue.items.pop_last()?;
        queue.touched.insert(id, ());
        Some((id, root))
    }

    /// Puts an item back, not to be taken again.
    fn keep(&self, id: u64, root: Root) {
        lock(&self.0).stuck.insert(id, root);
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).items.is_empty()
    }

    /// Bytes that the queued trees reference: at most this much will be freed.
    pub fn pending_bytes(&self) -> u64 {
        let queue = lock(&self.0);
        queue.items.values().chain(queue.stuck.values()).map(|root| root.bytes).sum()
    }

    /// A checkpoint cuts here: what to put into the system tree, and what to take out of it.
    pub fn cut(&self) -> (Vec<(u64, Option<Root>)>, u64) {
        let mut queue = lock(&self.0);
        let touched = std::mem::take(&mut queue.touched);
        let item = |id| queue.items.get(&id).or_else(|| queue.stuck.get(&id)).cloned();
        (touched.into_keys().map(|id| (id, item(id))).collect(), queue.next)
    }

    /// The checkpoint is durable: items that it placed need their nodes in memory no more.
    pub fn settle(&self) {
        let mut queue = lock(&self.0);
        let queue = &mut *queue;
        for root in queue.items.values_mut().chain(queue.stuck.values_mut()) {
            drop(root.link.demote());
        }
    }
}

impl Engine {
    /// One step; false when the queue is empty.
    pub(crate) fn reclaim_step(&self) -> Result<bool> {
        self.health.check()?;
        let _epoch = read(&self.epoch);
        let Some((id, root)) = self.reclaim.pop() else { return Ok(false) };
        self.changed();
        self.changed.records(1);
        // What a damaged node leads to keeps its space; the rest goes on.
        let taken = self.take_apart(&root);
        taken.inspect_err(|_| self.reclaim.keep(id, root)).map(|()| true)
    }

    /// Takes one pointer to a node away, and the node if it was the last. An error changes nothing.
    fn take_apart(&self, root: &Root) -> Result<()> {
        let node = self.nodes.load(&root.link, root.level)?;
        if let Some(ptr) = node.place.get()
            && !self.space.is_recorded(ptr.addr)?
        {
            // In a forged tree one node may stand in many places: without this it would be taken
            // apart once for each of them.
            return Err(Error::damaged(ptr.addr, "a tree node is named after it was freed"));
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
                let runs: Vec<_> = extents.iter().map(|e| (e.addr, e.blocks())).collect();
                self.refs.release_runs(&runs, |at, run| self.free_data(run, extents[at].birth))?;
            }
        }
        self.bury(&node);
        Ok(())
    }
}

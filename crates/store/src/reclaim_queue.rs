//! Subtrees of dropped branches that wait to be taken apart: counted pointers.
//!
//! The last one in is the first one out, so the queue stays short.

use crate::format::ids::ReclaimId;
use crate::sync::{Mutex, lock};
use crate::tree::Root;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct ReclaimQueue(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    items: BTreeMap<ReclaimId, Root>,
    /// Items that could not be read. They stay in the store, and the next session tries again.
    stuck: BTreeMap<ReclaimId, Root>,
    next: ReclaimId,
    /// Items added or taken since the last cut.
    touched: BTreeMap<ReclaimId, ()>,
}

impl ReclaimQueue {
    /// The queue as a checkpoint left it.
    pub fn load(items: BTreeMap<ReclaimId, Root>, next: ReclaimId) -> ReclaimQueue {
        ReclaimQueue(Mutex::new(Queue { items, next, ..Queue::default() }))
    }

    pub fn push(&self, root: Root) {
        let mut queue = lock(&self.0);
        let id = queue.next;
        queue.next = id.next();
        queue.touched.insert(id, ());
        queue.items.insert(id, root);
    }

    pub fn pop(&self) -> Option<(ReclaimId, Root)> {
        let mut queue = lock(&self.0);
        let (id, root) = queue.items.pop_last()?;
        queue.touched.insert(id, ());
        Some((id, root))
    }

    /// Puts an item back, not to be taken again.
    pub fn set_aside(&self, id: ReclaimId, root: Root) {
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
    pub fn cut(&self) -> (Vec<(ReclaimId, Option<Root>)>, ReclaimId) {
        let mut queue = lock(&self.0);
        let touched = std::mem::take(&mut queue.touched);
        let item = |id| queue.items.get(&id).or_else(|| queue.stuck.get(&id)).cloned();
        (touched.into_keys().map(|id| (id, item(id))).collect(), queue.next)
    }

    /// The checkpoint is durable: items that it placed need their nodes in memory no more.
    pub fn finish_checkpoint(&self) {
        let mut queue = lock(&self.0);
        let queue = &mut *queue;
        for root in queue.items.values_mut().chain(queue.stuck.values_mut()) {
            drop(root.link.demote());
        }
    }
}

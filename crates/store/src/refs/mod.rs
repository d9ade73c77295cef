//! Lazy reference counts of nodes and of ranges of data blocks.
//!
//! A count is the number of pointers to a thing; only counts of two and more are stored, in the
//! system tree. They are derived state: changes gather here in memory, cancel, and reach the disk
//! with a checkpoint. A node that has no address yet is counted under its name in memory, and moves
//! to its address when a checkpoint places it.

mod apply;
mod ranges;

pub(crate) use apply::apply;
pub(crate) use ranges::RangeDeltas;

use crate::error::{Error, Result};
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::catalog::{PREFIX_COUNT, decode_count, key_number, number_key};
use crate::format::pointer::Ptr;
use crate::injected_bug::{InjectedBug, injected};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};
use crate::tree::{Body, Cursor, Link, Node, Nodes, Root};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Refs {
    nodes: Arc<Nodes>,
    state: Mutex<State>,
    /// How many counts differ from those of the last cut; read without the lock.
    changes: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// The system tree of the last durable checkpoint.
    system: Option<Root>,
    /// What the checkpoint being written adds.
    frozen: Option<Deltas>,
    live: Deltas,
    /// Nodes without an address that no pointer names any more, while a checkpoint may still place
    /// them.
    dead: HashSet<u64>,
}

#[derive(Debug, Default)]
struct Deltas {
    ranges: RangeDeltas,
    nodes: HashMap<u64, i64>,
}

/// How a counted thing is named.
#[derive(Clone, Copy)]
enum Target {
    Blocks(BlockRun),
    Memory(u64),
}

fn target(link: &Link) -> Target {
    match (link.ptr(), link) {
        (Some(ptr), _) => Target::Blocks(ptr.run()),
        (None, Link::Mem(node)) => Target::Memory(node.id),
        (None, Link::Disk(ptr)) => Target::Blocks(ptr.run()),
    }
}

impl Deltas {
    fn add(&mut self, target: Target, delta: i64) {
        match target {
            Target::Blocks(run) => self.ranges.add(run.start..run.end(), delta),
            Target::Memory(id) => {
                let sum = self.nodes.entry(id).or_default();
                *sum += delta;
                if *sum == 0 {
                    self.nodes.remove(&id);
                }
            }
        }
    }

    /// Moves what was counted under a node's name to its address.
    fn place(&mut self, id: u64, ptr: Ptr) {
        if let Some(delta) = self.nodes.remove(&id) {
            self.add(Target::Blocks(ptr.run()), delta);
        }
    }
}

impl State {
    /// The count of the block at `addr`, and where it may change next.
    fn count_at(&self, nodes: &Nodes, addr: BlockAddr) -> Result<(i64, BlockAddr)> {
        let (stored, mut until) = match &self.system {
            Some(system) => stored_count(nodes, system, addr)?,
            None => (1, BlockAddr::MAX),
        };
        let mut count = i64::from(stored);
        for deltas in self.frozen.iter().chain([&self.live]) {
            let (delta, end) = deltas.ranges.at(addr);
            count += delta;
            until = until.min(end);
        }
        if count < 1 || count > i64::from(u32::MAX) {
            return Err(Error::damaged_at(addr, format!("its reference count is {count}")));
        }
        Ok((count, until))
    }

    fn count(&self, nodes: &Nodes, target: Target) -> Result<i64> {
        match target {
            Target::Blocks(run) => Ok(self.count_at(nodes, run.start)?.0),
            Target::Memory(id) => {
                let delta = |d: &Deltas| d.nodes.get(&id).copied().unwrap_or_default();
                Ok(1 + self.frozen.as_ref().map_or(0, delta) + delta(&self.live))
            }
        }
    }
}

/// The stored count at `addr` (1 where none is), and where it may change next.
fn stored_count(nodes: &Nodes, system: &Root, addr: BlockAddr) -> Result<(u32, BlockAddr)> {
    let mut cursor = Cursor::seek_floor(nodes, system, &number_key(PREFIX_COUNT, addr.0))?;
    while let Some((key, value)) = cursor.next(nodes)? {
        if key.first() != Some(&PREFIX_COUNT) {
            if key.first() > Some(&PREFIX_COUNT) {
                break;
            }
            continue;
        }
        let start = BlockAddr(key_number(&key).map_err(|m| Error::damaged_at(addr, m.0))?);
        let (blocks, count) = decode_count(&value).map_err(|m| Error::damaged_at(addr, m.0))?;
        if start > addr {
            return Ok((1, start));
        }
        if addr < start.saturating_add(blocks) {
            return Ok((count, start + blocks));
        }
    }
    Ok((1, BlockAddr::MAX))
}

impl Refs {
    pub fn new(nodes: Arc<Nodes>, system: Option<Root>) -> Refs {
        let state = Mutex::new(State { system, ..State::default() });
        Refs { nodes, state, changes: AtomicUsize::new(0) }
    }

    /// How many counts the next checkpoint has to bring into the system tree.
    pub fn changes(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }

    fn note_changes(&self, state: &State) {
        let changes = state.live.ranges.len() + state.live.nodes.len();
        self.changes.store(changes, Ordering::Relaxed);
    }

    /// One more pointer to the node that `link` points to.
    pub fn share(&self, link: &Link) {
        let mut state = lock(&self.state);
        state.live.add(target(link), if injected(InjectedBug::CountTooHigh) { 2 } else { 1 });
        self.note_changes(&state);
    }

    /// A copy takes the place of `node` in one tree. Returns `true` if the node has other pointers:
    /// then it loses one, and all that it points to gains one. Returns `false` if this pointer was
    /// its last: the node is garbage, and nothing changes for what it points to.
    pub fn supersede(&self, node: &Arc<Node>) -> Result<bool> {
        let mut state = lock(&self.state);
        let named = target(&Link::Mem(Arc::clone(node)));
        if state.count(&self.nodes, named)? == 1 {
            return Ok(false);
        }
        state.live.add(named, -1);
        match &node.body {
            Body::Inner { children, .. } => {
                let missed = usize::from(injected(InjectedBug::CountTooLow));
                let children = children.iter().skip(missed);
                children.for_each(|child| state.live.add(target(&child.link), 1));
            }
            Body::Leaf(entries) => {
                for extent in entries.extents() {
                    state.live.add(Target::Blocks(extent?.run()), 1);
                }
            }
        }
        self.note_changes(&state);
        Ok(true)
    }

    /// Drops one pointer to the node. Returns `true` if it was the last.
    pub fn release(&self, link: &Link) -> Result<bool> {
        let mut state = lock(&self.state);
        let named = target(link);
        let last = state.count(&self.nodes, named)? == 1;
        if !last {
            state.live.add(named, -1);
        }
        self.note_changes(&state);
        Ok(last)
    }

    /// One more pointer to a run of data blocks.
    pub fn share_run(&self, run: BlockRun) {
        let mut state = lock(&self.state);
        state.live.add(Target::Blocks(run), 1);
        self.note_changes(&state);
    }

    /// One pointer fewer to each of some runs of data blocks; hands the parts whose last it was to
    /// `freed`, with the number of their run. An error changes nothing.
    pub fn release_runs(
        &self,
        runs: &[BlockRun],
        mut freed: impl FnMut(usize, BlockRun),
    ) -> Result<()> {
        let mut state = lock(&self.state);
        let (mut last, mut shared) = (Vec::new(), Vec::new());
        for (number, run) in runs.iter().enumerate() {
            let (mut at, end) = (run.start, run.end());
            while at < end {
                let (count, until) = state.count_at(&self.nodes, at).inspect_err(|_| {
                    shared.iter().for_each(|piece| state.live.add(*piece, 1));
                })?;
                let until = until.min(end);
                let piece = BlockRun::new(at, until - at);
                if count == 1 {
                    last.push((number, piece));
                } else {
                    let piece = Target::Blocks(piece);
                    state.live.add(piece, -1);
                    shared.push(piece);
                }
                at = until;
            }
        }
        self.note_changes(&state);
        drop(state);
        last.into_iter().for_each(|(number, piece)| freed(number, piece));
        Ok(())
    }

    /// The count of the data block at `addr`, and where it may change next.
    pub fn count_of_block(&self, addr: BlockAddr) -> Result<(i64, BlockAddr)> {
        lock(&self.state).count_at(&self.nodes, addr)
    }

    /// The count of the node that `link` points to.
    pub fn count_of(&self, link: &Link) -> Result<i64> {
        let state = lock(&self.state);
        state.count(&self.nodes, target(link))
    }

    /// The last pointer to `node` is gone. Its address, if the disk knows it; else a running
    /// checkpoint learns that it needs none.
    pub fn free_node(&self, node: &Node) -> Option<Ptr> {
        let mut state = lock(&self.state);
        let place = node.place.get().copied();
        if place.is_none() {
            // What is counted under its name cancels what the cut counted, and follows it to its
            // place.
            if state.frozen.is_some() {
                state.dead.insert(node.id);
            }
        }
        place
    }

    /// Gives `node` its place on disk. Returns `true` if it is garbage by now.
    pub fn place(&self, node: &Node, ptr: Ptr) -> bool {
        let mut state = lock(&self.state);
        // Only the one checkpoint that runs places nodes, each once.
        let _ = node.place.set(ptr);
        state.live.place(node.id, ptr);
        if let Some(frozen) = &mut state.frozen {
            frozen.place(node.id, ptr);
        }
        state.dead.remove(&node.id)
    }

    /// A checkpoint cuts here.
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        let live = std::mem::take(&mut state.live);
        state.frozen = Some(live);
        state.dead.clear();
        self.note_changes(&state);
    }

    /// The changes of the cut, once all its nodes have their places.
    pub fn frozen(&self) -> RangeDeltas {
        lock(&self.state).frozen.as_ref().map(|f| f.ranges.clone()).unwrap_or_default()
    }

    /// The checkpoint is durable; its system tree holds the changes of the cut.
    pub fn finish_checkpoint(&self, system: Root) {
        let mut state = lock(&self.state);
        state.system = Some(system);
        state.frozen = None;
        state.dead.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;
    use crate::format::ids::Generation;

    #[test]
    fn pointers_dropped_while_a_checkpoint_places_their_node_are_not_forgotten() {
        let nodes = Arc::new(Nodes::new(Arc::new(MemoryDevice::new()), 1 << 16));
        let refs = Refs::new(nodes, None);
        let node = Arc::new(Node::empty(Generation(1)));
        let link = Link::Mem(Arc::clone(&node));
        refs.share(&link);
        refs.cut();
        assert!(!refs.release(&link).unwrap());
        assert!(refs.release(&link).unwrap(), "the second of two pointers was the last");
        assert_eq!(refs.free_node(&node), None);
        assert!(
            refs.place(&node, Ptr { addr: BlockAddr(10), birth: Generation(1), sum: 0 }),
            "it is garbage by now"
        );
        assert_eq!(refs.frozen().at(BlockAddr(10)).0, 1, "the checkpoint records two pointers");
        assert_eq!(lock(&refs.state).live.ranges.at(BlockAddr(10)).0, -1, "and the next one none");
    }
}

//! What several branches hold together and nothing else does.
//!
//! The walk counts as taking them apart would: from each of their roots, it enters a node when as
//! many of its pointers were met as it has, so that no other tree leads to it. It costs time for
//! what the branches hold alone, however much they share with others.

use crate::engine::Engine;
use crate::error::Result;
use crate::format::block::BlockAddr;
use crate::format::extent::Extent;
use crate::format::ids::ForkPointId;
use crate::format::layout::{BLOCK_BYTES, NODE_BLOCKS};
use crate::pins::Pin;
use crate::sync::{lock, read};
use crate::tree::{Body, Node, Root};
use std::collections::{BTreeMap, HashMap};

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldBytes {
    /// Bytes that deleting the branches would free, or as many of them as were counted.
    pub bytes: u64,
    /// Whether all were counted.
    pub complete: bool,
}

/// A node: by its place, or by its number in memory while it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    Placed(BlockAddr),
    InMemory(u64),
}

struct Walk<'a> {
    engine: &'a Engine,
    /// Pointers met of nodes that have more than those.
    met: HashMap<Name, i64>,
    /// Blocks of data that have more pointers than were met: by their start, their end and how
    /// many were met.
    shared: BTreeMap<BlockAddr, (BlockAddr, i64)>,
    blocks: u64,
}

impl Engine {
    /// Bytes that deleting all of the branches would free, with the fork points that they alone
    /// keep. It ends early when `go_on` says so. A branch that is gone holds nothing.
    pub(crate) fn held_bytes(
        &self,
        names: &[&str],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<HeldBytes> {
        let (mut pending, _pin) = self.roots_of(names)?;
        let mut walk =
            Walk { engine: self, met: HashMap::new(), shared: BTreeMap::new(), blocks: 0 };
        while let Some(root) = pending.pop() {
            if !go_on() {
                return Ok(walk.held(false));
            }
            walk.visit(&root, &mut pending)?;
        }
        Ok(walk.held(true))
    }

    /// The roots of the branches, and of the fork points of which they are the only users.
    fn roots_of(&self, names: &[&str]) -> Result<(Vec<Root>, Pin)> {
        let mut catalog = lock(&self.catalog);
        let pin = self.pin();
        let mut roots = Vec::new();
        let mut users: HashMap<ForkPointId, u64> = HashMap::new();
        for name in names {
            let branch = match catalog.named(name) {
                Err(crate::Error::BranchNotFound { .. }) => continue,
                branch => branch?,
            };
            let state = read(&branch.state);
            roots.push(state.root.clone());
            if let Some(id) = state.meta.fork_point {
                *users.entry(id).or_default() += 1;
            }
        }
        for (id, count) in users {
            if let Some(kept) = catalog.fork_point(id)?.filter(|kept| kept.users == count) {
                roots.push(kept.root);
            }
        }
        Ok((roots, pin))
    }
}

impl Walk<'_> {
    fn held(&self, complete: bool) -> HeldBytes {
        HeldBytes { bytes: self.blocks * BLOCK_BYTES as u64, complete }
    }

    /// Meets one pointer to a node, and enters the node if it was its last.
    fn visit(&mut self, root: &Root, pending: &mut Vec<Root>) -> Result<()> {
        let count = self.engine.refs.count_of(&root.link)?;
        // Of most shared nodes the count says enough; what has one pointer is in no list.
        let node = self.engine.nodes.load(&root.link, root.level)?;
        if count > 1 {
            let met = self.met.entry(name(&node)).or_default();
            *met += 1;
            if *met != count {
                return Ok(());
            }
        }
        self.blocks += NODE_BLOCKS;
        match &node.body {
            Body::Inner { children, .. } => pending.extend(children.iter().map(|child| Root {
                link: child.link.clone(),
                level: root.level.saturating_sub(1),
                entries: child.entries,
                bytes: child.bytes,
            })),
            Body::Leaf(entries) => {
                for extent in entries.extents() {
                    self.meet(&extent?)?;
                }
            }
        }
        Ok(())
    }

    /// Meets one pointer to the blocks of an extent, and counts those of which it was the last.
    fn meet(&mut self, extent: &Extent) -> Result<()> {
        let (mut at, end) = (extent.addr, extent.run().end());
        while at < end {
            let (count, until) = self.engine.refs.count_of_block(at)?;
            let until = until.min(end);
            match count {
                1 => self.blocks += until - at,
                count => self.meet_shared(at, until, count),
            }
            at = until;
        }
        Ok(())
    }

    /// One more pointer to each of some blocks that have `count`.
    fn meet_shared(&mut self, start: BlockAddr, end: BlockAddr, count: i64) {
        let mut at = start;
        while at < end {
            let before = self.shared.range(..=at).next_back().map(|(from, run)| (*from, *run));
            match before.filter(|(_, (until, _))| *until > at) {
                Some((from, (until, met))) => {
                    // What lies before and after keeps its number.
                    let last = until.min(end);
                    if from < at {
                        self.shared.insert(from, (at, met));
                    }
                    if last < until {
                        self.shared.insert(last, (until, met));
                    }
                    self.shared.insert(at, (last, met + 1));
                    if met + 1 == count {
                        self.blocks += last - at;
                    }
                    at = last;
                }
                None => {
                    let next = self.shared.range(at..end).next().map_or(end, |(from, _)| *from);
                    self.shared.insert(at, (next, 1));
                    at = next;
                }
            }
        }
    }
}

fn name(node: &Node) -> Name {
    match node.place.get() {
        Some(ptr) => Name::Placed(ptr.addr),
        None => Name::InMemory(node.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;
    use crate::options::Options;
    use crate::store::Store;
    use std::sync::Arc;

    fn put(store: &Store, branch: &str, map: &[u8], blocks: usize) {
        let branch = store.branch(branch).unwrap();
        let staged = branch.stage(&vec![7; blocks * BLOCK_BYTES]).unwrap();
        let mut txn = branch.write().unwrap();
        txn.map(map, 0, staged).unwrap();
        txn.commit().unwrap();
    }

    /// What is held, compared with what comes free when the branches go.
    fn held(store: &Store, names: &[&str]) -> u64 {
        store.checkpoint().unwrap();
        let held = store.held_bytes(names, &mut || true).unwrap();
        assert!(held.complete);
        held.bytes
    }

    fn used(store: &Store) -> u64 {
        store.reclaim_all().unwrap();
        store.usage().unwrap().data_bytes
    }

    #[test]
    fn branches_hold_together_what_comes_free_when_all_of_them_go() {
        let options = Options { background: false, ..Options::default() };
        let store = Store::create_on(Arc::new(MemoryDevice::new()), &options).unwrap();
        store.create_branch("main").unwrap();
        put(&store, "main", b"old", 50);
        put(&store, "main", b"kept", 20);
        store.snapshot("main", "one").unwrap();
        store.snapshot("main", "two").unwrap();
        let (none, both) = (held(&store, &["one"]), held(&store, &["one", "two"]));
        assert!(none < 64 << 10 && both < 64 << 10, "{none}, {both}: main has it all");
        put(&store, "main", b"old", 50);
        let (one, both) = (held(&store, &["one"]), held(&store, &["one", "two", "gone"]));
        assert!(one < 64 << 10 && both > 200 << 10, "{one}, {both}");
        let mut steps = 0;
        let cut_short = store
            .held_bytes(&["one", "two"], &mut || {
                steps += 1;
                steps < 2
            })
            .unwrap();
        assert!(!cut_short.complete && cut_short.bytes <= both);
        let before = used(&store);
        store.delete("one").unwrap();
        store.delete("two").unwrap();
        let freed = before - used(&store);
        assert!(freed.abs_diff(both) <= 64 << 10, "{freed} freed, {both} counted");
        assert_eq!(store.check().unwrap().findings, []);
    }
}

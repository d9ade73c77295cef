//! Reading a tree of which parts are damaged: what can be read in order, and what cannot by name.

use crate::error::{Error, Result};
use crate::tree::{Body, Entries, Link, Node, Nodes, Root};
use std::sync::Arc;

/// A subtree that could not be read.
#[derive(Debug)]
pub(super) struct Lost {
    /// The first key that it may have held.
    pub from: Vec<u8>,
    /// The first key that it did not hold; none where it went to the end.
    pub until: Option<Vec<u8>>,
    /// What is wrong with it, and where.
    pub why: String,
}

/// Goes through the entries of a tree in order, past damaged nodes.
pub(super) struct Salvage<'a> {
    nodes: &'a Nodes,
    /// From the root down.
    path: Vec<Step>,
    pub lost: Vec<Lost>,
}

/// A node on the way, and where it is to be gone on.
struct Step {
    node: Arc<Node>,
    /// The child or record that comes next.
    at: usize,
    part: Part,
}

/// What a step met.
enum Met {
    Entry(Vec<u8>, Vec<u8>),
    Child(Part, Link, u8),
    End,
}

/// A part of the keys of a tree.
#[derive(Clone)]
struct Part {
    from: Vec<u8>,
    until: Option<Vec<u8>>,
}

impl Part {
    fn holds(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice()
            && self.until.as_ref().is_none_or(|until| key < until.as_slice())
    }

    fn is_empty(&self) -> bool {
        self.until.as_ref().is_some_and(|until| *until <= self.from)
    }

    /// The part of child `at` of a node of this part. What sorts before the first key belongs to
    /// the first child, too.
    fn of_child(&self, keys: &Entries, at: usize) -> Part {
        let from = match at {
            0 => self.from.clone(),
            _ => self.from.as_slice().max(keys.key(at)).to_vec(),
        };
        let next = (at + 1 < keys.len()).then(|| keys.key(at + 1).to_vec());
        let until = match (next, self.until.clone()) {
            (Some(next), Some(until)) => Some(next.min(until)),
            (next, until) => next.or(until),
        };
        Part { from, until }
    }
}

impl<'a> Salvage<'a> {
    pub fn of(nodes: &'a Nodes, root: &Root) -> Salvage<'a> {
        let mut salvage = Salvage { nodes, path: Vec::new(), lost: Vec::new() };
        salvage.enter(Part { from: Vec::new(), until: None }, &root.link, root.level);
        salvage
    }

    fn enter(&mut self, part: Part, link: &Link, level: u8) {
        // A node that the device cannot read is as lost as one that fails its checksum.
        match self.load(&part, link, level) {
            Ok(node) => self.path.push(Step { node, at: 0, part }),
            Err(error) => {
                let Part { from, until } = part;
                self.lost.push(Lost { from, until, why: error.to_string() });
            }
        }
    }

    /// A node that holds keys of its part alone: else one node could stand for many, and its reader
    /// would never end.
    fn load(&self, part: &Part, link: &Link, level: u8) -> Result<Arc<Node>> {
        let node = self.nodes.load(link, level)?;
        let sound = match &node.body {
            Body::Leaf(keys) if keys.len() == 0 => self.path.is_empty(),
            Body::Leaf(keys) => part.holds(keys.key(0)) && part.holds(keys.key(keys.len() - 1)),
            Body::Inner { .. } => !part.is_empty(),
        };
        match sound {
            true => Ok(node),
            false => Err(Error::damaged("a tree node holds keys of another")),
        }
    }

    fn step(Step { node, at, part }: &Step) -> Met {
        match &node.body {
            Body::Leaf(entries) if *at < entries.len() => {
                Met::Entry(entries.key(*at).to_vec(), entries.value(*at).to_vec())
            }
            Body::Inner { keys, children } if *at < children.len() => {
                let part = part.of_child(keys, *at);
                Met::Child(part, children[*at].link.clone(), node.level - 1)
            }
            _ => Met::End,
        }
    }
}

impl Iterator for Salvage<'_> {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        loop {
            let step = self.path.last_mut()?;
            let met = Self::step(step);
            step.at += 1;
            match met {
                Met::Entry(key, value) => return Some((key, value)),
                Met::Child(part, link, level) => self.enter(part, &link, level),
                Met::End => drop(self.path.pop()),
            }
        }
    }
}

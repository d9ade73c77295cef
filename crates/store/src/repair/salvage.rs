//! Reading a tree of which parts are damaged: what can be read in order, and what cannot by name.

use crate::error::Result;
use crate::tree::{Body, Link, Node, Nodes, Root};
use std::sync::Arc;

/// A subtree that could not be read.
#[derive(Debug)]
pub(super) struct Lost {
    /// The first key that it may have held.
    pub from: Vec<u8>,
    /// What is wrong with it, and where.
    pub why: String,
}

/// Goes through the entries of a tree in order, past damaged nodes.
pub(super) struct Salvage<'a> {
    nodes: &'a Nodes,
    /// From the root down: node, and the child or record that comes next.
    path: Vec<(Arc<Node>, usize)>,
    pub lost: Vec<Lost>,
}

/// What a step met.
enum Met {
    Entry(Vec<u8>, Vec<u8>),
    Child(Vec<u8>, Link, u8),
    End,
}

impl<'a> Salvage<'a> {
    pub fn of(nodes: &'a Nodes, root: &Root) -> Salvage<'a> {
        let mut salvage = Salvage { nodes, path: Vec::new(), lost: Vec::new() };
        salvage.enter(Vec::new(), &root.link, root.level);
        salvage
    }

    fn enter(&mut self, from: Vec<u8>, link: &Link, level: u8) {
        // A node that the device cannot read is as lost as one that fails its checksum.
        match self.load(link, level) {
            Ok(node) => self.path.push((node, 0)),
            Err(error) => self.lost.push(Lost { from, why: error.to_string() }),
        }
    }

    fn load(&self, link: &Link, level: u8) -> Result<Arc<Node>> {
        self.nodes.load(link, level)
    }

    fn step(node: &Node, at: usize) -> Met {
        match &node.body {
            Body::Leaf(entries) if at < entries.len() => {
                Met::Entry(entries.key(at).to_vec(), entries.value(at).to_vec())
            }
            Body::Inner { keys, children } if at < children.len() => {
                Met::Child(keys.key(at).to_vec(), children[at].link.clone(), node.level - 1)
            }
            _ => Met::End,
        }
    }
}

impl Iterator for Salvage<'_> {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        loop {
            let (node, at) = self.path.last_mut()?;
            let met = Self::step(node, *at);
            *at += 1;
            match met {
                Met::Entry(key, value) => return Some((key, value)),
                Met::Child(from, link, level) => self.enter(from, &link, level),
                Met::End => drop(self.path.pop()),
            }
        }
    }
}

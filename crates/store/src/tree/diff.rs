//! What differs between two trees, in key order. Subtrees that both share are skipped, so the cost
//! follows the changes.

use super::bounds::Bounds;
use super::cursor::Entry;
use super::node::{Body, Link, Node};
use super::nodes::Nodes;
use super::root::Root;
use crate::error::Result;
use std::cmp::Ordering;
use std::sync::Arc;

/// A key with its value before and after.
pub(crate) type RawChange = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

/// A node on the path: the record or child that comes next, and the lowest key it may hold.
#[derive(Debug)]
struct Step {
    node: Arc<Node>,
    index: usize,
    low: Vec<u8>,
}

/// A walk through one of the trees.
#[derive(Debug)]
struct Side {
    path: Vec<Step>,
    /// The root, until it is entered.
    root: Option<(Link, u8)>,
}

/// Walks both trees side by side.
#[derive(Debug)]
pub(crate) struct Difference {
    before: Side,
    after: Side,
}

/// What a side stands before.
enum Next {
    End,
    Subtree { link: Link, level: u8, low: Vec<u8> },
    Entry(Entry),
}

impl Side {
    fn new(root: &Root) -> Side {
        Side { path: Vec::new(), root: Some((root.link.clone(), root.level)) }
    }

    fn peek(&mut self) -> Next {
        if let Some((link, level)) = &self.root {
            return Next::Subtree { link: link.clone(), level: *level, low: Vec::new() };
        }
        while let Some(Step { node, index, low }) = self.path.last() {
            if *index < node.records() {
                return match &node.body {
                    Body::Leaf(e) => {
                        Next::Entry((e.key(*index).to_vec(), e.value(*index).to_vec()))
                    }
                    Body::Inner { keys, children } => Next::Subtree {
                        link: children[*index].link.clone(),
                        level: node.level - 1,
                        low: if *index == 0 { low.clone() } else { keys.key(*index).to_vec() },
                    },
                };
            }
            self.path.pop();
            self.skip();
        }
        Next::End
    }

    /// Passes the record or subtree that comes next.
    fn skip(&mut self) {
        if self.root.take().is_none()
            && let Some(step) = self.path.last_mut()
        {
            step.index += 1;
        }
    }

    /// Goes down into the subtree that comes next.
    fn enter(&mut self, nodes: &Nodes, link: &Link, level: u8, low: Vec<u8>) -> Result<()> {
        let node = nodes.load(link, level)?;
        if self.root.take().is_none() {
            Bounds::below(self.path.iter().map(|step| (&*step.node, step.index))).admit(&node)?;
        }
        self.path.push(Step { node, index: 0, low });
        Ok(())
    }
}

impl Difference {
    pub fn new(before: &Root, after: &Root) -> Difference {
        Difference { before: Side::new(before), after: Side::new(after) }
    }

    /// The next change; `None` at the end.
    pub fn next(&mut self, nodes: &Nodes) -> Result<Option<RawChange>> {
        loop {
            match (self.before.peek(), self.after.peek()) {
                (Next::End, Next::End) => return Ok(None),
                (
                    Next::Subtree { link, level, low },
                    Next::Subtree { link: other, level: other_level, low: other_low },
                ) => {
                    // Shared subtrees stand side by side as soon as both walks have gone down to
                    // them: the one that begins lower, or stands higher, goes down first.
                    if link.same(&other) {
                        self.before.skip();
                        self.after.skip();
                    } else {
                        match level.cmp(&other_level).reverse().then_with(|| low.cmp(&other_low)) {
                            Ordering::Less => self.before.enter(nodes, &link, level, low)?,
                            Ordering::Greater => {
                                self.after.enter(nodes, &other, other_level, other_low)?
                            }
                            Ordering::Equal => {
                                self.before.enter(nodes, &link, level, low)?;
                                self.after.enter(nodes, &other, other_level, other_low)?;
                            }
                        }
                    }
                }
                // An entry below all that the subtree holds leaves the subtree whole.
                (Next::Subtree { low, .. }, Next::Entry(new)) if new.0 < low => {
                    return Ok(Some(self.only_after(new)));
                }
                (Next::Entry(old), Next::Subtree { low, .. }) if old.0 < low => {
                    return Ok(Some(self.only_before(old)));
                }
                (Next::Subtree { link, level, low }, _) => {
                    self.before.enter(nodes, &link, level, low)?
                }
                (_, Next::Subtree { link, level, low }) => {
                    self.after.enter(nodes, &link, level, low)?
                }
                (Next::Entry(old), Next::Entry(new)) => match old.0.cmp(&new.0) {
                    Ordering::Less => return Ok(Some(self.only_before(old))),
                    Ordering::Greater => return Ok(Some(self.only_after(new))),
                    Ordering::Equal => {
                        self.before.skip();
                        self.after.skip();
                        if old.1 != new.1 {
                            return Ok(Some((old.0, Some(old.1), Some(new.1))));
                        }
                    }
                },
                (Next::Entry(old), Next::End) => return Ok(Some(self.only_before(old))),
                (Next::End, Next::Entry(new)) => return Ok(Some(self.only_after(new))),
            }
        }
    }

    fn only_before(&mut self, (key, value): Entry) -> RawChange {
        self.before.skip();
        (key, Some(value), None)
    }

    fn only_after(&mut self, (key, value): Entry) -> RawChange {
        self.after.skip();
        (key, None, Some(value))
    }
}

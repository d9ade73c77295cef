//! Concatenation of two trees in O(log n). Nodes along the seam are joined down to the leaves, so
//! that no thin node is left inside.

use core::mem;
use triomphe::Arc;

use super::chunk::Chunk;
use super::node::{Inner, Node, unique};
use super::shape::TreeMut;

/// All items of `left`, then all of `right`. Marks of maps need every key of `left` below every key
/// of `right`.
pub(crate) fn concat<K: TreeMut>(left: Node<K>, right: Node<K>) -> Node<K> {
    if left.len() == 0 {
        return right;
    }
    if right.len() == 0 {
        return left;
    }
    match join(left, right) {
        (one, None) => one.plain(),
        (left, Some(right)) => Inner::over([left, right]),
    }
}

/// One or two nodes as high as the higher of both.
fn join<K: TreeMut>(left: Node<K>, right: Node<K>) -> (Node<K>, Option<Node<K>>) {
    let (above, below) = (left.height(), right.height());
    match (left, right) {
        (Node::Leaf(a), Node::Leaf(b)) => join_leaves(a, b),
        (Node::Inner(mut a), right) if above > below => {
            let inner = unique(&mut a);
            let (child, more) = seam(inner.pop(), Some(right));
            child.into_iter().for_each(|child| inner.push(child));
            let rest = more.and_then(|more| {
                if !inner.is_full() {
                    inner.push(more);
                    return None;
                }
                let mut right = Inner::empty(inner.height);
                right.push(more);
                balance(inner, &mut right);
                Some(Node::Inner(Arc::new(right)))
            });
            (Node::Inner(a), rest)
        }
        (left, Node::Inner(mut b)) if above < below => {
            let inner = unique(&mut b);
            let (child, more) = seam(Some(left), inner.pop_front());
            // Of two nodes the right one goes back first. There is room, since one child was taken.
            let (first, second) = match (child, more) {
                (first, None) => (None, first),
                (first, second) => (first, second),
            };
            if let Some(child) = second {
                inner.push_front(child);
            }
            let Some(child) = first else { return (Node::Inner(b), None) };
            if !inner.is_full() {
                inner.push_front(child);
                return (Node::Inner(b), None);
            }
            let mut left = Inner::empty(inner.height);
            left.push(child);
            balance(&mut left, inner);
            (Node::Inner(Arc::new(left)), Some(Node::Inner(b)))
        }
        (Node::Inner(mut a), Node::Inner(mut b)) => {
            let (left, right) = (unique(&mut a), unique(&mut b));
            let (child, more) = seam(left.pop(), right.pop_front());
            child.into_iter().for_each(|child| left.push(child));
            if let Some(more) = more {
                if left.is_full() { right.push_front(more) } else { left.push(more) }
            }
            balance(left, right);
            let rest = (!right.children.is_empty()).then_some(Node::Inner(b));
            (Node::Inner(a), rest)
        }
        _ => unreachable!("a leaf is never higher than a node"),
    }
}

/// Joins what lies on both sides of the seam.
fn seam<K: TreeMut>(
    left: Option<Node<K>>,
    right: Option<Node<K>>,
) -> (Option<Node<K>>, Option<Node<K>>) {
    match (left, right) {
        (Some(left), Some(right)) => {
            let (left, right) = join(left, right);
            (Some(left), right)
        }
        (one, other) => (one.or(other), None),
    }
}

fn join_leaves<K: TreeMut>(
    mut a: Chunk<K::Item>,
    mut b: Chunk<K::Item>,
) -> (Node<K>, Option<Node<K>>) {
    let count = a.len() + b.len();
    if count <= K::LEAF {
        a.append(b);
        return (Node::Leaf(a), None);
    }
    let thin = K::LEAF / 4;
    if a.len() < thin {
        let at = K::split_point(b.items(), (b.len() - a.len()) / 2);
        if at > 0 && at < b.len() {
            let rest = b.split_off(at);
            a.append(mem::replace(&mut b, rest));
        }
    } else if b.len() < thin {
        let at = K::split_point(a.items(), a.len() - (a.len() - b.len()) / 2);
        if at > 0 && at < a.len() {
            let mut moved = a.split_off(at);
            moved.append(b);
            b = moved;
        }
    }
    (Node::Leaf(a), Some(Node::Leaf(b)))
}

/// Moves all children to `left` if they fit, or evens them out if one node is thin.
fn balance<K: TreeMut>(left: &mut Inner<K>, right: &mut Inner<K>) {
    let (a, b) = (left.children.len(), right.children.len());
    let half = (a + b) / 2;
    if a + b <= K::FANOUT {
        left.append(right);
    } else if a < K::FANOUT / 2 {
        let mut rest = right.split_off(half - a);
        left.append(right);
        mem::swap(right, &mut rest);
    } else if b < K::FANOUT / 2 {
        let mut moved = left.split_off(half);
        moved.append(right);
        mem::swap(right, &mut moved);
    }
}

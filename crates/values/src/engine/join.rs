//! Concatenation of two trees in O(log n): the seam is healed down to the leaves, so that nothing thin is left inside.

use core::mem;
use triomphe::Arc;

use super::chunk::Chunk;
use super::kind::Grow;
use super::node::{Inner, Node, unique};

/// All items of `left`, then all of `right`. Marks of maps need every key of `left` below every key of `right`.
pub(crate) fn concat<K: Grow>(left: Node<K>, right: Node<K>) -> Node<K> {
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
fn join<K: Grow>(left: Node<K>, right: Node<K>) -> (Node<K>, Option<Node<K>>) {
    let (above, below) = (left.height(), right.height());
    match (left, right) {
        (Node::Leaf(a), Node::Leaf(b)) => join_leaves(a, b),
        (Node::Inner(mut a), right) if above > below => {
            let inner = unique(&mut a);
            let (kid, more) = seam(inner.pop(), Some(right));
            kid.into_iter().for_each(|kid| inner.push(kid));
            let rest = more.and_then(|more| {
                if !inner.is_full() {
                    inner.push(more);
                    return None;
                }
                let mut right = Inner::empty(inner.height);
                right.push(more);
                level(inner, &mut right);
                Some(Node::Inner(Arc::new(right)))
            });
            (Node::Inner(a), rest)
        }
        (left, Node::Inner(mut b)) if above < below => {
            let inner = unique(&mut b);
            let (kid, more) = seam(Some(left), inner.pop_front());
            // Of two nodes the right one goes back first; there is room, since one child was taken.
            let (first, second) = match (kid, more) {
                (first, None) => (None, first),
                (first, second) => (first, second),
            };
            if let Some(kid) = second {
                inner.push_front(kid);
            }
            let Some(kid) = first else { return (Node::Inner(b), None) };
            if !inner.is_full() {
                inner.push_front(kid);
                return (Node::Inner(b), None);
            }
            let mut left = Inner::empty(inner.height);
            left.push(kid);
            level(&mut left, inner);
            (Node::Inner(Arc::new(left)), Some(Node::Inner(b)))
        }
        (Node::Inner(mut a), Node::Inner(mut b)) => {
            let (left, right) = (unique(&mut a), unique(&mut b));
            let (kid, more) = seam(left.pop(), right.pop_front());
            kid.into_iter().for_each(|kid| left.push(kid));
            if let Some(more) = more {
                if left.is_full() { right.push_front(more) } else { left.push(more) }
            }
            level(left, right);
            let rest = (!right.kids.is_empty()).then_some(Node::Inner(b));
            (Node::Inner(a), rest)
        }
        _ => unreachable!("a leaf is never higher than a node"),
    }
}

/// Joins what lies on both sides of the seam.
fn seam<K: Grow>(
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

fn join_leaves<K: Grow>(
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
        let cut = K::cut(b.items(), (b.len() - a.len()) / 2);
        if cut > 0 && cut < b.len() {
            let rest = b.split_off(cut);
            a.append(mem::replace(&mut b, rest));
        }
    } else if b.len() < thin {
        let cut = K::cut(a.items(), a.len() - (a.len() - b.len()) / 2);
        if cut > 0 && cut < a.len() {
            let mut moved = a.split_off(cut);
            moved.append(b);
            b = moved;
        }
    }
    (Node::Leaf(a), Some(Node::Leaf(b)))
}

/// Puts all children in `left` when they fit, or evens out when one node is thin.
fn level<K: Grow>(left: &mut Inner<K>, right: &mut Inner<K>) {
    let (a, b) = (left.kids.len(), right.kids.len());
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

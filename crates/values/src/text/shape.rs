//! The shape of a text: a sequence of bytes whose leaves begin and end between characters.

use arrayvec::ArrayVec;

use crate::engine::node::Node;
use crate::engine::shape::{TreeMut, TreeShape, leaf_items};
use crate::seq::shape::{FANOUT, Sequence};

pub(crate) struct Utf8;

impl TreeShape for Utf8 {
    type Item = u8;
    type Mark = usize;
    type Marks = ArrayVec<usize, FANOUT>;
    type Children = ArrayVec<Node<Self>, FANOUT>;

    const FANOUT: usize = FANOUT;
    const LEAF: usize = leaf_items(1, 1024);

    fn start(mark: &usize) -> Option<usize> {
        Some(*mark)
    }
}

impl TreeMut for Utf8 {
    fn mark(_first: &u8) -> usize {
        0
    }

    fn mark_of(_kid: &Node<Self>) -> usize {
        0
    }

    fn shift(marks: &mut [usize], by: isize) {
        Sequence::<u8>::shift(marks, by);
    }

    fn split_point(items: &[u8], near: usize) -> usize {
        let begins = |at: &usize| items.get(*at).is_none_or(|byte| begins_character(*byte));
        match (0..=near.min(items.len())).rev().find(begins) {
            Some(0) | None => (near..items.len()).find(begins).unwrap_or(items.len()),
            Some(at) => at,
        }
    }
}

/// Returns `true` if a byte of valid UTF-8 is the first of a character.
pub(crate) fn begins_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

//! A leaf of the tree: a run of items in one allocation with its reference count.
//!
//! The capacity of a leaf is part of its type, so that the items lie next to the count and a read
//! follows one pointer. A leaf grows through a ladder of sizes. What does not fit the ladder (a run
//! that must not be split, or items of one byte) lies in a plain `Vec`. Cloning a leaf counts a
//! reference. Changing a shared one copies it first.

use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::ops::Range;
use triomphe::Arc;

use crate::stats;

/// Items of the largest size of the ladder.
const LADDER_MAX: usize = 128;

pub(crate) enum Chunk<T> {
    Empty,
    C4(Arc<ArrayVec<T, 4>>),
    C8(Arc<ArrayVec<T, 8>>),
    C16(Arc<ArrayVec<T, 16>>),
    C24(Arc<ArrayVec<T, 24>>),
    C32(Arc<ArrayVec<T, 32>>),
    C64(Arc<ArrayVec<T, 64>>),
    C128(Arc<ArrayVec<T, 128>>),
    Long(Arc<Vec<T>>),
}

/// Runs one expression for every size of the ladder.
macro_rules! each {
    ($chunk:expr, $arc:ident => $body:expr, $empty:expr) => {
        match $chunk {
            Chunk::Empty => $empty,
            Chunk::C4($arc) => $body,
            Chunk::C8($arc) => $body,
            Chunk::C16($arc) => $body,
            Chunk::C24($arc) => $body,
            Chunk::C32($arc) => $body,
            Chunk::C64($arc) => $body,
            Chunk::C128($arc) => $body,
            Chunk::Long($arc) => $body,
        }
    };
}

impl<T> Clone for Chunk<T> {
    fn clone(&self) -> Self {
        match self {
            Chunk::Empty => Chunk::Empty,
            Chunk::C4(arc) => Chunk::C4(arc.clone()),
            Chunk::C8(arc) => Chunk::C8(arc.clone()),
            Chunk::C16(arc) => Chunk::C16(arc.clone()),
            Chunk::C24(arc) => Chunk::C24(arc.clone()),
            Chunk::C32(arc) => Chunk::C32(arc.clone()),
            Chunk::C64(arc) => Chunk::C64(arc.clone()),
            Chunk::C128(arc) => Chunk::C128(arc.clone()),
            Chunk::Long(arc) => Chunk::Long(arc.clone()),
        }
    }
}

// Not inlined: the buffer of a large size must not widen the frame of a caller that only names it.
#[inline(never)]
fn room<T, const N: usize>() -> Arc<ArrayVec<T, N>> {
    Arc::new(ArrayVec::new())
}

impl<T> Chunk<T> {
    /// An empty leaf with room for at least `count` items.
    pub(crate) fn with_room(count: usize) -> Self {
        match count {
            0 => Chunk::Empty,
            1..=4 => Chunk::C4(room()),
            5..=8 => Chunk::C8(room()),
            9..=16 => Chunk::C16(room()),
            17..=24 => Chunk::C24(room()),
            25..=32 => Chunk::C32(room()),
            33..=64 => Chunk::C64(room()),
            65..=128 => Chunk::C128(room()),
            _ => Chunk::Long(Arc::new(Vec::with_capacity(count))),
        }
    }

    #[inline(always)]
    pub(crate) fn items(&self) -> &[T] {
        // The sizes of full leaves first: that is a well predicted test instead of a jump through a
        // table.
        match self {
            Chunk::C128(arc) => arc.as_slice(),
            Chunk::C32(arc) => arc.as_slice(),
            other => other.items_of_any(),
        }
    }

    /// The items of a leaf with the capacity of a full one of `count` items. Empty for other
    /// leaves.
    #[inline(always)]
    pub(crate) fn items_of_full(&self, count: usize) -> &[T] {
        match (self, count) {
            (Chunk::C8(arc), 8) => arc.as_slice(),
            (Chunk::C16(arc), 16) => arc.as_slice(),
            (Chunk::C32(arc), 32) => arc.as_slice(),
            (Chunk::C64(arc), 64) => arc.as_slice(),
            (Chunk::C128(arc), 128) => arc.as_slice(),
            (Chunk::Long(arc), 129..) => arc.as_slice(),
            _ => &[],
        }
    }

    #[inline(never)]
    fn items_of_any(&self) -> &[T] {
        each!(self, arc => arc.as_slice(), &[])
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        each!(self, arc => arc.len(), 0)
    }

    fn room_len(&self) -> usize {
        each!(self, arc => arc.capacity(), 0)
    }

    pub(crate) fn is_unique(&self) -> bool {
        each!(self, arc => arc.is_unique(), true)
    }

    /// The address of the allocation, 0 for none: equal addresses are the same leaf.
    pub(crate) fn address(&self) -> usize {
        each!(self, arc => arc.heap_ptr() as usize, 0)
    }

    /// Bytes of heap that the leaf allocated.
    pub(crate) fn heap_bytes(&self) -> usize {
        fn of<U>(_: &Arc<U>) -> usize {
            arc_bytes::<U>()
        }
        match self {
            Chunk::Long(arc) => of(arc) + arc.capacity() * size_of::<T>(),
            other => each!(other, arc => of(arc), 0),
        }
    }
}

impl<T: Clone> Chunk<T> {
    /// The same items in an allocation of at least `count` items. They are moved if this leaf is
    /// the only owner.
    #[cold]
    fn moved(mut self, count: usize) -> Self {
        let mut moved = Chunk::with_room(count);
        if self.is_unique() {
            self.drain_into(&mut |items| moved.take_all(items));
        } else {
            stats::copied(self.len() * size_of::<T>());
            moved.take_all(&mut self.items().iter().cloned());
        }
        moved
    }

    /// Hands all items of a leaf with one owner to `take`.
    fn drain_into(&mut self, take: &mut dyn FnMut(&mut dyn Iterator<Item = T>)) {
        each!(self, arc => {
            if let Some(items) = Arc::get_mut(arc) {
                take(&mut items.drain(..));
            }
        }, ());
    }

    /// Appends items to a leaf with one owner and room for them.
    fn take_all(&mut self, items: &mut dyn Iterator<Item = T>) {
        each!(self, arc => {
            if let Some(all) = Arc::get_mut(arc) {
                all.extend(items);
            }
        }, ());
    }

    /// Makes this leaf the only owner of its items.
    #[inline]
    pub(crate) fn make_unique(&mut self) {
        if !self.is_unique() {
            self.copy();
        }
    }

    #[cold]
    #[inline(never)]
    fn copy(&mut self) {
        stats::copied(self.len() * size_of::<T>());
        fn same<T: Clone, const N: usize>(items: &[T]) -> Arc<ArrayVec<T, N>> {
            let mut copy = room();
            if let Some(all) = Arc::get_mut(&mut copy) {
                all.extend(items.iter().cloned());
            }
            copy
        }
        *self = match &*self {
            Chunk::Empty => Chunk::Empty,
            Chunk::C4(arc) => Chunk::C4(same(arc)),
            Chunk::C8(arc) => Chunk::C8(same(arc)),
            Chunk::C16(arc) => Chunk::C16(same(arc)),
            Chunk::C24(arc) => Chunk::C24(same(arc)),
            Chunk::C32(arc) => Chunk::C32(same(arc)),
            Chunk::C64(arc) => Chunk::C64(same(arc)),
            Chunk::C128(arc) => Chunk::C128(same(arc)),
            Chunk::Long(arc) => {
                let mut copy = Vec::with_capacity(arc.capacity());
                copy.extend_from_slice(arc);
                Chunk::Long(Arc::new(copy))
            }
        };
    }

    /// The items, mutably. They are copied first if the leaf is shared.
    #[inline]
    pub(crate) fn items_mut(&mut self) -> &mut [T] {
        self.make_unique();
        each!(self, arc => match Arc::get_mut(arc) {
            Some(items) => items.as_mut_slice(),
            None => &mut [],
        }, &mut [])
    }

    /// Inserts an item. Grows to the next size of the ladder if the leaf is full. Runs no code of
    /// `T` once the leaf is unique.
    #[inline]
    pub(crate) fn insert(&mut self, at: usize, item: T) {
        let len = self.len();
        if len == self.room_len() {
            self.grow(len + 1);
        }
        self.make_unique();
        each!(self, arc => {
            if let Some(items) = Arc::get_mut(arc) {
                items.insert(at, item);
            }
        }, ());
    }

    /// Appends an item to a leaf with one owner and room. Returns it otherwise.
    #[inline]
    pub(crate) fn try_push(&mut self, item: T) -> Result<(), T> {
        each!(self, arc => match Arc::get_mut(arc) {
            Some(items) if items.len() < items.capacity() => {
                items.push(item);
                Ok(())
            }
            _ => Err(item),
        }, Err(item))
    }

    /// Inserts an item into a leaf with one owner and room. Returns it otherwise.
    #[inline]
    pub(crate) fn try_insert(&mut self, at: usize, item: T) -> Result<(), T> {
        each!(self, arc => match Arc::get_mut(arc) {
            Some(items) if items.len() < items.capacity() => {
                items.insert(at, item);
                Ok(())
            }
            _ => Err(item),
        }, Err(item))
    }

    pub(crate) fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn grow(&mut self, count: usize) {
        let count = if count > LADDER_MAX { count.next_power_of_two() } else { count };
        if count > self.room_len() {
            // A clone that panics half-way leaves the original in place.
            let grown = if self.is_unique() {
                core::mem::replace(self, Chunk::Empty).moved(count)
            } else {
                self.clone().moved(count)
            };
            *self = grown;
        }
    }

    /// Removes and returns one item, which the leaf must hold.
    pub(crate) fn remove(&mut self, at: usize) -> T {
        self.make_unique();
        each!(self, arc => match Arc::get_mut(arc) {
            Some(items) => items.remove(at),
            None => unreachable!("the leaf was just made unique"),
        }, unreachable!("an empty leaf holds no item to remove"))
    }

    /// Splits the leaf in two. Both parts get the smallest size that fits.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        self.make_unique();
        let right = self.move_tail(at, self.len() - at);
        self.fit();
        right
    }

    /// Splits the leaf in two that will grow again: both parts have the capacity of the whole.
    pub(crate) fn halve(&mut self, at: usize) -> Self {
        self.make_unique();
        self.move_tail(at, self.room_len())
    }

    /// Moves the items from `at` on to a leaf with `room`. This leaf must have one owner.
    fn move_tail(&mut self, at: usize, room: usize) -> Self {
        let mut right = Chunk::with_room(room);
        each!(self, arc => {
            if let Some(items) = Arc::get_mut(arc) {
                right.take_all(&mut items.drain(at..));
            }
        }, ());
        right
    }

    /// Moves a leaf that is at most half full to a smaller size.
    pub(crate) fn fit(&mut self) {
        if self.len() * 2 <= self.room_len() && self.is_unique() {
            let len = self.len();
            *self = core::mem::replace(self, Chunk::Empty).moved(len);
        }
    }

    /// Appends the items of another leaf.
    pub(crate) fn append(&mut self, mut other: Self) {
        other.make_unique();
        let len = self.len() + other.len();
        self.grow(len);
        self.make_unique();
        other.drain_into(&mut |items| self.take_all(items));
    }

    /// Makes a leaf with `items` in the place of a range.
    pub(crate) fn replaced(&self, range: Range<usize>, items: &[T]) -> Self {
        let (before, after) = (&self.items()[..range.start], &self.items()[range.end..]);
        let count = before.len() + items.len() + after.len();
        let mut all = Vec::with_capacity(count);
        [before, items, after].into_iter().for_each(|part| all.extend_from_slice(part));
        if count > LADDER_MAX {
            Chunk::Long(Arc::new(all))
        } else {
            Chunk::of(count, &mut all.into_iter())
        }
    }

    /// Makes a leaf of exactly `count` items.
    pub(crate) fn of(count: usize, items: &mut dyn Iterator<Item = T>) -> Self {
        let mut chunk = Chunk::with_room(count);
        chunk.take_all(items);
        chunk
    }

    /// The items by value, moved if this is the only owner, and else cloned.
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        let mut items = Vec::with_capacity(self.len());
        if self.is_unique() {
            self.drain_into(&mut |all| items.extend(all));
        } else {
            items.extend_from_slice(self.items());
        }
        items
    }
}

/// Bytes of an allocation with a reference count: the count, then the value at its alignment,
/// rounded up to the larger alignment.
pub(crate) const fn arc_bytes<U>() -> usize {
    let align =
        if align_of::<U>() > align_of::<usize>() { align_of::<U>() } else { align_of::<usize>() };
    (align + size_of::<U>()).next_multiple_of(align)
}

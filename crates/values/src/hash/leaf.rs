//! A leaf of the trie: entries in one allocation with its reference count, together with the hashes
//! that find them.
//!
//! The lower halves of the hashes lie in a separate array, which is compared as a whole and without
//! a branch. Entries are in no order. The capacity of a leaf is part of its type, in a ladder of
//! sizes. Only keys that collide outgrow the ladder.

use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::borrow::Borrow;
use core::mem;
use triomphe::Arc;

use crate::engine::chunk::arc_bytes;
use crate::stats;

/// The tag of a place without an entry. A hash may also end in these bits.
const FREE: u16 = u16::MAX;
/// The weight of an equal tag in the sum of [`places`]. It exceeds any place.
const HIT: u16 = 64;

/// Fields are in this order so that what a look-up touches lies together: the tags, the number of
/// entries, and the entry.
#[repr(C)]
pub(crate) struct Buffer<K, V, const N: usize> {
    /// Lower halves of hashes.
    tags: [u16; N],
    entries: ArrayVec<(K, V), N>,
    /// Upper halves.
    tops: [u16; N],
}

pub(crate) struct Crowd<K, V> {
    /// As long as the capacity for entries, like `tops`.
    tags: Vec<u16>,
    tops: Vec<u16>,
    entries: Vec<(K, V)>,
}

pub(crate) enum Leaf<K, V> {
    Empty,
    C4(Arc<Buffer<K, V, 4>>),
    C8(Arc<Buffer<K, V, 8>>),
    C16(Arc<Buffer<K, V, 16>>),
    C32(Arc<Buffer<K, V, 32>>),
    Long(Arc<Crowd<K, V>>),
}

/// Runs one expression for every size of the ladder.
macro_rules! each {
    ($leaf:expr, $arc:ident => $body:expr, $empty:expr) => {
        match $leaf {
            Leaf::Empty => $empty,
            Leaf::C4($arc) => $body,
            Leaf::C8($arc) => $body,
            Leaf::C16($arc) => $body,
            Leaf::C32($arc) => $body,
            Leaf::Long($arc) => $body,
        }
    };
}

/// The same for a leaf with one owner, with its buffer by mutable reference.
macro_rules! each_mut {
    ($leaf:expr, $room:ident => $body:expr, $empty:expr) => {
        each!($leaf, arc => match Arc::get_mut(arc) {
            Some($room) => $body,
            None => unreachable!("the leaf has one owner"),
        }, $empty)
    };
}

impl<K, V> Clone for Leaf<K, V> {
    fn clone(&self) -> Self {
        match self {
            Leaf::Empty => Leaf::Empty,
            Leaf::C4(arc) => Leaf::C4(arc.clone()),
            Leaf::C8(arc) => Leaf::C8(arc.clone()),
            Leaf::C16(arc) => Leaf::C16(arc.clone()),
            Leaf::C32(arc) => Leaf::C32(arc.clone()),
            Leaf::Long(arc) => Leaf::Long(arc.clone()),
        }
    }
}

/// The sum of `HIT + place` over the places of a tag. If there is one hit, the place follows from
/// it.
#[inline(always)]
fn places<const N: usize>(tags: &[u16; N], tag: u16) -> u16 {
    let mut sum = 0;
    for (at, own) in tags.iter().enumerate() {
        sum += if *own == tag { HIT + at as u16 } else { 0 };
    }
    sum
}

#[cold]
#[inline(never)]
fn scan<K: Borrow<Q>, V, Q: Eq + ?Sized>(
    tags: &[u16],
    entries: &[(K, V)],
    tag: u16,
    key: &Q,
) -> Option<usize> {
    let same = |(own, entry): (&u16, &(K, V))| *own == tag && entry.0.borrow() == key;
    tags.iter().zip(entries).position(same)
}

impl<K, V, const N: usize> Buffer<K, V, N> {
    // Not inlined: the buffer of a large size must not widen the frame of a caller that only names
    // it.
    #[inline(never)]
    fn new() -> Arc<Self> {
        Arc::new(Buffer { tags: [FREE; N], tops: [FREE; N], entries: ArrayVec::new() })
    }

    #[inline(always)]
    fn find<Q: Eq + ?Sized>(&self, hash: u32, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        match places(&self.tags, hash as u16) {
            0 => None,
            sum if sum < 2 * HIT => {
                let at = (sum - HIT) as usize;
                (self.entries.get(at)?.0.borrow() == key).then_some(at)
            }
            _ => scan(&self.tags, &self.entries, hash as u16, key),
        }
    }
}

impl<K: Clone, V: Clone, const N: usize> Buffer<K, V, N> {
    #[inline(never)]
    fn copy(&self) -> Arc<Self> {
        let mut copy = Self::new();
        if let Some(room) = Arc::get_mut(&mut copy) {
            room.entries.extend(self.entries.iter().cloned());
            (room.tags, room.tops) = (self.tags, self.tops);
        }
        copy
    }
}

impl<K, V> Leaf<K, V> {
    /// An empty leaf with room for at least `count` entries.
    pub(crate) fn with_room(count: usize) -> Self {
        match count {
            0 => Leaf::Empty,
            1..=4 => Leaf::C4(Buffer::new()),
            5..=8 => Leaf::C8(Buffer::new()),
            9..=16 => Leaf::C16(Buffer::new()),
            17..=32 => Leaf::C32(Buffer::new()),
            _ => {
                let room = count.next_power_of_two();
                let tags = alloc::vec![FREE; room];
                let (tops, entries) = (tags.clone(), Vec::with_capacity(room));
                Leaf::Long(Arc::new(Crowd { tags, tops, entries }))
            }
        }
    }

    /// Where a key is.
    pub(crate) fn find<Q: Eq + ?Sized>(&self, hash: u32, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        match self {
            Leaf::Empty => None,
            Leaf::C4(room) => room.find(hash, key),
            Leaf::C8(room) => room.find(hash, key),
            Leaf::C16(room) => room.find(hash, key),
            Leaf::C32(room) => room.find(hash, key),
            Leaf::Long(room) => scan(&room.tags, &room.entries, hash as u16, key),
        }
    }

    /// The entry of a key.
    #[inline(always)]
    pub(crate) fn get<Q: Eq + ?Sized>(&self, hash: u32, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        // The usual size of a full leaf first: that is a well predicted test instead of a jump
        // through a table.
        match self {
            Leaf::C32(room) => room.find(hash, key).and_then(|at| room.entries.get(at)),
            other => other.get_in_any(hash, key),
        }
    }

    #[inline(never)]
    fn get_in_any<Q: Eq + ?Sized>(&self, hash: u32, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        self.find(hash, key).map(|at| &self.entries()[at])
    }

    #[inline(always)]
    pub(crate) fn entries(&self) -> &[(K, V)] {
        match self {
            Leaf::C32(room) => &room.entries,
            Leaf::C16(room) => &room.entries,
            other => other.entries_of_any(),
        }
    }

    #[inline(never)]
    fn entries_of_any(&self) -> &[(K, V)] {
        each!(self, room => room.entries.as_slice(), &[])
    }

    /// The hash of the entry at a place.
    pub(crate) fn hash(&self, at: usize) -> u32 {
        let (tag, top) = each!(self, room => (room.tags[at], room.tops[at]), (FREE, FREE));
        u32::from(top) << 16 | u32::from(tag)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    fn room(&self) -> usize {
        each!(self, room => room.tags.len(), 0)
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
        let apart = match self {
            Leaf::Long(room) => {
                (room.tags.capacity() + room.tops.capacity()) * size_of::<u16>()
                    + room.entries.capacity() * size_of::<(K, V)>()
            }
            _ => 0,
        };
        apart + each!(self, arc => of(arc), 0)
    }
}

/// Changes of a leaf with one owner. They run none of the user's code.
impl<K, V> Leaf<K, V> {
    /// Adds an entry. If the leaf is full, moves it to a buffer of at least `room` entries first.
    #[inline]
    pub(crate) fn push(&mut self, hash: u32, entry: (K, V), room: usize) {
        if self.len() == self.room() {
            self.grow(room.max(self.len() + 1));
        }
        each_mut!(self, room => {
            let at = room.entries.len();
            (room.tags[at], room.tops[at]) = (hash as u16, (hash >> 16) as u16);
            room.entries.push(entry);
        }, ());
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, count: usize) {
        let mut grown = Leaf::with_room(count);
        mem::replace(self, Leaf::Empty).pour(|hash, entry| grown.push(hash, entry, 0));
        *self = grown;
    }

    /// Hands out every entry, the last first.
    pub(crate) fn pour(mut self, mut take: impl FnMut(u32, (K, V))) {
        while self.len() > 0 {
            let last = self.len() - 1;
            take(self.hash(last), self.take(last));
        }
    }

    /// Removes the entry at a place. The last entry takes its place.
    pub(crate) fn take(&mut self, at: usize) -> (K, V) {
        each_mut!(self, room => {
            let last = room.entries.len() - 1;
            (room.tags[at], room.tops[at]) = (room.tags[last], room.tops[last]);
            room.tags[last] = FREE;
            room.entries.swap_remove(at)
        }, unreachable!("an empty leaf holds no entry to take"))
    }

    /// Moves the entries for whose hashes `moves` returns `true` to a leaf of the same capacity.
    pub(crate) fn split(&mut self, moves: impl Fn(u32) -> bool) -> Self {
        let mut right = Leaf::Empty;
        let room = self.room();
        let mut at = 0;
        while at < self.len() {
            let hash = self.hash(at);
            if moves(hash) {
                right.push(hash, self.take(at), room);
            } else {
                at += 1;
            }
        }
        if at == 0 {
            *self = Leaf::Empty;
        }
        right
    }
}

impl<K: Clone, V: Clone> Leaf<K, V> {
    /// Makes this leaf the only owner of its entries.
    #[inline]
    pub(crate) fn make_unique(&mut self) {
        if !self.is_unique() {
            self.copy();
        }
    }

    #[cold]
    #[inline(never)]
    fn copy(&mut self) {
        stats::copied(self.len() * (size_of::<(K, V)>() + size_of::<u32>()));
        *self = match &*self {
            Leaf::Empty => Leaf::Empty,
            Leaf::C4(room) => Leaf::C4(room.copy()),
            Leaf::C8(room) => Leaf::C8(room.copy()),
            Leaf::C16(room) => Leaf::C16(room.copy()),
            Leaf::C32(room) => Leaf::C32(room.copy()),
            Leaf::Long(room) => {
                let mut entries = Vec::with_capacity(room.entries.capacity());
                entries.extend_from_slice(&room.entries);
                let (tags, tops) = (room.tags.clone(), room.tops.clone());
                Leaf::Long(Arc::new(Crowd { tags, tops, entries }))
            }
        };
    }

    /// The entries, mutably. They are copied first if the leaf is shared.
    #[inline]
    pub(crate) fn entries_mut(&mut self) -> &mut [(K, V)] {
        self.make_unique();
        each_mut!(self, room => room.entries.as_mut_slice(), &mut [])
    }

    /// The entries by value: moved when this is the only owner, cloned otherwise.
    pub(crate) fn into_entries(mut self) -> Vec<(K, V)> {
        if !self.is_unique() {
            return self.entries().to_vec();
        }
        each_mut!(&mut self, room => room.entries.drain(..).collect(), Vec::new())
    }
}

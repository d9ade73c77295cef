//! [`Bytes`]: a byte string that is forked in O(1) and edited anywhere in O(log n). Small ones lie
//! inline.

#[cfg(feature = "serde")]
mod persist;

use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Range, RangeBounds};

use crate::changes::PatchError;
use crate::engine::length::{bounds, grown};
use crate::seq::{Seq, SeqConflict, SeqDiff, SeqPatch};

/// Bytes that fit next to the length without any heap.
const INLINE_BYTES: usize = 20;

/// A byte string with O(1) `clone`.
///
/// Up to 20 bytes lie in the value itself, and longer strings in leaves of 1 KiB. Costs are those
/// of [`Seq`].
///
/// # When not to use it
///
/// For bytes that are never edited, `Arc<[u8]>` is smaller and reads as one slice.
///
/// # Example
///
/// ```
/// use tine_values::Bytes;
///
/// let page = Bytes::from(&[0u8; 4096][..]);
/// let mut fork = page.clone();
/// fork.splice(100..104, b"tine");
/// assert_eq!(fork.slice(100..104).to_vec(), b"tine");
/// assert!(page.iter().all(|byte| byte == 0));
/// ```
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline(ArrayVec<u8, INLINE_BYTES>),
    Tree(Seq<u8>),
}

impl Bytes {
    /// Makes an empty string, without allocation.
    pub const fn new() -> Self {
        Bytes(Repr::Inline(ArrayVec::new_const()))
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Inline(bytes) => bytes.len(),
            Repr::Tree(seq) => seq.len(),
        }
    }

    /// Returns `true` if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The byte at `index`.
    pub fn get(&self, index: usize) -> Option<u8> {
        match &self.0 {
            Repr::Inline(bytes) => bytes.get(index).copied(),
            Repr::Tree(seq) => seq.get(index).copied(),
        }
    }

    /// The bytes in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        self.chunks().flatten().copied()
    }

    /// The bytes as slices, in order. None is empty.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let (inline, tree) = match &self.0 {
            Repr::Inline(bytes) => ((!bytes.is_empty()).then_some(bytes.as_slice()), None),
            Repr::Tree(seq) => (None, Some(seq.chunks())),
        };
        inline.into_iter().chain(tree.into_iter().flatten())
    }

    /// All bytes in one vector.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        self.chunks().for_each(|chunk| all.extend_from_slice(chunk));
        all
    }

    /// The tree. For an inline value, a tree is made.
    pub(crate) fn seq(&self) -> Seq<u8> {
        match &self.0 {
            Repr::Inline(bytes) => bytes.iter().copied().collect(),
            Repr::Tree(seq) => seq.clone(),
        }
    }

    pub(crate) fn as_tree(&self) -> Option<&Seq<u8>> {
        match &self.0 {
            Repr::Inline(_) => None,
            Repr::Tree(seq) => Some(seq),
        }
    }

    fn edit<R>(&mut self, change: impl FnOnce(&mut Seq<u8>) -> R) -> R {
        let mut seq = match core::mem::take(self).0 {
            Repr::Inline(bytes) => bytes.into_iter().collect(),
            Repr::Tree(seq) => seq,
        };
        let result = change(&mut seq);
        *self = seq.into();
        result
    }

    /// Appends bytes.
    ///
    /// # Panics
    ///
    /// Panics if there would be more than `isize::MAX` bytes. They are unchanged then.
    #[track_caller]
    pub fn push_slice(&mut self, bytes: &[u8]) {
        if let Repr::Inline(inline) = &mut self.0
            && inline.try_extend_from_slice(bytes).is_ok()
        {
            return;
        }
        grown(self.len(), bytes.len());
        self.edit(|seq| seq.extend(bytes));
    }

    /// Replaces the byte at `index` and returns the old one.
    ///
    /// # Panics
    ///
    /// Panics if `index` is past the end.
    pub fn set(&mut self, index: usize, byte: u8) -> u8 {
        match &mut self.0 {
            Repr::Inline(bytes) => core::mem::replace(&mut bytes[index], byte),
            Repr::Tree(seq) => seq.set(index, byte),
        }
    }

    /// Replaces a range by other bytes and returns the old ones.
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end or reaches past the end of the bytes, or if there
    /// would be more than `isize::MAX`. They are unchanged then.
    #[track_caller]
    pub fn splice(&mut self, range: impl RangeBounds<usize>, bytes: &[u8]) -> Self {
        let range = self.bounds(range);
        grown(self.len() - range.len(), bytes.len());
        self.edit(|seq| seq.splice(range, bytes)).into()
    }

    /// The bytes of a range, sharing leaves. O(log n).
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end or reaches past the end of the bytes.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        self.seq().slice(range).into()
    }

    /// Appends other bytes, sharing their leaves. O(log n).
    ///
    /// # Panics
    ///
    /// Panics if there would be more than `isize::MAX` bytes. They are unchanged then.
    #[track_caller]
    pub fn append(&mut self, other: &Self) {
        grown(self.len(), other.len());
        match &other.0 {
            Repr::Inline(bytes) => self.push_slice(bytes),
            Repr::Tree(tail) => self.edit(|seq| seq.append(&mut tail.clone())),
        }
    }

    /// Drops the bytes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.edit(|seq| seq.truncate(len));
        }
    }

    fn bounds(&self, range: impl RangeBounds<usize>) -> Range<usize> {
        bounds(range, self.len(), "Bytes")
    }

    /// The edits that lead to `newer`, as [`Seq::diff`] finds them.
    pub fn diff(&self, newer: &Self) -> SeqPatch<u8> {
        let (old, new) = (self.seq(), newer.seq());
        let diff: SeqDiff<'_, u8> = old.diff(&new);
        diff.to_patch()
    }

    /// Makes the edits of a patch.
    ///
    /// # Errors
    ///
    /// The errors of [`Seq::apply`].
    pub fn apply(&mut self, patch: &SeqPatch<u8>) -> Result<(), PatchError> {
        let mut seq = self.seq();
        seq.apply(patch)?;
        *self = seq.into();
        Ok(())
    }

    /// Merges two forks of one base. See [`crate::seq::merge3`].
    #[must_use]
    pub fn merge3(
        base: &Self,
        ours: &Self,
        theirs: &Self,
        resolve: impl FnMut(SeqConflict<u8>) -> Seq<u8>,
    ) -> Self {
        Seq::merge3(&base.seq(), &ours.seq(), &theirs.seq(), resolve).into()
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Seq<u8>> for Bytes {
    fn from(seq: Seq<u8>) -> Self {
        if seq.len() <= INLINE_BYTES {
            return Bytes(Repr::Inline(seq.iter().copied().collect()));
        }
        Bytes(Repr::Tree(seq))
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        bytes.iter().copied().collect()
    }
}

impl FromIterator<u8> for Bytes {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        bytes.into_iter().collect::<Seq<u8>>().into()
    }
}

impl Extend<u8> for Bytes {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        self.edit(|seq| seq.extend(bytes));
    }
}

impl PartialEq for Bytes {
    /// Skips what both share: O(1) for an untouched fork.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Inline(a), Repr::Inline(b)) => a == b,
            (Repr::Tree(a), Repr::Tree(b)) => a == b,
            // Short bytes always lie inline.
            _ => false,
        }
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|byte| state.write_u8(byte));
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("b\"")?;
        self.iter().try_for_each(|byte| write!(f, "{}", byte.escape_ascii()))?;
        f.write_str("\"")
    }
}

impl PartialEq<[u8]> for Bytes {
    fn eq(&self, other: &[u8]) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter().copied())
    }
}

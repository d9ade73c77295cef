//! What differs between two sequences, as edits; and applying them.

use alloc::vec::Vec;
use core::ops::Range;

use super::Seq;
use super::edits::{Edit, edits};
use crate::changes::PatchError;

/// What leads from an older sequence to a newer one, borrowed from both.
#[derive(Clone, Debug)]
pub struct SeqDiff<'a, T> {
    old: &'a Seq<T>,
    new: &'a Seq<T>,
    edits: Vec<Edit>,
}

impl<T> SeqDiff<'_, T> {
    /// Number of edits.
    pub fn len(&self) -> usize {
        self.edits.len()
    }

    /// Whether the sequences are equal.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The edits in order: positions in the older sequence, and the positions in the newer one that stand there instead.
    pub fn ranges(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        self.edits.iter().map(|edit| (edit.old.clone(), edit.new.clone()))
    }

    /// The same edits with items of their own, shared with both sequences where leaves are whole.
    pub fn to_patch(&self) -> SeqPatch<T>
    where
        T: Clone + Eq,
    {
        let hunk = |edit: &Edit| Hunk {
            at: edit.old.start,
            removed: self.old.slice(edit.old.clone()),
            inserted: self.new.slice(edit.new.clone()),
        };
        SeqPatch { hunks: self.edits.iter().map(hunk).collect() }
    }
}

/// One edit of a sequence: `removed` stands at `at` in the old one, `inserted` in its place in the new.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(bound(deserialize = "T: serde::Deserialize<'de> + Clone")))]
pub struct Hunk<T: Eq> {
    /// Position in the old sequence.
    pub at: usize,
    /// Items taken out.
    pub removed: Seq<T>,
    /// Items put in.
    pub inserted: Seq<T>,
}

/// Edits of a sequence that stand alone; made by [`SeqDiff::to_patch`], used by [`Seq::apply`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(bound(deserialize = "T: serde::Deserialize<'de> + Clone")))]
pub struct SeqPatch<T: Eq> {
    /// The edits, in order of position, not overlapping.
    pub hunks: Vec<Hunk<T>>,
}

impl<T: Eq> Seq<T> {
    /// What leads from this sequence to `newer`: aligned by what both share, so that forks cost what differs. Unrelated
    /// sequences cost O(n), and more than a few dozen differences between two shared parts count as one edit.
    pub fn diff<'a>(&'a self, newer: &'a Self) -> SeqDiff<'a, T> {
        SeqDiff { old: self, new: newer, edits: edits(&self.tree.root, &newer.tree.root) }
    }
}

impl<T: Eq + Clone> Seq<T> {
    /// Makes the edits of a patch. O(log n) an edit.
    ///
    /// # Errors
    ///
    /// When what an edit removes is not what stands at its place; the sequence is then as it was.
    pub fn apply(&mut self, patch: &SeqPatch<T>) -> Result<(), PatchError> {
        let mut patched = self.clone();
        let mut bound = self.len();
        for (index, hunk) in patch.hunks.iter().enumerate().rev() {
            let fits = hunk.at.checked_add(hunk.removed.len()).is_some_and(|end| end <= bound);
            if !fits {
                return Err(PatchError::new(index, "it reaches past its place"));
            }
            let range = hunk.at..hunk.at + hunk.removed.len();
            if !self.range(range.clone()).eq(&hunk.removed) {
                return Err(PatchError::new(index, "other items stand at its place"));
            }
            patched.splice(range, hunk.inserted.clone());
            bound = hunk.at;
        }
        *self = patched;
        Ok(())
    }
}

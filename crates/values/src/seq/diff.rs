//! What differs between two sequences, as edits, and how to apply them.

use alloc::vec::Vec;
use core::ops::Range;

use super::Seq;
use super::edits::{Edit, edits};
use crate::changes::PatchError;

/// The edits from an older sequence to a newer one, borrowed from both.
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

    /// Returns `true` if the sequences are equal.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The edits in order: a range of the older sequence, and the range of the newer one that
    /// replaces it.
    pub fn ranges(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        self.edits.iter().map(|edit| (edit.old.clone(), edit.new.clone()))
    }

    /// The same edits with owned items, which share whole leaves with both sequences.
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

/// One edit of a sequence: `removed` is at `at` in the old one, and `inserted` replaces it in the
/// new one.
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

/// Edits of a sequence, with owned items. [`SeqDiff::to_patch`] makes them, and [`Seq::apply`] uses
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(bound(deserialize = "T: serde::Deserialize<'de> + Clone")))]
pub struct SeqPatch<T: Eq> {
    /// The edits, in order of position, not overlapping.
    pub hunks: Vec<Hunk<T>>,
}

impl<T: Eq> Seq<T> {
    /// The edits from this sequence to `newer`. They are aligned by what both share, so the cost
    /// for forks is proportional to what differs. Unrelated sequences cost O(n), and more than a
    /// few dozen differences between two shared parts become one edit.
    pub fn diff<'a>(&'a self, newer: &'a Self) -> SeqDiff<'a, T> {
        SeqDiff { old: self, new: newer, edits: edits(&self.tree.root, &newer.tree.root) }
    }
}

impl<T: Eq + Clone> Seq<T> {
    /// Makes the edits of a patch, in O(log n) each.
    ///
    /// # Errors
    ///
    /// Fails if what an edit removes is not at its place. The sequence is unchanged then.
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

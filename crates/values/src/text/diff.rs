//! What differs between two texts, and merging: edits of bytes, widened to whole characters.

use alloc::vec::Vec;

use super::Text;
use crate::changes::PatchError;
use crate::seq::edits::{Edit, edits};
use crate::seq::merge::plan;

/// One edit of a text: `removed` is at byte offset `at` in the old one, and `inserted` replaces it
/// in the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TextHunk {
    /// Byte offset in the old text.
    pub at: usize,
    /// Text taken out.
    pub removed: Text,
    /// Text put in.
    pub inserted: Text,
}

/// Edits of a text. [`Text::diff`] makes them, and [`Text::apply`] uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TextPatch {
    /// The edits, in order of offset, not overlapping.
    pub hunks: Vec<TextHunk>,
}

/// A part of a text that two forks edited in different ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextConflict {
    /// Byte offset of the part in the base.
    pub at: usize,
    /// The part in the common base.
    pub base: Text,
    /// The part in our fork.
    pub ours: Text,
    /// The part in the other fork.
    pub theirs: Text,
}

/// The edits from one text to another. Each begins and ends between characters of both.
fn character_edits(old: &Text, new: &Text) -> Vec<Edit> {
    let (from, to) = (old.tree(), new.tree());
    let mut raw = edits(&from.root, &to.root).into_iter().peekable();
    let whole = |a: usize, b: usize| old.is_char_boundary(a) && new.is_char_boundary(b);
    let mut all = Vec::new();
    while let Some(mut edit) = raw.next() {
        // The text around an edit is equal in both, so both ends move by the same amount.
        while !whole(edit.old.start, edit.new.start) {
            edit.old.start -= 1;
            edit.new.start -= 1;
        }
        loop {
            if let Some(next) = raw.next_if(|next| next.old.start <= edit.old.end) {
                edit.old.end = next.old.end;
                edit.new.end = next.new.end;
            } else if whole(edit.old.end, edit.new.end) {
                break;
            } else {
                edit.old.end += 1;
                edit.new.end += 1;
            }
        }
        all.push(edit);
    }
    all
}

impl Text {
    /// The edits that lead to `newer`. They are aligned by what both share, so the cost for forks
    /// is proportional to what differs.
    pub fn diff(&self, newer: &Self) -> TextPatch {
        let hunk = |edit: Edit| TextHunk {
            at: edit.old.start,
            removed: self.slice(edit.old),
            inserted: newer.slice(edit.new),
        };
        TextPatch { hunks: character_edits(self, newer).into_iter().map(hunk).collect() }
    }

    /// Makes the edits of a patch, in O(log n) each.
    ///
    /// # Errors
    ///
    /// Fails if what an edit removes is not at its place. The text is unchanged then.
    pub fn apply(&mut self, patch: &TextPatch) -> Result<(), PatchError> {
        let mut patched = self.clone();
        let mut bound = self.len();
        for (index, hunk) in patch.hunks.iter().enumerate().rev() {
            let end = hunk.at.checked_add(hunk.removed.len()).filter(|end| *end <= bound);
            let Some(end) = end else {
                return Err(PatchError::new(index, "it reaches past its place"));
            };
            if !self.is_char_boundary(hunk.at) || !self.is_char_boundary(end) {
                return Err(PatchError::new(index, "it would split a character"));
            }
            if self.slice(hunk.at..end) != hunk.removed {
                return Err(PatchError::new(index, "other text stands at its place"));
            }
            patched.replace(hunk.at..end, hunk.inserted.tree());
            bound = hunk.at;
        }
        *self = patched;
        Ok(())
    }

    /// Merges two forks of one base. See [`merge3`].
    #[must_use]
    pub fn merge3(
        base: &Self,
        ours: &Self,
        theirs: &Self,
        resolve: impl FnMut(TextConflict) -> Self,
    ) -> Self {
        merge3(base, ours, theirs, resolve)
    }
}

/// Merges two forks of one base. A part that only one fork edited is taken from it, a part that
/// both edited in the same way is taken as it is, and `resolve` decides on the others.
#[must_use]
pub fn merge3(
    base: &Text,
    ours: &Text,
    theirs: &Text,
    mut resolve: impl FnMut(TextConflict) -> Text,
) -> Text {
    let mut merged = ours.clone();
    let steps = plan(&character_edits(base, ours), &character_edits(base, theirs));
    for step in steps.into_iter().rev() {
        let mut wanted = theirs.slice(step.theirs);
        if step.contested {
            let own = ours.slice(step.ours.clone());
            if own == wanted {
                continue;
            }
            let at = step.base.start;
            wanted = resolve(TextConflict {
                at,
                base: base.slice(step.base),
                ours: own,
                theirs: wanted,
            });
        }
        merged.replace(step.ours, wanted.tree());
    }
    merged
}

//! Three-way merge of sequences: the edits of both forks go into one sequence, and a resolver
//! decides on edits that overlap.

use alloc::vec::Vec;
use core::ops::Range;

use super::Seq;
use super::edits::{Edit, edits};

/// A part of a sequence that two forks edited in different ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeqConflict<T: Eq> {
    /// Where the part begins in the base.
    pub at: usize,
    /// The part in the common base.
    pub base: Seq<T>,
    /// The part in our fork.
    pub ours: Seq<T>,
    /// The part in the other fork.
    pub theirs: Seq<T>,
}

/// What the merge has to change in our fork.
pub(crate) struct MergeStep {
    pub(crate) base: Range<usize>,
    pub(crate) ours: Range<usize>,
    pub(crate) theirs: Range<usize>,
    /// Set if our fork edited the same part.
    pub(crate) contested: bool,
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    if a.is_empty() || b.is_empty() {
        a.start <= b.end && b.start <= a.end
    } else {
        a.start < b.end && b.start < a.end
    }
}

/// How far edits before a position have moved it, to translate positions of the base.
struct Drift(isize);

impl Drift {
    fn pass(&mut self, edit: &Edit) {
        self.0 += edit.new.len() as isize - edit.old.len() as isize;
    }

    fn at(&self, place: usize) -> usize {
        place.wrapping_add_signed(self.0)
    }
}

/// Groups the edits of two forks of one base. Edits of ours alone need no step.
pub(crate) fn plan(ours: &[Edit], theirs: &[Edit]) -> Vec<MergeStep> {
    let (mut i, mut j) = (0, 0);
    let (mut our_drift, mut their_drift) = (Drift(0), Drift(0));
    let mut steps = Vec::new();
    while let Some(edit) = theirs.get(j) {
        let mut base = edit.old.clone();
        while let Some(own) =
            ours.get(i).filter(|own| own.old.end <= base.start && !overlap(&own.old, &base))
        {
            our_drift.pass(own);
            i += 1;
        }
        let mut contested = false;
        let (our_base, their_base) = (Drift(our_drift.0), Drift(their_drift.0));
        their_drift.pass(edit);
        j += 1;
        loop {
            if let Some(own) = ours.get(i).filter(|own| overlap(&own.old, &base)) {
                base = base.start.min(own.old.start)..base.end.max(own.old.end);
                our_drift.pass(own);
                i += 1;
                contested = true;
            } else if let Some(more) =
                theirs.get(j).filter(|more| contested && overlap(&more.old, &base))
            {
                base.end = base.end.max(more.old.end);
                their_drift.pass(more);
                j += 1;
            } else {
                break;
            }
        }
        steps.push(MergeStep {
            ours: our_base.at(base.start)..our_drift.at(base.end),
            theirs: their_base.at(base.start)..their_drift.at(base.end),
            base,
            contested,
        });
    }
    steps
}

/// Merges two forks of one base. A part that only one fork edited is taken from it, a part that
/// both edited in the same way is taken as it is, and `resolve` decides on the others. The cost is
/// proportional to what differs, and O(log n) for each edit.
///
/// ```
/// use tine_values::seq::{Seq, merge3};
///
/// let base: Seq<u32> = (0..1000).collect();
/// let (mut ours, mut theirs) = (base.clone(), base.clone());
/// ours.remove(10);
/// theirs.insert(900, 7);
/// let merged = merge3(&base, &ours, &theirs, |conflict| conflict.ours);
/// assert_eq!((merged.len(), merged[899]), (1000, 7));
/// ```
#[must_use]
pub fn merge3<T: Eq + Clone>(
    base: &Seq<T>,
    ours: &Seq<T>,
    theirs: &Seq<T>,
    mut resolve: impl FnMut(SeqConflict<T>) -> Seq<T>,
) -> Seq<T> {
    let our_edits = edits(&base.tree.root, &ours.tree.root);
    let their_edits = edits(&base.tree.root, &theirs.tree.root);
    let mut merged = ours.clone();
    for step in plan(&our_edits, &their_edits).into_iter().rev() {
        let wanted = theirs.slice(step.theirs);
        let wanted = if step.contested {
            let own = ours.slice(step.ours.clone());
            if own == wanted {
                continue;
            }
            let at = step.base.start;
            resolve(SeqConflict { at, base: base.slice(step.base), ours: own, theirs: wanted })
        } else {
            wanted
        };
        merged.splice(step.ours, wanted);
    }
    merged
}

impl<T: Eq + Clone> Seq<T> {
    /// Merges two forks of one base. See [`merge3`].
    #[must_use]
    pub fn merge3(
        base: &Self,
        ours: &Self,
        theirs: &Self,
        resolve: impl FnMut(SeqConflict<T>) -> Self,
    ) -> Self {
        merge3(base, ours, theirs, resolve)
    }
}

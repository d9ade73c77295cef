//! Where the pages of a merged image are: as few as possible are stored, in no more pieces than
//! allowed.
//!
//! Each run of pages that lie in a row in the pool takes a mapping in every fork. If the equal
//! pages of an image are scattered over the pool, it would take one for each page. If there are too
//! many, stretches of short runs are stored again in the order of the image, which makes one run of
//! each stretch. The shortest runs come first.

use std::ops::Range;

/// Pages in a row, in an image and in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub pages: usize,
    /// The first page's place in the pool. Zeros have none.
    pub at: Option<usize>,
}

/// Where an image's pages are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placing {
    pub runs: Vec<Placed>,
}

/// What becomes of neighbouring runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// They stay where they are.
    Shared(Range<usize>),
    /// They are stored again, in a row.
    Apart(Range<usize>),
}

impl Placing {
    /// Adds the next pages.
    pub fn push(&mut self, pages: usize, at: Option<usize>) {
        match self.runs.last_mut() {
            Some(last) if last.at.map(|at| at + last.pages) == at => last.pages += pages,
            _ => self.runs.push(Placed { pages, at }),
        }
    }

    /// The place in the pool that would continue the last run.
    pub fn next(&self) -> Option<usize> {
        self.runs.last().and_then(|last| last.at.map(|at| at + last.pages))
    }

    /// What is shared and what is stored again, so that there are at most `parts_max` parts.
    pub fn parts(&self, parts_max: usize) -> Vec<Part> {
        let mut pages_min = 1_usize;
        while self.split(pages_min, 0).len() > parts_max && pages_min < usize::MAX {
            pages_min = pages_min.saturating_mul(2);
        }
        // The last doubling may have stored more runs again than needed: spare as many of the first
        // ones as fit.
        let (mut fits, mut exceeds) = (0, self.runs.len() + 1);
        while exceeds - fits > 1 {
            let spared = fits + (exceeds - fits) / 2;
            if self.split(pages_min, spared).len() <= parts_max {
                fits = spared;
            } else {
                exceeds = spared;
            }
        }
        self.split(pages_min, fits)
    }

    /// Splits the runs into parts. Each stretch of two or more runs that are shorter than
    /// `pages_min` becomes one part. For the first `spared` runs the limit is half of that.
    fn split(&self, pages_min: usize, spared: usize) -> Vec<Part> {
        let is_short = |run: usize| {
            let pages_min = if run < spared { pages_min / 2 } else { pages_min };
            self.runs[run].pages < pages_min
        };
        let mut parts = Vec::new();
        let mut start = 0;
        while start < self.runs.len() {
            let mut end = start + 1;
            while is_short(start) && end < self.runs.len() && is_short(end) {
                end += 1;
            }
            // A single run takes one mapping either way.
            let is_stretch = end - start > 1;
            parts.push(if is_stretch { Part::Apart(start..end) } else { Part::Shared(start..end) });
            start = end;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_go_on_are_one_and_short_neighbours_are_stored_again() {
        let mut placing = Placing::default();
        for (pages, at) in [(4, Some(0)), (4, Some(4)), (1, Some(2)), (1, Some(7)), (2, None)] {
            placing.push(pages, at);
        }
        placing.push(1, None);
        assert_eq!(placing.runs.len(), 4);
        assert_eq!(placing.runs[0], Placed { pages: 8, at: Some(0) });
        assert_eq!(placing.next(), None);
        assert_eq!(placing.split(1, 0).len(), 4);
        assert_eq!(
            placing.split(2, 0),
            [Part::Shared(0..1), Part::Apart(1..3), Part::Shared(3..4)]
        );
        assert_eq!(placing.split(usize::MAX, 0), [Part::Apart(0..4)]);
    }

    #[test]
    fn as_many_runs_are_shared_as_there_may_be_parts() {
        let mut placing = Placing::default();
        for run in 0..100 {
            placing.push(1 + run % 3, Some(run * 10));
        }
        for parts_max in [1, 2, 30, 31, 99, 100, 1000] {
            let parts = placing.parts(parts_max);
            assert!(parts.len() <= parts_max, "{} of {parts_max}", parts.len());
            assert!(parts.len() + 2 >= parts_max.min(100), "{} of {parts_max}", parts.len());
            let runs = parts.iter().map(|part| match part {
                Part::Shared(runs) | Part::Apart(runs) => runs.len(),
            });
            assert_eq!(runs.sum::<usize>(), 100);
        }
    }
}

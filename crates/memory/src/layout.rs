//! What an image is made of: runs of pages, each zero or from some place in sealed memory.
//!
//! A *segment* becomes a separate mapping. A *patch* is a short interruption of a segment, of fewer
//! than [`PATCH_PAGES_MAX`] pages: mapping it would take two more mappings and several microseconds
//! for each page, so it is copied into each fork instead.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::page::{PAGE, pages_of};
use crate::sys::{Mapping, Sealed};

/// Interruptions shorter than this are copied instead of mapped. Mapping one page costs 4 to 7 µs
/// and two entries of the process's table. Copying it costs 3 µs and a page of memory.
const PATCH_PAGES_MAX: usize = 4;

/// Holes of sealed memory from this length on are mapped as demand-zero pages. Shorter ones stay in
/// the file's mapping, where reading one makes the kernel store a page of zeros.
const HOLE_PAGES_MIN: usize = 16;

/// Where the content of a run comes from.
#[derive(Clone, Debug)]
pub(crate) enum Backing {
    /// Zeros, stored nowhere.
    Zero,
    /// Sealed memory, from a page of it on.
    File { file: Arc<Sealed>, page: usize },
}

impl Backing {
    /// The backing of what lies `pages` further on.
    pub fn skip(&self, pages: usize) -> Self {
        match self {
            Self::Zero => Self::Zero,
            Self::File { file, page } => Self::File { file: file.clone(), page: page + pages },
        }
    }

    /// Returns `true` if `next` goes on where this one is after `pages`.
    fn continues(&self, pages: usize, next: &Self) -> bool {
        match (self, next) {
            (Self::Zero, Self::Zero) => true,
            (Self::File { file: a, page: from }, Self::File { file: b, page: to }) => {
                Arc::ptr_eq(a, b) && from + pages == *to
            }
            _ => false,
        }
    }

    /// Returns `true` if both are the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        self.continues(0, other)
    }

    /// Returns `true` if the content is zeros by definition.
    pub fn is_zero(&self) -> bool {
        matches!(self, Self::Zero)
    }

    /// Maps this over a range of pages of a mapping. Code that reads there meanwhile sees what was
    /// there before, or what is there afterwards.
    pub fn map_over(&self, mapping: &mut Mapping, pages: Range<usize>) -> Result<()> {
        let range = pages.start * PAGE..pages.end * PAGE;
        match self {
            Self::File { file, page } => mapping.overlay(range.clone(), file, page * PAGE)?,
            Self::Zero => mapping.overlay_zeros(range.clone())?,
        }
        mapping.allow_merging_as_before(range)
    }
}

/// Pages and where their content comes from.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub pages: Range<usize>,
    pub backing: Backing,
}

/// The layout of a whole image: segments without gaps, and patches over them.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    segments: Vec<Segment>,
    patches: Vec<Segment>,
}

impl Layout {
    /// Zeros throughout.
    pub fn zero(pages: usize) -> Self {
        Self {
            segments: vec![Segment { pages: 0..pages, backing: Backing::Zero }],
            patches: vec![],
        }
    }

    /// One file from its start, whose long holes become demand-zero pages.
    pub fn of_file(file: Arc<Sealed>, pages: usize) -> Result<Self> {
        let mut runs = LayoutBuilder::new();
        for data in file.data()? {
            let start = (data.start / PAGE).min(pages);
            let end = pages_of(data.end).min(pages);
            let hole = start - runs.end;
            if hole > 0 && (hole >= HOLE_PAGES_MIN || runs.end == 0) {
                runs.push(hole, Backing::Zero);
            }
            if runs.end < end {
                let page = runs.end;
                runs.push(end - page, Backing::File { file: file.clone(), page });
            }
        }
        runs.push(pages - runs.end, Backing::Zero);
        Ok(runs.into_layout())
    }

    /// Returns the same layout with zeros behind it, `pages` in all. What is mapped of it remains
    /// valid.
    pub fn extended(&self, pages: usize) -> Self {
        let mut longer = self.clone();
        match longer.segments.last_mut() {
            Some(last) if last.backing.is_zero() => last.pages.end = pages,
            _ => longer.segments.extend(part(
                &Segment { pages: self.pages()..pages, backing: Backing::Zero },
                self.pages()..pages,
            )),
        }
        longer
    }

    /// How many pages the image has.
    pub fn pages(&self) -> usize {
        self.segments.last().map_or(0, |segment| segment.pages.end)
    }

    /// The segments, in order, without gaps.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The patches, in order.
    pub fn patches(&self) -> &[Segment] {
        &self.patches
    }

    /// The file, if the layout is one file in its own order. It may have holes.
    pub fn flat_file(&self) -> Option<&Arc<Sealed>> {
        let mut found = None;
        for run in self.segments.iter().chain(&self.patches) {
            if let Backing::File { file, page } = &run.backing {
                if *page != run.pages.start || found.is_some_and(|other| !Arc::ptr_eq(other, file))
                {
                    return None;
                }
                found = Some(file);
            }
        }
        found
    }

    /// The file, if it holds all of the image and nothing else: it has no data where the image has
    /// zeros, and the same length.
    pub fn whole_file(&self) -> Result<Option<&Arc<Sealed>>> {
        let Some(file) = self.flat_file() else { return Ok(None) };
        let data = file.data()?;
        let overwritten = self.runs().iter().any(|run| {
            let bytes = run.pages.start * PAGE..run.pages.end * PAGE;
            run.backing.is_zero()
                && data.iter().any(|data| data.start < bytes.end && bytes.start < data.end)
        });
        let is_whole = !overwritten && pages_of(file.len()?) == self.pages();
        Ok(is_whole.then_some(file))
    }

    /// Those of the given pages whose content lies in sealed memory, in order. Safe in a signal
    /// handler.
    pub fn stored(&self, pages: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
        overlaps(&self.segments, pages).flat_map(move |(segment, within)| {
            let is_zero = segment.backing.is_zero();
            let patches = if is_zero { &self.patches[..] } else { &[] };
            let whole = (!is_zero).then(|| within.clone());
            whole.into_iter().chain(overlaps(patches, within).map(|(_, within)| within))
        })
    }

    /// Segments and patches as one sequence of runs without gaps.
    pub fn runs(&self) -> Vec<Segment> {
        let mut runs = Vec::with_capacity(self.segments.len() + 2 * self.patches.len());
        let mut patches = self.patches.iter().peekable();
        for segment in &self.segments {
            let mut at = segment.pages.start;
            while let Some(patch) = patches.next_if(|patch| patch.pages.start < segment.pages.end) {
                runs.extend(part(segment, at..patch.pages.start));
                runs.push(patch.clone());
                at = patch.pages.end;
            }
            runs.extend(part(segment, at..segment.pages.end));
        }
        runs
    }

    /// The parts of segments that lie in a range of pages.
    pub fn segments_in(&self, pages: Range<usize>) -> Vec<Segment> {
        parts(&self.segments, &pages)
    }

    /// The runs that make up a range of pages.
    pub fn runs_in(&self, pages: Range<usize>) -> Vec<Segment> {
        let patches = parts(&self.patches, &pages);
        Self { segments: self.segments_in(pages), patches }.runs()
    }

    /// Maps the image, without its patches.
    pub fn map_unpatched(&self) -> Result<Mapping> {
        if let [Segment { pages, backing: Backing::File { file, page } }] = &self.segments[..] {
            return Mapping::of_sealed(file, page * PAGE, pages.len() * PAGE);
        }
        let mut mapping = Mapping::zeroed(self.pages() * PAGE, self.segments.len())?;
        for Segment { pages, backing } in &self.segments {
            if let Backing::File { file, page } = backing {
                mapping.overlay(pages.start * PAGE..pages.end * PAGE, file, page * PAGE)?;
            }
        }
        Ok(mapping)
    }

    /// Maps the image.
    pub fn map(&self) -> Result<Mapping> {
        let mut mapping = self.map_unpatched()?;
        self.patch(&mut mapping)?;
        Ok(mapping)
    }

    /// Copies the patches into a mapping of this layout.
    pub fn patch(&self, mapping: &mut Mapping) -> Result<()> {
        for Segment { pages, backing } in &self.patches {
            if let Backing::File { file, page } = backing {
                mapping.read_sealed(pages.start * PAGE..pages.end * PAGE, file, page * PAGE)?;
            }
        }
        Ok(())
    }

    /// Reads whole pages.
    pub fn read_pages(&self, first: usize, bytes: &mut [u8]) -> Result<()> {
        for run in self.runs_in(first..first + bytes.len() / PAGE) {
            let at = (run.pages.start - first) * PAGE..(run.pages.end - first) * PAGE;
            match &run.backing {
                Backing::Zero => bytes[at].fill(0),
                Backing::File { file, page } => file.read_at(&mut bytes[at], page * PAGE)?,
            }
        }
        Ok(())
    }
}

/// The part of a run that lies in `pages`, unless that is empty.
fn part(run: &Segment, pages: Range<usize>) -> Option<Segment> {
    (pages.start < pages.end).then(|| {
        let backing = run.backing.skip(pages.start - run.pages.start);
        Segment { pages, backing }
    })
}

/// The runs that overlap `pages`, each with the pages that do.
fn overlaps(
    runs: &[Segment],
    pages: Range<usize>,
) -> impl Iterator<Item = (&Segment, Range<usize>)> {
    let first = runs.partition_point(|run| run.pages.end <= pages.start);
    let from = runs[first..]
        .iter()
        .map(move |run| (run, run.pages.start.max(pages.start)..run.pages.end.min(pages.end)));
    from.take_while(|(_, within)| within.start < within.end)
}

/// The parts of runs that lie in `pages`.
fn parts(runs: &[Segment], pages: &Range<usize>) -> Vec<Segment> {
    overlaps(runs, pages.clone()).filter_map(|(run, within)| part(run, within)).collect()
}

/// Gathers runs in order, and makes a layout of them.
#[derive(Clone)]
pub(crate) struct LayoutBuilder {
    runs: Vec<Segment>,
    end: usize,
}

impl LayoutBuilder {
    pub fn new() -> Self {
        Self { runs: Vec::new(), end: 0 }
    }

    /// Adds the next pages.
    pub fn push(&mut self, count: usize, backing: Backing) {
        let pages = self.end..self.end + count;
        self.end = pages.end;
        match self.runs.last_mut() {
            _ if count == 0 => {}
            Some(last) if last.backing.continues(last.pages.len(), &backing) => {
                last.pages.end = pages.end;
            }
            _ => self.runs.push(Segment { pages, backing }),
        }
    }

    /// Makes a segment of each run.
    pub fn into_segments(self) -> Layout {
        Layout { segments: self.runs, patches: vec![] }
    }

    /// Makes segments and patches of the runs. What interrupts a run only briefly becomes a patch
    /// of it.
    pub fn into_layout(self) -> Layout {
        let mut layout = Layout { segments: Vec::with_capacity(self.runs.len()), patches: vec![] };
        for run in self.runs {
            if let [.., before, brief] = &mut layout.segments[..]
                && brief.pages.len() < PATCH_PAGES_MAX
                && !brief.backing.is_zero()
                && layout.patches.last().is_none_or(|patch| patch.pages.end <= brief.pages.start)
                && before.backing.continues(run.pages.start - before.pages.start, &run.backing)
            {
                before.pages.end = run.pages.end;
                layout.patches.extend(layout.segments.pop());
            } else {
                layout.segments.push(run);
            }
        }
        layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Memfd;

    fn file(pages: usize) -> Arc<Sealed> {
        let memory = Memfd::new(pages * PAGE).unwrap();
        for page in 0..pages {
            memory.write_at(&[page as u8 + 1; PAGE], page * PAGE).unwrap();
        }
        Arc::new(memory.seal().unwrap())
    }

    fn from(file: &Arc<Sealed>, page: usize) -> Backing {
        Backing::File { file: file.clone(), page }
    }

    #[test]
    fn a_brief_interruption_is_a_patch_and_a_long_one_a_segment() {
        let (base, layer) = (file(100), file(20));
        let mut runs = LayoutBuilder::new();
        runs.push(10, from(&base, 0));
        runs.push(1, from(&layer, 0));
        runs.push(20, from(&base, 11));
        runs.push(4, from(&layer, 1));
        runs.push(5, from(&base, 35));
        let layout = runs.into_layout();
        let pages = |list: &[Segment]| list.iter().map(|s| s.pages.clone()).collect::<Vec<_>>();
        assert_eq!(pages(layout.segments()), [0..31, 31..35, 35..40]);
        assert_eq!(pages(layout.patches()), vec![10..11]);
        assert_eq!(pages(&layout.runs()), [0..10, 10..11, 11..31, 31..35, 35..40]);
        assert_eq!(pages(&layout.runs_in(5..12)), [5..10, 10..11, 11..12]);
    }

    #[test]
    fn what_is_stored_is_told_from_zeros_where_it_is_a_patch_too() {
        let file = file(100);
        let mut runs = LayoutBuilder::new();
        runs.push(10, Backing::Zero);
        runs.push(2, from(&file, 5));
        runs.push(20, Backing::Zero);
        runs.push(8, from(&file, 40));
        let layout = runs.into_layout();
        assert_eq!((layout.segments().len(), layout.patches().len()), (2, 1));
        assert_eq!(layout.stored(0..40).collect::<Vec<_>>(), [10..12, 32..40]);
        assert_eq!(layout.stored(11..35).collect::<Vec<_>>(), [11..12, 32..35]);
        assert_eq!(layout.stored(12..32).count(), 0);
    }

    #[test]
    fn an_interruption_that_is_interrupted_itself_stays_a_segment() {
        let (base, layer) = (file(100), file(20));
        let mut runs = LayoutBuilder::new();
        runs.push(10, from(&base, 0));
        runs.push(1, from(&layer, 0));
        runs.push(1, from(&base, 50));
        runs.push(1, from(&layer, 2));
        runs.push(10, from(&base, 13));
        let layout = runs.into_layout();
        let mut read = vec![0; 23 * PAGE];
        layout.read_pages(0, &mut read).unwrap();
        let firsts: Vec<u8> = read.chunks(PAGE).map(|page| page[0]).collect();
        assert_eq!(firsts[9..15], [10, 1, 51, 3, 14, 15]);
        assert!(layout.map().unwrap().bytes() == read);
    }

    #[test]
    fn what_is_mapped_and_what_is_read_agree() {
        let (base, layer) = (file(40), file(20));
        let mut runs = LayoutBuilder::new();
        for (count, backing) in [
            (3, Backing::Zero),
            (5, from(&base, 3)),
            (2, from(&layer, 7)),
            (10, from(&base, 10)),
            (6, from(&layer, 2)),
            (1, Backing::Zero),
        ] {
            runs.push(count, backing);
        }
        let layout = runs.into_layout();
        assert_eq!(layout.patches().len(), 1);
        let mut read = vec![9; layout.pages() * PAGE];
        layout.read_pages(0, &mut read).unwrap();
        assert!(layout.map().unwrap().bytes() == read);
        let firsts: Vec<u8> = read.chunks(PAGE).map(|page| page[0]).collect();
        assert_eq!(firsts[..10], [0, 0, 0, 4, 5, 6, 7, 8, 8, 9]);
    }

    #[test]
    fn long_holes_of_a_file_are_demand_zero_and_short_ones_are_not() {
        let memory = Memfd::new(100 * PAGE).unwrap();
        memory.write_at(&[1; PAGE], 20 * PAGE).unwrap();
        memory.write_at(&[2; PAGE], 25 * PAGE).unwrap();
        let layout = Layout::of_file(Arc::new(memory.seal().unwrap()), 100).unwrap();
        let pages: Vec<_> = layout.segments().iter().map(|s| s.pages.clone()).collect();
        assert_eq!(pages, [0..20, 20..26, 26..100]);
        assert!(layout.flat_file().is_some());
    }
}

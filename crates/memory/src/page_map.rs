//! The state of every page of a region, and a picture of it.

use std::fmt;
use std::ops::Range;

use crate::cow_mapping::CowMapping;
use crate::error::Result;
use crate::page::{HUGE, PAGE};
use crate::probe;
use crate::sys::{Category, Query, scan};
use crate::usage::Usage;

/// What a page is. Several of these may be true at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageState {
    /// A page-table entry maps it, or it is in swap.
    pub present: bool,
    /// It belongs to an image.
    pub shared: bool,
    /// It is private to the region.
    pub exclusive: bool,
    /// It was written since the region was made from its image. In a persistent region: since the
    /// last commit.
    pub dirty: bool,
    /// It reads as zeros and is stored nowhere.
    pub zero: bool,
    /// A huge page maps it.
    pub huge: bool,
    /// It waits in frozen pages until it is touched.
    pub pending: bool,
}

/// The state of every page. Its [`Display`](fmt::Display) is a picture: `.` not touched yet, `0`
/// zero, `=` shared, `H` shared and huge, `#` exclusive, `*` dirty, `?` pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageMap {
    pages: Vec<PageState>,
    /// Units of 2 MiB that lie in a huge page of the image, and are mapped page by page here.
    huge_lost: usize,
}

/// Pages in a line of the picture.
const LINE: usize = 64;
/// Lines of a picture; each character then stands for several pages.
const LINES_MAX: usize = 32;

impl PageMap {
    /// Looks at a range of pages, which begins on 2 MiB.
    pub(crate) fn of(cow: &CowMapping, range: Range<usize>) -> Result<Self> {
        cow.require_here()?;
        probe::require_scans()?;
        let mut pages = vec![PageState::default(); range.len()];
        let within = |run: &Range<usize>| {
            let (start, end) = (run.start.max(range.start), run.end.min(range.end));
            start.saturating_sub(range.start)..end.saturating_sub(range.start)
        };
        for segment in cow.image.layout().segments() {
            let (zero, run) = (segment.backing.is_zero(), within(&segment.pages));
            if !run.is_empty() {
                pages[run].iter_mut().for_each(|page| page.zero = zero);
            }
        }
        if let Some(window) = &cow.window {
            for level in window.frozen().levels() {
                level.runs(range.clone(), |run| {
                    pages[within(&run)].iter_mut().for_each(|page| {
                        (page.pending, page.zero) = (true, false);
                    });
                    Ok(())
                })?;
            }
        }
        let base = cow.mapping.start() + range.start * PAGE;
        let tracked = cow.is_tracked();
        scan(base..base + range.len() * PAGE, Query::Mapped, |run| {
            let is = |category| run.categories & category != 0;
            let addresses = run.addresses();
            let zero = is(Category::ZERO);
            let exclusive = !is(Category::FILE) && !zero;
            let state = PageState {
                present: true,
                shared: is(Category::FILE),
                exclusive,
                dirty: exclusive && (is(Category::WRITTEN) || !tracked),
                zero,
                huge: is(Category::HUGE),
                pending: false,
            };
            pages[(addresses.start - base) / PAGE..(addresses.end - base) / PAGE].fill(state);
            Ok(())
        })?;
        let huge_lost = huge_lost(&pages, range.start, cow);
        Ok(Self { pages, huge_lost })
    }

    /// The pages, in order.
    pub fn pages(&self) -> &[PageState] {
        &self.pages
    }

    /// Bytes by kind.
    pub fn usage(&self) -> Usage {
        let bytes = |is: fn(&PageState) -> bool| {
            (self.pages.iter().filter(|page| is(page)).count() * PAGE) as u64
        };
        Usage {
            total: (self.pages.len() * PAGE) as u64,
            shared: bytes(|page| page.shared),
            exclusive: bytes(|page| page.exclusive),
            dirty: bytes(|page| page.dirty),
            zero: bytes(|page| page.zero),
            huge: bytes(|page| page.huge),
            huge_lost: (self.huge_lost * HUGE) as u64,
            pending: bytes(|page| page.pending),
        }
    }
}

/// Huge units of the image in which the region has private pages, so that no huge page maps them.
fn huge_lost(pages: &[PageState], first: usize, cow: &CowMapping) -> usize {
    let mut lost = 0;
    for (unit, states) in pages.chunks(HUGE / PAGE).enumerate() {
        let mixed = states.iter().any(|page| page.exclusive) && !states.iter().all(|p| p.exclusive);
        if mixed && cow.image.is_collapsed(first / (HUGE / PAGE) + unit) {
            lost += 1;
        }
    }
    lost
}

impl PageState {
    fn symbol(self) -> char {
        match self {
            Self { dirty: true, .. } => '*',
            Self { exclusive: true, .. } => '#',
            Self { pending: true, .. } => '?',
            Self { huge: true, .. } => 'H',
            Self { shared: true, .. } => '=',
            Self { zero: true, .. } => '0',
            _ => '.',
        }
    }
}

impl fmt::Display for PageMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What matters most wins where a character stands for several pages.
        const ORDER: &str = "*#?H=0.";
        let each = self.pages.len().div_ceil(LINE * LINES_MAX).max(1);
        writeln!(f, "{} pages, {each} a character", self.pages.len())?;
        for line in self.pages.chunks(LINE * each) {
            let rank = |page: &PageState| ORDER.find(page.symbol());
            let strongest = |group: &[PageState]| group.iter().filter_map(rank).min();
            let text: String = line
                .chunks(each)
                .filter_map(|group| ORDER[strongest(group)?..].chars().next())
                .collect();
            writeln!(f, "{text}")?;
        }
        Ok(())
    }
}

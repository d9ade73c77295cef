//! A copy-on-write mapping: a mapped image, the pages written over it, and the window through which
//! some of them may still come back.
//!
//! Regions and shared regions are made of one. It does not know which thread may touch the bytes
//! when.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::layout::Segment;
use crate::page::{HUGE, PAGE, difference, push_run, union};
use crate::private_pages::{Zeros, for_each_private_run};
use crate::probe;
use crate::sys::{self, Mapping, Query, ScanRun, Watch, scan};
use crate::usage::Stats;
use crate::window::{self, CopyAhead, Frozen, Pages, Window};

/// A request about one run costs as much as looking at this many pages in a request about all.
const PAGES_A_REQUEST: usize = 128;

/// Bytes whose recording ends in one call, which takes the kernel about a tenth of a millisecond.
const UNTRACK_BYTES: usize = 2 * HUGE;

/// An incremental save, told from all others of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SaveId(pub u64);

/// A mapped image, the pages written over it, and perhaps a window.
#[derive(Debug)]
pub(crate) struct CowMapping {
    pub mapping: Mapping,
    pub image: Image,
    pub window: Option<Arc<Window>>,
    pub copy_ahead: CopyAhead,
    /// The process in which the kernel records writes, for commits, resets and incremental saves.
    /// Children made by `fork(2)` inherit the memory without the recording.
    tracked_by: Option<u32>,
    /// The incremental save that the record goes back to.
    pub recorded_since: Option<SaveId>,
    /// Counts of the windows that have closed.
    past: Stats,
}

impl CowMapping {
    /// Maps an image, patches and all.
    pub fn of_image(image: Image) -> Result<Self> {
        Ok(Self::of_mapping(image.layout().map()?, image))
    }

    /// Takes over a mapping of the image.
    pub fn of_mapping(mapping: Mapping, image: Image) -> Self {
        let (window, copy_ahead) = (None, CopyAhead::default());
        let (tracked_by, recorded_since, past) = (None, None, Stats::default());
        Self { mapping, image, window, copy_ahead, tracked_by, recorded_since, past }
    }

    /// Takes over the settings and the counts of a mapping with the same content.
    pub fn inherit(&mut self, before: &Self) {
        self.copy_ahead = before.copy_ahead;
        self.past = Stats { vmas: 0, ..before.stats() };
    }

    /// Fails in a child of `fork(2)` that did not inherit the memory.
    pub fn require_here(&self) -> Result<()> {
        if self.mapping.is_here() { Ok(()) } else { Err(Error::NotInherited) }
    }

    /// All pages of the mapping.
    pub fn pages(&self) -> Range<usize> {
        0..self.mapping.len() / PAGE
    }

    /// The runs of pages that are private to this mapping, in order.
    pub fn private_runs(&self) -> Result<Vec<Range<usize>>> {
        probe::require_scans()?;
        let mut runs = Vec::new();
        for_each_private_run(&self.mapping, self.pages(), self.private_zeros(), |run| {
            push_run(&mut runs, run);
            Ok(())
        })?;
        Ok(runs)
    }

    /// Which pages of zeros are private to this mapping. With a window, frozen pages may lie below
    /// any of them. If the kernel merges pages, any may have been written, after a commit of what
    /// it held before.
    pub fn private_zeros(&self) -> Zeros<'_> {
        if self.window.is_some() || self.mapping.may_be_merged() {
            Zeros::All
        } else {
            Zeros::Over(self.image.layout())
        }
    }

    /// The runs of pages that answer a query, in order.
    pub fn runs(&self, query: Query) -> Result<Vec<Range<usize>>> {
        let base = self.mapping.start();
        let mut runs = Vec::new();
        scan(self.mapping.addresses(), query, |run| {
            let run = run.addresses();
            push_run(&mut runs, (run.start - base) / PAGE..(run.end - base) / PAGE);
            Ok(())
        })?;
        Ok(runs)
    }

    /// The runs of pages that answer a query, in order, unless there are more than `max`.
    fn few_runs(&self, query: Query, max: usize) -> Result<Option<Vec<Range<usize>>>> {
        let base = self.mapping.start();
        let mut found = vec![ScanRun::default(); max + 1];
        let count = sys::scan_into(self.mapping.addresses(), query, &mut found)
            .map_err(|e| Error::os("scan the page tables", e))?;
        Ok((count <= max).then(|| {
            let mut runs = Vec::with_capacity(count);
            for run in &found[..count] {
                let run = run.addresses();
                push_run(&mut runs, (run.start - base) / PAGE..(run.end - base) / PAGE);
            }
            runs
        }))
    }

    /// Moves every private page away, and opens a window through which they come back. The content
    /// does not change. The frozen pages that it returns are a copy of it at this moment.
    ///
    /// # Safety
    /// No thread may touch the mapping meanwhile.
    // SAFETY: pages leave the mapping before the window that brings them back is open.
    pub unsafe fn freeze(&mut self) -> Result<Arc<Frozen>> {
        self.require_here()?;
        Window::require()?;
        self.untrack()?;
        let target = Mapping::zeroed(self.mapping.len(), self.image.vmas())?;
        let below = self.window.as_ref().map(|window| window.frozen().clone());
        self.close_window()?;
        // SAFETY: the caller keeps other threads away, and the target is new.
        let moved = unsafe { move_all(&self.image, &self.mapping, &target) };
        let opened = moved.and_then(|()| {
            let frozen =
                Frozen::new(target, self.image.clone(), below.clone(), self.mapping.start());
            let frozen = Arc::new(frozen);
            let fixed = frozen.forbid_new_pages();
            let Err(error) = fixed.and_then(|()| self.open_window(frozen.clone(), Pages::None))
            else {
                return Ok(frozen);
            };
            // SAFETY: as above. The window did not open; the pages go back to where they were.
            match unsafe { move_all(&self.image, frozen.mapping(), &self.mapping) } {
                Ok(()) => Err(error),
                Err(again) => sys::abort_process("bring the pages of a region back", &again),
            }
        });
        if opened.is_err()
            && let Some(below) = below
            && let Err(again) = self.open_window(below, Pages::Own)
        {
            sys::abort_process("open the window of a region again", &again);
        }
        opened
    }

    /// Returns `true` if the kernel records writes.
    pub fn is_tracked(&self) -> bool {
        self.tracked_by == Some(sys::process_number())
    }

    /// Makes the kernel record writes from now on.
    pub fn track(&mut self) -> Result<()> {
        probe::require_tracking()?;
        self.recorded_since = None;
        let base = self.mapping.start();
        let mut segments = self.image.layout().segments().iter();
        let watched = segments.try_for_each(|segment| {
            let span = base + segment.pages.start * PAGE..base + segment.pages.end * PAGE;
            sys::watch(span, Watch::Writes)
        });
        // Pages of the image that are mapped already would look as if they had been written.
        let ready = watched.and_then(|()| self.runs(Query::SharedThenProtect));
        if let Err(error) = ready {
            // If this fails too, the kernel records writes that are never asked for: no harm.
            let _ = sys::unwatch(self.mapping.addresses());
            return Err(error);
        }
        self.tracked_by = Some(sys::process_number());
        Ok(())
    }

    /// Ends the recording of writes. What was recorded is lost.
    ///
    /// The kernel lifts the protection of every page meanwhile, and faults wait for it. So it is
    /// done piece by piece, and no fault waits long.
    pub fn untrack(&mut self) -> Result<()> {
        if self.is_tracked() {
            self.recorded_since = None;
            let addresses = self.mapping.addresses();
            for start in addresses.clone().step_by(UNTRACK_BYTES) {
                sys::unwatch(start..addresses.end.min(start + UNTRACK_BYTES))?;
            }
        }
        self.tracked_by = None;
        Ok(())
    }

    /// What was written since it was last protected, in tracked memory. `known` are pages that are
    /// known to be private.
    pub fn written(&self, known: &[Range<usize>]) -> Result<Written> {
        let addresses = self.mapping.addresses();
        let mut written = Written { addresses, private: Vec::new(), other: Vec::new() };
        let few = known.len() + self.pages().end / PAGES_A_REQUEST;
        let unprotected = match self.few_runs(Query::UnprotectedOrAbsent, few)? {
            Some(runs) => runs,
            None => self.runs(Query::Unprotected)?,
        };
        let unknown = difference(&unprotected, known);
        unknown.iter().try_for_each(|run| written.look_at(run.clone(), self.private_zeros()))?;
        written.private = union(&written.private, &difference(&unprotected, &unknown));
        Ok(written)
    }

    /// Opens a window on the mapping.
    pub fn open_window(&mut self, frozen: Arc<Frozen>, pages: Pages) -> Result<()> {
        let (image, copy_ahead) = (self.image.clone(), self.copy_ahead);
        let window = Window::open(&self.mapping, image, frozen, copy_ahead, pages)?;
        self.window = Some(window);
        Ok(())
    }

    /// Fills the pages that are still missing, and ends the window.
    pub fn settle(&mut self) -> Result<()> {
        self.require_here()?;
        if let Some(window) = &self.window {
            window.settle_all()?;
            self.close_window()?;
        }
        Ok(())
    }

    /// Ends the window. Pages that are missing come from the image alone.
    pub fn close_window(&mut self) -> Result<()> {
        self.require_here()?;
        if let Some(window) = &self.window {
            window.close(&self.mapping)?;
            add_window(&mut self.past, window);
            self.window = None;
        }
        Ok(())
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        let mut stats = self.past;
        if let Some(window) = &self.window {
            add_window(&mut stats, window);
        }
        stats.vmas = self.mapping.vmas();
        stats
    }
}

/// Pages of tracked memory that are not protected, because they were written or mapped since.
pub(crate) struct Written {
    addresses: Range<usize>,
    /// Private pages.
    pub private: Vec<Range<usize>>,
    /// Pages of the image, and zeros, that were only read.
    other: Vec<Range<usize>>,
}

impl Written {
    /// Protects them all, so that the kernel tells writes from now on from those before.
    pub fn protect(&self) -> Result<()> {
        if (self.private.len() + self.other.len()) * PAGES_A_REQUEST > self.addresses.len() / PAGE {
            return scan(self.addresses.clone(), Query::UnprotectedThenProtect, |_| Ok(()));
        }
        self.private.iter().chain(&self.other).try_for_each(|run| sys::protect(self.span(run)))
    }

    fn look_at(&mut self, pages: Range<usize>, zeros: Zeros<'_>) -> Result<()> {
        let base = self.addresses.start;
        scan(self.span(&pages), Query::Mapped, |run| {
            let whole = (run.addresses().start - base) / PAGE..(run.addresses().end - base) / PAGE;
            let mut private = Vec::new();
            if !run.is_shared() {
                zeros.of_run(&run, base, |pages| private.push(pages));
            }
            let rest = difference(std::slice::from_ref(&whole), &private);
            rest.into_iter().for_each(|pages| push_run(&mut self.other, pages));
            private.into_iter().for_each(|pages| push_run(&mut self.private, pages));
            Ok(())
        })
    }

    /// All of them.
    pub fn all(&self) -> Vec<Range<usize>> {
        union(&self.private, &self.other)
    }

    fn span(&self, pages: &Range<usize>) -> Range<usize> {
        self.addresses.start + pages.start * PAGE..self.addresses.start + pages.end * PAGE
    }
}

impl Drop for CowMapping {
    fn drop(&mut self) {
        // The addresses may belong to another mapping soon.
        window::forget(&self.mapping);
    }
}

/// Moves the private pages of every segment. On an error it has moved none.
///
/// # Safety
/// As for [`Mapping::move_tables`].
// SAFETY: it moves page tables under shared borrows of both mappings.
unsafe fn move_all(image: &Image, from: &Mapping, to: &Mapping) -> Result<()> {
    let segments = image.layout().segments();
    let bytes = |segment: &Segment| segment.pages.start * PAGE..segment.pages.end * PAGE;
    for (index, segment) in segments.iter().enumerate() {
        // SAFETY: the caller's promise.
        let Err(error) = (unsafe { from.move_tables(bytes(segment), to) }) else { continue };
        for moved in &segments[..index] {
            // SAFETY: as above. Only what was moved goes back: the rest is where it was.
            if let Err(again) = unsafe { to.move_tables(bytes(moved), from) } {
                sys::abort_process("bring the pages of a region back", &again);
            }
        }
        return Err(error);
    }
    Ok(())
}

fn add_window(stats: &mut Stats, window: &Window) {
    let counters = &window.counters;
    stats.faults += counters.faults.load(Ordering::Relaxed);
    stats.pages_copied += counters.copied.load(Ordering::Relaxed);
    stats.pages_copied_ahead += counters.copied_ahead.load(Ordering::Relaxed);
    stats.pages_settled += counters.settled.load(Ordering::Relaxed);
}

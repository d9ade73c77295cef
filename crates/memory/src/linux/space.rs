//! A mapped image with pages of its own, and the window through which they may still be coming.
//!
//! What regions and live memory have in common; it knows nothing about who may touch the bytes when.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::linux::error::{Error, Result};
use crate::linux::image::Image;
use crate::linux::layout::Segment;
use crate::linux::own::{Zeros, own_runs};
use crate::linux::page::{HUGE, PAGE, difference, push_run, union};
use crate::linux::probe;
use crate::linux::sys::{self, Mapping, Query, Run, Watch, scan};
use crate::linux::usage::Stats;
use crate::linux::window::{self, CopyAhead, Frozen, Pages, Window};

/// A request about one run costs as much as looking at so many pages in a request about all.
const PAGES_A_REQUEST: usize = 128;

/// Bytes whose recording ends at a time: what takes the kernel about a tenth of a millisecond.
const UNTRACK_BYTES: usize = 2 * HUGE;

/// A mapped image, pages of its own, perhaps a window.
#[derive(Debug)]
pub(crate) struct Space {
    pub mapping: Mapping,
    pub image: Image,
    pub window: Option<Arc<Window>>,
    pub copy_ahead: CopyAhead,
    /// The process in which the kernel records writes, for commits, resets and incremental saves; 0 for
    /// none. Children made by `fork(2)` inherit the memory without the recording.
    tracked_by: u32,
    /// The incremental save that the record goes back to; 0 for none.
    pub recorded_since: u64,
    /// Of the windows that have closed.
    past: Stats,
}

impl Space {
    /// Maps an image, patches and all.
    pub fn of_image(image: Image) -> Result<Self> {
        Ok(Self::of_mapping(image.layout().map()?, image))
    }

    /// Takes a mapping of the image.
    pub fn of_mapping(mapping: Mapping, image: Image) -> Self {
        let (window, copy_ahead) = (None, CopyAhead::default());
        let (tracked_by, recorded_since, past) = (0, 0, Stats::default());
        Self { mapping, image, window, copy_ahead, tracked_by, recorded_since, past }
    }

    /// Takes over from a space of the same content: its choices, and what has happened in it.
    pub fn follow(&mut self, before: &Self) {
        self.copy_ahead = before.copy_ahead;
        self.past = Stats { vmas: 0, ..before.stats() };
    }

    /// Fails in a child of `fork(2)` that did not inherit the memory.
    pub fn require_here(&self) -> Result<()> {
        if self.mapping.is_here() { Ok(()) } else { Err(Error::NotInherited) }
    }

    /// Pages.
    pub fn pages(&self) -> Range<usize> {
        0..self.mapping.len() / PAGE
    }

    /// The runs of pages that are this mapping's own, in order.
    pub fn private_runs(&self) -> Result<Vec<Range<usize>>> {
        probe::require_scans()?;
        let mut runs = Vec::new();
        own_runs(&self.mapping, self.pages(), self.own_zeros(), |run| {
            push_run(&mut runs, run);
            Ok(())
        })?;
        Ok(runs)
    }

    /// Which pages of zeros are this mapping's own. Frozen pages may lie below each of them, and where the kernel
    /// merges pages, each may have been written, and committed somewhere as it was before.
    pub fn own_zeros(&self) -> Zeros<'_> {
        match self.window.is_some() || self.mapping.may_be_merged() {
            true => Zeros::All,
            false => Zeros::Over(self.image.layout()),
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
        let mut found = vec![Run::default(); max + 1];
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

    /// Moves every page of its own away, and opens a window through which they come back. The content
    /// is as before; the frozen pages are what it was.
    ///
    /// # Safety
    /// No one may touch the mapping meanwhile.
    // SAFETY: pages leave the mapping before the window that brings them back is open.
    pub unsafe fn freeze(&mut self) -> Result<Arc<Frozen>> {
        self.require_here()?;
        Window::require()?;
        self.untrack()?;
        let target = Mapping::zeroed(self.mapping.len(), self.image.vmas())?;
        let below = self.window.as_ref().map(|window| window.frozen().clone());
        self.close_window()?;
        // SAFETY: the caller keeps everyone away, and the target is new.
        let moved = unsafe { move_all(&self.image, &self.mapping, &target) };
        let opened = moved.and_then(|()| {
            let frozen =
                Frozen::new(target, self.image.clone(), below.clone(), self.mapping.start());
            let frozen = Arc::new(frozen);
            let kept = frozen.keep_as_it_is();
            let Err(error) = kept.and_then(|()| self.open_window(frozen.clone(), Pages::None))
            else {
                return Ok(frozen);
            };
            // SAFETY: as above. The window did not open; the pages go back to where they were.
            match unsafe { move_all(&self.image, frozen.mapping(), &self.mapping) } {
                Ok(()) => Err(error),
                Err(again) => sys::give_up("bring the pages of a region back", &again),
            }
        });
        if opened.is_err()
            && let Some(below) = below
            && let Err(again) = self.open_window(below, Pages::Own)
        {
            sys::give_up("open the window of a region again", &again);
        }
        opened
    }

    /// Whether the kernel records writes.
    pub fn is_tracked(&self) -> bool {
        self.tracked_by != 0 && self.tracked_by == sys::process_number()
    }

    /// Has the kernel record writes from now on.
    pub fn track(&mut self) -> Result<()> {
        probe::require_tracking()?;
        self.recorded_since = 0;
        let base = self.mapping.start();
        let mut segments = self.image.layout().segments().iter();
        let watched = segments.try_for_each(|segment| {
            let span = base + segment.pages.start * PAGE..base + segment.pages.end * PAGE;
            sys::watch(span, Watch::Writes)
        });
        // Pages of the image that are mapped already would look as if they had been written.
        let ready = watched.and_then(|()| self.runs(Query::SharedThenProtect));
        if let Err(error) = ready {
            // Where this fails too, the kernel records what nobody asks for.
            let _ = sys::unwatch(self.mapping.addresses());
            return Err(error);
        }
        self.tracked_by = sys::process_number();
        Ok(())
    }

    /// Ends the recording of writes. What was recorded is forgotten.
    ///
    /// The kernel lifts the protection of every page meanwhile, and keeps faults waiting: a piece at a time,
    /// so that none waits long.
    pub fn untrack(&mut self) -> Result<()> {
        if self.is_tracked() {
            self.recorded_since = 0;
            let addresses = self.mapping.addresses();
            for start in addresses.clone().step_by(UNTRACK_BYTES) {
                sys::unwatch(start..addresses.end.min(start + UNTRACK_BYTES))?;
            }
        }
        self.tracked_by = 0;
        Ok(())
    }

    /// What was written since it was last protected, in tracked memory. `own` are pages that are known
    /// to be its own.
    pub fn written(&self, own: &[Range<usize>]) -> Result<Written> {
        let addresses = self.mapping.addresses();
        let mut written = Written { addresses, own: Vec::new(), other: Vec::new() };
        let few = own.len() + self.pages().end / PAGES_A_REQUEST;
        let unprotected = match self.few_runs(Query::UnprotectedOrAbsent, few)? {
            Some(runs) => runs,
            None => self.runs(Query::Unprotected)?,
        };
        let unknown = difference(&unprotected, own);
        unknown.iter().try_for_each(|run| written.look_at(run.clone(), self.own_zeros()))?;
        written.own = union(&written.own, &difference(&unprotected, &unknown));
        Ok(written)
    }

    /// Opens a window on the mapping.
    pub fn open_window(&mut self, frozen: Arc<Frozen>, pages: Pages) -> Result<()> {
        let (image, copy_ahead) = (self.image.clone(), self.copy_ahead);
        let window = Window::open(&self.mapping, image, frozen, copy_ahead, pages)?;
        self.window = Some(window);
        Ok(())
    }

    /// Ends the window, after filling what was still missing.
    pub fn settle(&mut self) -> Result<()> {
        self.require_here()?;
        if let Some(window) = &self.window {
            window.settle_all()?;
            self.close_window()?;
        }
        Ok(())
    }

    /// Ends the window; what is missing comes from the image alone.
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
    /// Pages of its own.
    pub own: Vec<Range<usize>>,
    /// The image's pages and zeros, which were only read.
    other: Vec<Range<usize>>,
}

impl Written {
    /// Protects them all, so that writes from now on are told from those until now.
    pub fn protect(&self) -> Result<()> {
        if (self.own.len() + self.other.len()) * PAGES_A_REQUEST > self.addresses.len() / PAGE {
            return scan(self.addresses.clone(), Query::UnprotectedThenProtect, |_| Ok(()));
        }
        self.own.iter().chain(&self.other).try_for_each(|run| sys::protect(self.span(run)))
    }

    fn look_at(&mut self, pages: Range<usize>, zeros: Zeros<'_>) -> Result<()> {
        let base = self.addresses.start;
        scan(self.span(&pages), Query::Mapped, |run| {
            let whole = (run.addresses().start - base) / PAGE..(run.addresses().end - base) / PAGE;
            let mut own = Vec::new();
            if !run.is_shared() {
                zeros.of_run(&run, base, |pages| own.push(pages));
            }
            let rest = difference(std::slice::from_ref(&whole), &own);
            rest.into_iter().for_each(|pages| push_run(&mut self.other, pages));
            own.into_iter().for_each(|pages| push_run(&mut self.own, pages));
            Ok(())
        })
    }

    /// All of them.
    pub fn all(&self) -> Vec<Range<usize>> {
        union(&self.own, &self.other)
    }

    fn span(&self, pages: &Range<usize>) -> Range<usize> {
        self.addresses.start + pages.start * PAGE..self.addresses.start + pages.end * PAGE
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // The addresses may be someone else's soon.
        window::forget(&self.mapping);
    }
}

/// Moves the private pages of every segment, or of none.
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
            // SAFETY: as above. Only what has been moved goes back: the rest is where it was.
            if let Err(again) = unsafe { to.move_tables(bytes(moved), from) } {
                sys::give_up("bring the pages of a region back", &again);
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

//! Forking a region that has been written.
//!
//! A process cannot share private pages with itself, so what was written since the image has to be
//! copied now (*eager*), put into a sealed layer that both share (*layer*), or moved out of the way
//! and brought back page by page as either side touches it (*lazy*).

use std::ops::Range;

use crate::cow_mapping::CowMapping;
use crate::error::{Error, Feature, Result};
use crate::page::PAGE;
use crate::private_pages::for_each_private_run;
use crate::probe;
use crate::region::{Region, copy_changed};
use crate::sys::{self, Mapping, Query, ScanRun};
use crate::warm::Warm;
use crate::window::{DEPTH_MAX, Pages, fill_missing, watch_for_touches};

/// Regions shorter than this are not sealed unasked: copying them takes next to no time.
const SEALED_BYTES_MIN: usize = 1 << 20;
/// Places at which a region is sampled to see if it is filled, and pages of each.
const SAMPLES: usize = 4;
const SAMPLE_PAGES: usize = 16;

/// How to fork a region that has been written. Without writes, every mode forks in O(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForkMode {
    /// Chooses by what was written.
    ///
    /// If about half of the region or more was written, and it has at least 1 MiB, seals that into
    /// an image once, which the region and its forks share from then on. If less was written, the
    /// fork is lazy where the system has windows and fewer than 4,096 are open: moving page tables
    /// is faster than finding even a few written pages. Elsewhere it is eager.
    ///
    /// A reset of either side goes where a reset of the region would have gone before.
    #[default]
    Auto,
    /// Copies every written page. The cost is proportional to what was written, and all of it is
    /// paid before the call returns.
    Eager,
    /// Seals what was written into an image for both, once. Forks after that are O(1). Both sides
    /// begin clean: a reset of either goes back to this fork.
    Layer,
    /// Moves what was written out of the way in microseconds, whatever its size. Each side copies a
    /// page when it first touches it.
    ///
    /// Until the region is settled ([`Region::settle`]), a system call that uses an untouched page
    /// of either side as its buffer fails with EFAULT. Use [`Region::write_from`] and
    /// [`Region::read_at_into`], or settle first. Pages must not be pinned by I/O in flight
    /// meanwhile.
    Lazy,
}

impl Region {
    /// Makes a writable copy by [`ForkMode::Auto`]. It shares what neither side has written.
    pub fn fork(&mut self) -> Result<Region> {
        self.fork_by(ForkMode::Auto)
    }

    /// Makes a writable copy by the given mode.
    ///
    /// # Errors
    /// For [`ForkMode::Lazy`]: [`Error::Unsupported`] if the system has no windows or this thread
    /// blocks SIGBUS, and [`Error::Windows`] if too many are open. For it and for
    /// [`ForkMode::Layer`]: [`Error::Pinned`] while I/O may reach pages past the page tables. For
    /// all: [`Error::VmaBudget`] and [`Error::Reserve`] if there is no room. The region holds what
    /// it held.
    pub fn fork_by(&mut self, mode: ForkMode) -> Result<Region> {
        self.cow.require_here()?;
        let pinned = self.may_be_pinned();
        if pinned && matches!(mode, ForkMode::Layer | ForkMode::Lazy) {
            return Err(Error::Pinned);
        }
        let is_clean = !self.written && self.cow.window.is_none();
        // A layer also changes where a reset goes, so it is made even of a clean region.
        if is_clean && (mode != ForkMode::Layer || self.origin.is_none()) {
            let mut fork = self.image().fork()?;
            (fork.len, fork.origin) = (self.len, self.origin.clone());
            return Ok(fork);
        }
        match mode {
            ForkMode::Auto if !pinned && self.is_worth_sealing()? => self.fork_sealed(),
            ForkMode::Auto if !pinned && require_lazy_forks().is_ok() => match self.fork_lazily() {
                Err(Error::Windows { .. }) => self.fork_eagerly(),
                other => other,
            },
            ForkMode::Auto | ForkMode::Eager => self.fork_eagerly(),
            ForkMode::Layer => {
                let mut fork = self.seal()?.fork()?;
                fork.len = self.len;
                Ok(fork)
            }
            ForkMode::Lazy => require_lazy_forks().and_then(|()| self.fork_lazily()),
        }
    }

    /// Returns `true` if the region should be sealed once, so that it and all its forks share what
    /// it was filled with, and what its earlier forks left unsettled.
    fn is_worth_sealing(&self) -> Result<bool> {
        let is_deep = || {
            self.written
                && self.cow.window.as_ref().is_some_and(|w| w.frozen().depth() >= DEPTH_MAX)
        };
        Ok(self.cow.mapping.len() >= SEALED_BYTES_MIN && (is_deep() || self.is_filled()?))
    }

    /// Samples the region. Returns `true` if about half of its pages or more are private.
    fn is_filled(&self) -> Result<bool> {
        let (addresses, mut private) = (self.cow.mapping.addresses(), 0);
        let stride = addresses.len() / SAMPLES / PAGE * PAGE;
        for start in addresses.step_by(stride).take(SAMPLES) {
            private += private_pages(start..start + SAMPLE_PAGES * PAGE)?;
        }
        Ok(private * 2 >= SAMPLES * SAMPLE_PAGES)
    }

    /// Seals the region, and forks the image. A reset of either side goes where a reset of the
    /// region would have gone.
    fn fork_sealed(&mut self) -> Result<Region> {
        let origin = self.origin.clone().unwrap_or_else(|| self.image().clone());
        let image = self.seal()?;
        self.origin = Some(origin);
        let mut fork = image.fork()?;
        (fork.len, fork.origin) = (self.len, self.origin.clone());
        Ok(fork)
    }

    fn fork_lazily(&mut self) -> Result<Region> {
        let depth = self.cow.window.as_ref().map_or(0, |window| window.frozen().depth());
        if self.written && depth >= DEPTH_MAX {
            self.settle()?;
        }
        let frozen = match &self.cow.window {
            // Nothing was written since the window opened: its frozen pages are still the content.
            Some(window) if !self.written => window.frozen().clone(),
            _ => {
                self.warm.restart();
                // SAFETY: `self` is borrowed exclusively, so no reference to its bytes exists.
                unsafe { self.cow.freeze() }?
            }
        };
        self.written = false;
        let mut fork = self.bare_fork()?;
        fork.cow.open_window(frozen, Pages::None)?;
        Ok(fork)
    }

    fn fork_eagerly(&mut self) -> Result<Region> {
        let mut fork = self.bare_fork()?;
        fork.written = true;
        if probe::require_windows().is_err() {
            copy_changed(&self.cow, &mut fork.cow)?;
            return Ok(fork);
        }
        // Watched, so that nothing else fills a page. Then emptied, since locked memory was filled
        // when it was mapped.
        watch_for_touches(&fork.cow.mapping, self.image().layout())?;
        fork.cow.mapping.discard(0..fork.cow.mapping.len())?;
        // Newest pages first: pages that an older level has as well are present by then, and
        // skipped.
        let copy = |run| copy_into(&self.cow.mapping, &run, fork.cow.mapping.start());
        for_each_private_run(&self.cow.mapping, self.cow.pages(), self.cow.private_zeros(), copy)?;
        let frozen = self.cow.window.as_ref().map(|window| window.frozen());
        for level in frozen.iter().flat_map(|frozen| frozen.levels()) {
            level.runs(self.cow.pages(), |run| {
                copy_into(level.mapping(), &run, fork.cow.mapping.start())
            })?;
        }
        sys::unwatch(fork.cow.mapping.addresses())?;
        Ok(fork)
    }

    /// Makes a region of the same image that has no private pages, not even patches.
    fn bare_fork(&self) -> Result<Region> {
        let mapping = self.image().layout().map_unpatched()?;
        let mut cow = CowMapping::of_mapping(mapping, self.image().clone());
        cow.copy_ahead = self.cow.copy_ahead;
        let (written, exposed, warm) = (false, false, Warm::default());
        Ok(Region { cow, len: self.len, written, exposed, warm, origin: self.origin.clone() })
    }
}

/// Counts the private pages of a sample.
fn private_pages(addresses: Range<usize>) -> Result<usize> {
    probe::require_scans()?;
    let mut runs = [ScanRun::default(); SAMPLE_PAGES];
    let found = sys::scan_into(addresses, Query::Private, &mut runs)
        .map_err(|e| Error::os("scan the page tables", e))?;
    let private = runs[..found].iter().filter(|run| !run.is_zero());
    Ok(private.map(|run| run.addresses().len() / PAGE).sum())
}

/// Fails unless the system has windows, and this thread can touch pages that lie in one.
fn require_lazy_forks() -> Result<()> {
    probe::require_windows()?;
    if sys::fault_signal_is_blocked() {
        return Err(Error::Unsupported {
            feature: Feature::FaultSignal,
            reason: "this thread blocks SIGBUS, by which it resolves the pages that it touches; unblock it \
                     (pthread_sigmask), or fork eagerly"
                .into(),
        });
    }
    Ok(())
}

/// Copies pages of `source` to the watched mapping at `target`, where they are missing.
fn copy_into(source: &Mapping, pages: &Range<usize>, target: usize) -> Result<()> {
    let span = |start: usize| start + pages.start * PAGE..start + pages.end * PAGE;
    // SAFETY: the source is mapped, and holds what the fork is to hold.
    let copied = fill_missing(&span(target), span(source.start()).start, |target, source| unsafe {
        sys::copy(target, source)
    });
    copied.map(|_| ()).map_err(|e| Error::os("copy pages to a fork", e))
}

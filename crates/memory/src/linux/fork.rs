//! Forking a region that has been written.
//!
//! Pages of a process cannot be shared with itself, so what was written since the image has to be
//! copied now (*eager*), put into a sealed layer that both share (*layer*), or moved out of the way
//! and brought back page by page as either side touches it (*lazy*).

use std::ops::Range;

use crate::linux::error::{Error, Feature, Result};
use crate::linux::own::own_runs;
use crate::linux::page::PAGE;
use crate::linux::probe;
use crate::linux::region::{Region, copy_changed};
use crate::linux::reset::Warm;
use crate::linux::space::Space;
use crate::linux::sys::{self, Mapping, Query, Run};
use crate::linux::window::{DEPTH_MAX, Pages, fill_missing, watch_for_touches};

/// The least that is sealed for sharing unasked: less is copied in no time.
const SEALED_BYTES_MIN: usize = 1 << 20;
/// Places at which to look whether a region is filled, and pages of each.
const SAMPLES: usize = 4;
const SAMPLE_PAGES: usize = 16;

/// How to fork a region that has been written. One that has not is forked in O(1) by each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForkMode {
    /// Where about half of the region or more was written, and it is at least 1 MiB: seals that into an image once, which
    /// it and its forks share from then on. Where less was: lazy, if the system has windows and fewer than 4,096 are
    /// open, since moving page tables beats even finding a handful of written pages; eager elsewhere.
    ///
    /// A reset of either side goes where one of the region would have gone before.
    #[default]
    Auto,
    /// Copies every written page: proportional to what was written, and done when it returns.
    Eager,
    /// Seals what was written into an image for both, once; forks after that are O(1). Both begin
    /// clean: a reset of either goes back to this fork.
    Layer,
    /// Moves what was written out of the way in microseconds, whatever its size; both sides copy a
    /// page when they first touch it.
    ///
    /// Until the region is settled ([`Region::settle`]), a system call that uses an untouched page of
    /// either side as its buffer fails with EFAULT: use [`Region::write_from`] and
    /// [`Region::read_at_into`], or settle first. Pages must not be pinned by I/O in flight meanwhile.
    Lazy,
}

impl Region {
    /// A writable copy that shares what neither side has written, by [`ForkMode::Auto`].
    pub fn fork(&mut self) -> Result<Region> {
        self.fork_by(ForkMode::Auto)
    }

    /// A writable copy, made as `mode` says.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for [`ForkMode::Lazy`] where the system has no windows, or this thread blocks
    /// SIGBUS, [`Error::Windows`] where too many are open, and [`Error::Pinned`] for it and for
    /// [`ForkMode::Layer`] while I/O may reach pages past the page tables; [`Error::VmaBudget`] and [`Error::Reserve`]
    /// where there is no room. The region holds what it held.
    pub fn fork_by(&mut self, mode: ForkMode) -> Result<Region> {
        self.space.require_here()?;
        let pinned = self.may_be_pinned();
        if pinned && matches!(mode, ForkMode::Layer | ForkMode::Lazy) {
            return Err(Error::Pinned);
        }
        let is_clean = !self.written && self.space.window.is_none();
        // A layer begins anew where a reset goes, too.
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

    /// Whether to seal the region once, so that it and all its forks share what it was filled with, and settled what
    /// other forks have left.
    fn is_worth_sealing(&self) -> Result<bool> {
        let is_deep = || {
            self.written
                && self.space.window.as_ref().is_some_and(|w| w.frozen().depth() >= DEPTH_MAX)
        };
        Ok(self.space.mapping.len() >= SEALED_BYTES_MIN && (is_deep() || self.is_filled()?))
    }

    /// Whether about half of the region's pages or more are its own, by a sample.
    fn is_filled(&self) -> Result<bool> {
        let (addresses, mut own) = (self.space.mapping.addresses(), 0);
        let stride = addresses.len() / SAMPLES / PAGE * PAGE;
        for start in addresses.step_by(stride).take(SAMPLES) {
            own += own_pages(start..start + SAMPLE_PAGES * PAGE)?;
        }
        Ok(own * 2 >= SAMPLES * SAMPLE_PAGES)
    }

    /// Seals the region, and forks the image. A reset of either goes where one of the region would have gone.
    fn fork_sealed(&mut self) -> Result<Region> {
        let origin = self.origin.clone().unwrap_or_else(|| self.image().clone());
        let image = self.seal()?;
        self.origin = Some(origin);
        let mut fork = image.fork()?;
        (fork.len, fork.origin) = (self.len, self.origin.clone());
        Ok(fork)
    }

    fn fork_lazily(&mut self) -> Result<Region> {
        let depth = self.space.window.as_ref().map_or(0, |window| window.frozen().depth());
        if self.written && depth >= DEPTH_MAX {
            self.settle()?;
        }
        let frozen = match &self.space.window {
            // Nothing was written since the window opened: its frozen pages are still the content.
            Some(window) if !self.written => window.frozen().clone(),
            _ => {
                self.warm.restart();
                // SAFETY: `self` is borrowed exclusively, so no reference to its bytes exists.
                unsafe { self.space.freeze() }?
            }
        };
        self.written = false;
        let mut fork = self.bare_fork()?;
        fork.space.open_window(frozen, Pages::None)?;
        Ok(fork)
    }

    fn fork_eagerly(&mut self) -> Result<Region> {
        let mut fork = self.bare_fork()?;
        fork.written = true;
        if probe::require_windows().is_err() {
            copy_changed(&self.space, &mut fork.space)?;
            return Ok(fork);
        }
        // Watched, so that nothing but this fills a page; then emptied, since locked memory is filled when it is mapped.
        watch_for_touches(&fork.space.mapping, self.image().layout())?;
        fork.space.mapping.discard(0..fork.space.mapping.len())?;
        // Newest pages first: what an older level has of them is present by then, and stepped over.
        let own = |run| copy_into(&self.space.mapping, &run, fork.space.mapping.start());
        own_runs(&self.space.mapping, self.space.pages(), self.space.own_zeros(), own)?;
        let frozen = self.space.window.as_ref().map(|window| window.frozen());
        for level in frozen.iter().flat_map(|frozen| frozen.levels()) {
            level.runs(self.space.pages(), |run| {
                copy_into(level.mapping(), &run, fork.space.mapping.start())
            })?;
        }
        sys::unwatch(fork.space.mapping.addresses())?;
        Ok(fork)
    }

    /// A region of the same image, with no pages of its own, not even patches.
    fn bare_fork(&self) -> Result<Region> {
        let mapping = self.image().layout().map_unpatched()?;
        let mut space = Space::of_mapping(mapping, self.image().clone());
        space.copy_ahead = self.space.copy_ahead;
        let (written, exposed, warm) = (false, false, Warm::default());
        Ok(Region { space, len: self.len, written, exposed, warm, origin: self.origin.clone() })
    }
}

/// How many pages of a sample are the mapping's own.
fn own_pages(addresses: Range<usize>) -> Result<usize> {
    probe::require_scans()?;
    let mut runs = [Run::default(); SAMPLE_PAGES];
    let found = sys::scan_into(addresses, Query::Private, &mut runs)
        .map_err(|e| Error::os("scan the page tables", e))?;
    let own = runs[..found].iter().filter(|run| !run.is_zero());
    Ok(own.map(|run| run.addresses().len() / PAGE).sum())
}

/// Fails unless the system has windows, and this thread can touch what lies in one.
fn require_lazy_forks() -> Result<()> {
    probe::require_windows()?;
    if sys::fault_signal_is_blocked() {
        return Err(Error::Unsupported {
            feature: Feature::FaultSignal,
            reason: "this thread blocks SIGBUS, which tells it of the pages that it touches; unblock it \
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
